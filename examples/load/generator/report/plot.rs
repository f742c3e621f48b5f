//! Lines over two axes, as SVG: colours and type come from the page around it.
//!
//! Each plot is drawn twice, for wide and for narrow windows, since text in a drawing shrinks with it.

use std::fmt::Write;

use minijinja::HtmlEscape;

/// Room around the drawing for what the axes say.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// Lines with the axes they are drawn over.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// What it shows, for those who do not see it.
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// Where on the x axis something else ends, and what that is.
    pub(crate) before: Option<(f64, &'static str)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    pub(crate) log: bool,
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Places with a label.
    pub(crate) marks: Vec<(f64, String)>,
}

/// One run. Its name is the class that gives it its colour.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// With what is told of each.
    pub(crate) points: Vec<(f64, f64, String)>,
}

impl Axis {
    /// From zero to at least this, with round numbers.
    pub(crate) fn linear(title: &'static str, to: f64, label: impl Fn(f64) -> String) -> Axis {
        let to = if to > 0.0 { to } else { 1.0 };
        let step = round_step(to / 5.0);
        let count = (to / step).ceil().max(1.0) as usize;
        let marks = (0..=count).map(|at| (at as f64 * step, label(at as f64 * step))).collect();
        Axis { title, log: false, from: 0.0, to: count as f64 * step, marks }
    }

    /// From a power of ten to another, around these values, which are more than zero.
    pub(crate) fn log(title: &'static str, least: f64, most: f64, label: impl Fn(f64) -> String) -> Axis {
        let from = least.log10().floor() as i32;
        let to = (most.log10().ceil() as i32).max(from + 1);
        let marks = (from..=to).map(|power| (10_f64.powi(power), label(10_f64.powi(power)))).collect();
        Axis { title, log: true, from: 10_f64.powi(from), to: 10_f64.powi(to), marks }
    }

    /// Where a value is between the ends, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let along = |value: f64| if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let (from, to) = (along(self.from), along(self.to));
        ((along(value) - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= least * 0.999).unwrap_or(10.0 * power)
}

impl Plot {
    /// For wide windows and for narrow ones; the page shows one of them.
    pub(crate) fn svg(&self) -> String {
        self.sized(720.0, 300.0, "wide") + &self.sized(350.0, 260.0, "narrow")
    }

    fn sized(&self, width: f64, height: f64, class: &str) -> String {
        let title = HtmlEscape(&self.title);
        let mut svg = format!(
            "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n"
        );
        let frame = Frame { width, height };
        self.axes(&frame, &mut svg);
        for line in &self.lines {
            self.line(line, &frame, class == "wide", &mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, frame: &Frame, svg: &mut String) {
        let (right, bottom) = (frame.width - RIGHT, frame.height - BOTTOM);
        if let Some((end, what)) = self.before {
            let end = frame.x(self.x.place(end));
            let wide = end - LEFT;
            let high = bottom - TOP;
            let _ = writeln!(
                svg,
                "<rect class=\"before\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{wide:.1}\" height=\"{high:.1}\"/>"
            );
            let (x, y) = (end + 5.0, TOP + 11.0);
            let _ = writeln!(svg, "<text class=\"note\" x=\"{x:.1}\" y=\"{y:.1}\">← {}</text>", HtmlEscape(what));
        }
        for (value, label) in &self.y.marks {
            let y = frame.y(self.y.place(*value));
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let (x, y) = (LEFT - 7.0, y + 4.0);
            let _ = writeln!(svg, "<text class=\"y\" x=\"{x}\" y=\"{y:.1}\">{}</text>", HtmlEscape(label));
        }
        // Labels that would touch the one before are left out.
        let mut free = f64::MIN;
        for (value, label) in &self.x.marks {
            let x = frame.x(self.x.place(*value));
            let half = label.chars().count() as f64 * 3.6 + 4.0;
            if x - half >= free {
                free = x + half;
                let y = bottom + 17.0;
                let _ = writeln!(svg, "<text class=\"x\" x=\"{x:.1}\" y=\"{y}\">{}</text>", HtmlEscape(label));
            }
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {bottom}v4\"/>");
        }
        let (x, y) = ((LEFT + right) / 2.0, frame.height - 5.0);
        let _ = writeln!(svg, "<text class=\"x title\" x=\"{x}\" y=\"{y}\">{}</text>", HtmlEscape(self.x.title));
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
    }

    fn line(&self, line: &Line, frame: &Frame, told: bool, svg: &mut String) {
        let places = line.points.iter().map(|(x, y, _)| (frame.x(self.x.place(*x)), frame.y(self.y.place(*y))));
        let places: Vec<(f64, f64)> = places.collect();
        let mut path = String::new();
        for (at, (x, y)) in places.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
        }
        let name = HtmlEscape(line.name);
        if !path.is_empty() {
            let _ = writeln!(svg, "<path class=\"line {name}\" d=\"{path}\"/>");
        }
        if told {
            for ((x, y), (_, _, words)) in places.iter().zip(&line.points) {
                let words = HtmlEscape(words);
                let _ = writeln!(
                    svg,
                    "<circle class=\"{name}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{name}: {words}</title></circle>"
                );
            }
        }
    }
}

/// The size of a drawing.
struct Frame {
    width: f64,
    height: f64,
}

impl Frame {
    fn x(&self, place: f64) -> f64 {
        LEFT + place * (self.width - LEFT - RIGHT)
    }

    fn y(&self, place: f64) -> f64 {
        self.height - BOTTOM - place * (self.height - TOP - BOTTOM)
    }
}
