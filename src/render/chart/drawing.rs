//! A laid-out chart as a list of marks, independent of the output format.

/// A position; y points down.
pub(super) type Point = (f64, f64);

/// A chart that has been laid out.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// Title, also used as the text alternative.
    pub name: String,
    pub(super) marks: Vec<Mark>,
}

/// A mark. Later marks cover earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub geometry: Geometry,
    pub ink: Ink,
    pub opacity: f64,
    /// Tooltip.
    pub tip: Option<String>,
}

/// Shape of a mark, in pixels.
#[derive(Debug, Clone)]
pub(super) enum Geometry {
    Rect { x: f64, y: f64, width: f64, height: f64 },
    Circle { x: f64, y: f64, r: f64 },
    Line { points: Vec<Point>, width: f64 },
    Area { points: Vec<Point> },
    Text(TextMark),
}

/// A line of text.
#[derive(Debug, Clone)]
pub(super) struct TextMark {
    pub x: f64,
    /// Baseline.
    pub y: f64,
    pub anchor: Anchor,
    pub size: f64,
    pub bold: bool,
    /// Whether the text is rotated upwards.
    pub turned: bool,
    pub text: String,
}

/// The part of a text that is at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A color by its role; each [`super::Theme`] defines its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Paper,
    Text,
    Quiet,
    Rule,
    /// Color of a data series, from 0; repeats after [`Ink::SERIES`].
    Series(usize),
}

impl Ink {
    /// Number of distinct series colors.
    pub const SERIES: usize = 6;
}

/// Text sizes in pixels.
pub(super) const TITLE: f64 = 16.0;
pub(super) const SMALL: f64 = 12.5;

impl Drawing {
    pub(super) fn new(width: f64, height: f64, name: String) -> Drawing {
        Drawing { width, height, name, marks: Vec::new() }
    }

    pub(super) fn add(&mut self, ink: Ink, geometry: Geometry) -> &mut Mark {
        self.marks.push(Mark { geometry, ink, opacity: 1.0, tip: None });
        self.marks.last_mut().expect("one was pushed")
    }

    pub(super) fn line(&mut self, ink: Ink, width: f64, points: Vec<Point>) -> &mut Mark {
        self.add(ink, Geometry::Line { points, width })
    }

    /// Adds small text.
    pub(super) fn text(&mut self, ink: Ink, (x, y): Point, anchor: Anchor, text: &str) -> &mut TextMark {
        let text = TextMark { x, y, anchor, size: SMALL, bold: false, turned: false, text: text.into() };
        match &mut self.add(ink, Geometry::Text(text)).geometry {
            Geometry::Text(text) => text,
            _ => unreachable!("a text was added"),
        }
    }
}

impl Mark {
    pub(super) fn opacity(&mut self, opacity: f64) -> &mut Mark {
        self.opacity = opacity;
        self
    }

    pub(super) fn tip(&mut self, tip: String) -> &mut Mark {
        self.tip = Some(tip);
        self
    }
}
