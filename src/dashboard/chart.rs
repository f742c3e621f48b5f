//! Chart lines as SVG paths, in a view box of [`WIDTH`] by [`HEIGHT`] units. One unit of the width is a second.

use std::fmt::Write as _;

use super::recorder::{SHOWN, Sample};

pub(super) const WIDTH: usize = SHOWN;
pub(super) const HEIGHT: usize = 100;

/// A point is the mean over this many seconds. Single seconds would make a jagged line where there is little traffic.
const WINDOW: usize = 5;

/// A value for each second, the newest last; `None` where there was nothing to measure.
pub(super) type Series = Vec<Option<f64>>;

/// Applies `measure` to each sample and the one [`WINDOW`] seconds earlier, or the oldest one.
pub(super) fn series(samples: &[Sample], measure: impl Fn(&Sample, &Sample) -> Option<f64>) -> Series {
    (1..samples.len()).map(|at| measure(&samples[at.saturating_sub(WINDOW)], &samples[at])).collect()
}

/// The increase of a counter between two samples, per second.
pub(super) fn per_second(from: &Sample, to: &Sample, count: fn(&Sample) -> u64) -> f64 {
    let seconds = to.at.saturating_duration_since(from.at).as_secs_f64().max(1e-3);
    count(to).saturating_sub(count(from)) as f64 / seconds
}

/// The upper end of an axis that fits all values: 1, 2 or 5 times a power of ten.
pub(super) fn top<'a>(values: impl IntoIterator<Item = &'a Option<f64>>) -> f64 {
    let most = values.into_iter().flatten().copied().fold(0.0, f64::max);
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|top| *top >= most * 0.999).unwrap_or(most)
}

/// The path of the line. Missing values leave gaps.
pub(super) fn line(series: &[Option<f64>], top: f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (x, value) in placed(series) {
        match value {
            Some(value) => {
                let _ = write!(path, "{}{x} {:.1}", if pen_down { "L" } else { "M" }, y(value, top));
                pen_down = true;
            }
            None => pen_down = false,
        }
    }
    path
}

/// The path of the area below the line.
pub(super) fn area(series: &[Option<f64>], top: f64) -> String {
    let mut path = String::new();
    let mut last = None;
    for (x, value) in placed(series) {
        match (value, last) {
            (Some(value), None) => {
                let _ = write!(path, "M{x} {HEIGHT}L{x} {:.1}", y(value, top));
            }
            (Some(value), Some(_)) => {
                let _ = write!(path, "L{x} {:.1}", y(value, top));
            }
            (None, Some(last)) => {
                let _ = write!(path, "L{last} {HEIGHT}Z");
            }
            (None, None) => {}
        }
        last = value.map(|_| x);
    }
    if let Some(last) = last {
        let _ = write!(path, "L{last} {HEIGHT}Z");
    }
    path
}

/// The values with their x coordinates. The newest is at the right.
fn placed(series: &[Option<f64>]) -> impl Iterator<Item = (usize, Option<f64>)> {
    let from = series.len().saturating_sub(WIDTH);
    let shown = &series[from..];
    shown.iter().enumerate().map(|(at, value)| (WIDTH + 1 + at - shown.len(), *value))
}

fn y(value: f64, top: f64) -> f64 {
    let height = HEIGHT as f64;
    (height - value / top * height).clamp(0.0, height)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(second: u64, answered: u64) -> Sample {
        let at = Instant::now() + Duration::from_secs(second);
        Sample { number: second, at, answered, computed: 0, renders: 0, render_nanos: 0, saved_nanos: 0 }
    }

    #[test]
    fn the_newest_value_is_at_the_right_and_missing_values_leave_gaps() {
        let series = [Some(0.0), Some(50.0), None, Some(100.0)];
        assert_eq!(line(&series, 100.0), "M297 100.0L298 50.0M300 0.0");
        assert_eq!(area(&series, 100.0), "M297 100L297 100.0L298 50.0L298 100ZM300 100L300 0.0L300 100Z");
        assert_eq!((line(&[], 1.0), area(&[None], 1.0)), (String::new(), String::new()));
    }

    #[test]
    fn values_that_do_not_fit_are_cut_at_the_left() {
        let series = vec![Some(1.0); 2 * WIDTH];
        let path = line(&series, 1.0);
        assert!(path.starts_with("M1 0.0L2") && path.ends_with("L300 0.0"), "{path}");
    }

    #[test]
    fn rates_are_means_over_the_last_seconds() {
        let samples: Vec<Sample> = (0..10).map(|second| sample(second, second * second)).collect();
        let rates = series(&samples, |from, to| Some(per_second(from, to, |sample| sample.answered)));
        assert_eq!(rates.len(), 9);
        assert!((rates[0].unwrap() - 1.0).abs() < 0.01 && (rates[8].unwrap() - 13.0).abs() < 0.01, "{rates:?}");
        assert!(series(&samples[..1], |_, _| Some(0.0)).is_empty() && series(&[], |_, _| None).is_empty());
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let tops = [0.0, 0.003, 0.7, 1.0, 1.1, 4.2, 51.0, 1000.0].map(|most| top(&[Some(most), None]));
        assert_eq!(tops, [1.0, 0.005, 1.0, 1.0, 2.0, 5.0, 100.0, 1000.0]);
        assert_eq!(top(&[Some(f64::NAN), Some(f64::INFINITY)]), 1.0);
    }
}
