//! The open elements of a page: the part of tree construction that decides how the text behind a tag is read.
//!
//! A whole tree builder would be needed for every page. This one gives up where it would have to guess
//! ([`OpenElements::is_lost`]); the rest of the page gets no comments.

/// How the content of an element is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentModel {
    Markup,
    /// `title` and `textarea`: text with character references.
    Text,
    /// `style` and others: text without character references.
    Raw,
    Script,
    /// `plaintext`: the rest of the page is text.
    Plain,
}

#[derive(Debug, Default)]
pub(super) struct OpenElements {
    /// The open elements from `svg` or `math` inwards.
    foreign: Vec<ForeignElement>,
    /// For each open table: whether the browser moves text out of it.
    tables: Vec<bool>,
    /// The same for rows outside of a table.
    rows: bool,
    select: bool,
    lost: bool,
}

#[derive(Debug)]
struct ForeignElement {
    name: Box<[u8]>,
    kind: ForeignKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ForeignKind {
    /// An HTML element inside of an integration point.
    Html,
    Foreign,
    /// A foreign element with HTML content (HTML integration point).
    Integration,
    /// A foreign element whose content must not get comments.
    Closed,
    /// Both: `title` in SVG.
    ClosedIntegration,
}

impl OpenElements {
    /// Whether the open elements cannot be known without a whole tree builder.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the innermost element is a foreign one, of SVG or MathML.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.last().is_some_and(|node| node.kind != ForeignKind::Html)
    }

    /// Whether the position is inside of a title, style, script or textarea in SVG or MathML.
    pub(super) fn is_closed(&self) -> bool {
        self.foreign.iter().any(|node| matches!(node.kind, ForeignKind::Closed | ForeignKind::ClosedIntegration))
    }

    /// Whether the browser moves words here in front of the table, with the white space around them.
    pub(super) fn moves_text(&self) -> bool {
        self.tables.last().copied().unwrap_or(self.rows)
    }

    pub(super) fn start(&mut self, name: &[u8], self_closing: bool) -> ContentModel {
        if let Some(node) = self.foreign.last() {
            match node.kind {
                ForeignKind::Foreign | ForeignKind::Closed => return self.start_foreign(name, self_closing),
                ForeignKind::Html | ForeignKind::Integration | ForeignKind::ClosedIntegration => {}
            }
        }
        let content = content(name);
        // Editions of the HTML standard differ in whether a `select` may contain these.
        if self.select && (content != ContentModel::Markup && name != b"script" || is_foreign_root(name)) {
            self.lost = true;
        }
        match name {
            b"svg" | b"math" if !self_closing => self.push(name, ForeignKind::Foreign),
            b"svg" | b"math" => {}
            b"frameset" | b"annotation-xml" => self.lost = true,
            b"select" => self.select = true,
            _ if !self.foreign.is_empty() && content == ContentModel::Markup && !is_void(name) => {
                self.push(name, ForeignKind::Html);
            }
            _ => {}
        }
        self.follow_table(name);
        content
    }

    pub(super) fn end(&mut self, name: &[u8]) {
        if name == b"select" {
            self.select = false;
        }
        if let Some(node) = self.foreign.last() {
            if *node.name == *name {
                self.foreign.pop();
            } else if node.kind == ForeignKind::Html {
                // The tag may close several elements or none.
                self.lost = true;
            } else {
                self.end_foreign(name);
            }
            return;
        }
        match name {
            b"table" => drop(self.tables.pop()),
            b"td" | b"th" | b"caption" | b"tr" | b"tbody" | b"thead" | b"tfoot" | b"colgroup" => self.set_moves(true),
            _ => {}
        }
    }

    fn follow_table(&mut self, name: &[u8]) {
        match name {
            b"table" => self.tables.push(true),
            b"tr" | b"tbody" | b"thead" | b"tfoot" | b"colgroup" => self.set_moves(true),
            b"td" | b"th" | b"caption" => self.set_moves(false),
            _ => {}
        }
    }

