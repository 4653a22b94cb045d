//! A chart as marks on a page, before it is SVG or pixels.

/// A position; y points down.
pub(super) type Point = (f64, f64);

/// A chart that has been laid out.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// What the chart shows, for readers who cannot see it.
    pub name: String,
    pub(super) marks: Vec<Mark>,
}

/// One mark. Later marks lie over earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub geometry: Geometry,
    pub ink: Ink,
    pub opacity: f64,
    /// What a pointer that rests on the mark is told.
    pub tip: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Geometry {
    Rect { x: f64, y: f64, width: f64, height: f64 },
    Circle { x: f64, y: f64, r: f64 },
    Line { points: Vec<Point>, width: f64 },
    Area { points: Vec<Point> },
    Text(TextMark),
}

#[derive(Debug, Clone)]
pub(super) struct TextMark {
    pub x: f64,
    /// Of the baseline.
    pub y: f64,
    pub anchor: Anchor,
    pub size: f64,
    pub bold: bool,
    /// Whether it runs upwards.
    pub turned: bool,
    pub text: String,
}

/// Which part of a text lies at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A color by what it is for; light and dark pages have their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Paper,
    Text,
    Quiet,
    Rule,
    /// Of the data, counted from 0; they repeat after [`Ink::SERIES`].
    Series(usize),
}

impl Ink {
    /// How many series have a color of their own.
    pub const SERIES: usize = 6;
}

/// Text sizes.
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

    /// Small text.
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