    fn set_moves(&mut self, moves: bool) {
        *self.tables.last_mut().unwrap_or(&mut self.rows) = moves;
    }

    fn start_foreign(&mut self, name: &[u8], self_closing: bool) -> ContentModel {
        // Both depend on attributes: whether `font` ends the foreign content, and what `annotation-xml` contains.
        if name == b"font" || name == b"annotation-xml" {
            self.lost = true;
        }
        if breaks_out(name) {
            self.break_out();
            return self.start(name, self_closing);
        }
        if !self_closing {
            let math = self
                .foreign
                .iter()
                .rev()
                .find(|node| is_foreign_root(&node.name))
                .is_some_and(|it| *it.name == *b"math");
            self.push(name, kind(name, math));
        }
        ContentModel::Markup
    }

    fn end_foreign(&mut self, name: &[u8]) {
        if name == b"p" || name == b"br" {
            self.break_out();
            return;
        }
        let nearest = self.foreign.iter().rposition(|node| *node.name == *name);
        match nearest {
            Some(at) if self.foreign[at..].iter().all(|node| node.kind != ForeignKind::Html) => {
                self.foreign.truncate(at);
            }
            // The tag closes an outer element with all elements inside of it, or nothing.
            _ => self.lost = true,
        }
    }

    fn break_out(&mut self) {
        while self.foreign.last().is_some_and(|node| matches!(node.kind, ForeignKind::Foreign | ForeignKind::Closed)) {
            self.foreign.pop();
        }
    }

    fn push(&mut self, name: &[u8], kind: ForeignKind) {
        self.foreign.push(ForeignElement { name: name.into(), kind });
    }
}

fn content(name: &[u8]) -> ContentModel {
    match name {
        b"title" | b"textarea" => ContentModel::Text,
        b"style" | b"xmp" | b"iframe" | b"noembed" | b"noframes" | b"noscript" => ContentModel::Raw,
        b"script" => ContentModel::Script,
        b"plaintext" => ContentModel::Plain,
        _ => ContentModel::Markup,
    }
}

fn is_foreign_root(name: &[u8]) -> bool {
    matches!(name, b"svg" | b"math")
}

fn kind(name: &[u8], math: bool) -> ForeignKind {
    match (name, math) {
        (b"title", false) => ForeignKind::ClosedIntegration,
        (b"foreignobject" | b"desc", false) => ForeignKind::Integration,
        (b"mi" | b"mo" | b"mn" | b"ms" | b"mtext", true) => ForeignKind::Integration,
        (b"title" | b"style" | b"script" | b"textarea", _) => ForeignKind::Closed,
        _ => ForeignKind::Foreign,
    }
}

fn is_void(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 17] = [
        b"area",
        b"base",
        b"basefont",
        b"bgsound",
        b"br",
        b"col",
        b"embed",
        b"frame",
        b"hr",
        b"img",
        b"input",
        b"keygen",
        b"link",
        b"meta",
        b"param",
        b"source",
        b"track",
    ];
    NAMES.contains(&name) || name == b"wbr"
}

/// HTML tags that end SVG or MathML (HTML standard, "parsing tokens in foreign content").
fn breaks_out(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 44] = [
        b"b",
        b"big",
        b"blockquote",
        b"body",
        b"br",
        b"center",
        b"code",
        b"dd",
        b"div",
        b"dl",
        b"dt",
        b"em",
        b"embed",
        b"h1",
        b"h2",
        b"h3",
        b"h4",
        b"h5",
        b"h6",
        b"head",
        b"hr",
        b"i",
        b"img",
        b"li",
        b"listing",
        b"menu",
        b"meta",
        b"nobr",
        b"ol",
        b"p",
        b"pre",
        b"ruby",
        b"s",
        b"small",
        b"span",
        b"strong",
        b"strike",
        b"sub",
        b"sup",
        b"table",
        b"tt",
        b"u",
        b"ul",
        b"var",
    ];
    NAMES.contains(&name)
}
