//! SVG output of a drawing: a file with light and dark themes, or a fragment for an HTML page.

use std::fmt::Write;

use super::drawing::{Anchor, Drawing, Geometry, Ink, Mark, Point, TextMark};
use super::raster::Theme;

impl Drawing {
    /// A standalone SVG document with a light and a dark theme.
    pub fn svg(&self) -> String {
        let style = format!(
            "<style>text{{font-family:system-ui,sans-serif}}{}@media (prefers-color-scheme:dark){{{}}}</style>\n\
             <rect width=\"100%\" height=\"100%\" class=\"ink-paper\" fill=\"currentColor\"/>\n",
            Theme::Light.css(),
            Theme::Dark.css()
        );
        self.document(&style)
    }

    /// An SVG element for a page that includes [`Theme::css`] in its style sheet.
    pub fn inline_svg(&self) -> String {
        self.document("")
    }

    fn document(&self, style: &str) -> String {
        let (width, height) = (short(self.width), short(self.height));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{}\">\n{style}",
            escaped(&self.name)
        );
        self.marks.iter().for_each(|mark| write_mark(&mut svg, mark));
        svg + "</svg>\n"
    }
}

impl Theme {
    /// Style rules of the chart colors.
    pub fn css(self) -> String {
        let inks = [Ink::Paper, Ink::Text, Ink::Quiet, Ink::Rule].into_iter();
        let inks = inks.chain((0..Ink::SERIES).map(Ink::Series));
        let rule = |ink| {
            let [r, g, b] = self.color(ink);
            format!(".{}{{color:#{r:02x}{g:02x}{b:02x}}}", class(ink))
        };
        inks.map(rule).collect()
    }
}

fn class(ink: Ink) -> String {
    match ink {
        Ink::Paper => "ink-paper".into(),
        Ink::Text => "ink-text".into(),
        Ink::Quiet => "ink-quiet".into(),
        Ink::Rule => "ink-rule".into(),
        Ink::Series(i) => format!("ink-{}", i % Ink::SERIES + 1),
    }
}

fn write_mark(svg: &mut String, mark: &Mark) {
    let mut look = format!("class=\"{}\"", class(mark.ink));
    if mark.opacity < 1.0 {
        let _ = write!(look, " opacity=\"{}\"", short(mark.opacity));
    }
    let (open, close) = match &mark.geometry {
        Geometry::Rect { x, y, width, height } => {
            let [x, y, width, height] = [x, y, width, height].map(|v| short(*v));
            (
                format!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"currentColor\" {look}"
                ),
                "rect",
            )
        }
        Geometry::Circle { x, y, r } => {
            let [x, y, r] = [x, y, r].map(|v| short(*v));
            (format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"currentColor\" {look}"), "circle")
        }
        Geometry::Line { points, width } => (
            format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"{}\" \
                 stroke-linejoin=\"round\" {look}",
                path(points),
                short(*width)
            ),
            "polyline",
        ),
        Geometry::Area { points } => {
            (format!("<polygon points=\"{}\" fill=\"currentColor\" {look}", path(points)), "polygon")
        }
        Geometry::Text(text) => return write_text(svg, text, &look),
    };
    let _ = match &mark.tip {
        None => writeln!(svg, "{open}/>"),
        Some(tip) => writeln!(svg, "{open}><title>{}</title></{close}>", escaped(tip)),
    };
}

fn write_text(svg: &mut String, text: &TextMark, look: &str) {
    let [x, y] = [text.x, text.y].map(short);
    let mut more = match text.anchor {
        Anchor::Start => String::new(),
        Anchor::Middle => " text-anchor=\"middle\"".into(),
        Anchor::End => " text-anchor=\"end\"".into(),
    };
    if text.bold {
        more += " font-weight=\"600\"";
    }
    if text.turned {
        let _ = write!(more, " transform=\"rotate(-90 {x} {y})\"");
    }
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"currentColor\" {look}{more}>{}</text>",
        short(text.size),
        escaped(&text.text)
    );
}

fn path(points: &[Point]) -> String {
    points.iter().map(|&(x, y)| format!("{},{}", short(x), short(y))).collect::<Vec<_>>().join(" ")
}

/// A number with at most two decimals, finer than any screen.
fn short(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Text escaped for XML elements and attributes, without bidirectional controls and characters that XML
/// forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::error::printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let mut drawing = Drawing::new(10.0, 10.0, "\"><script>\n".into());
        drawing.text(Ink::Text, (1.0, 2.0), Anchor::Start, "</svg>&\u{202e}\u{0}");
        drawing.add(Ink::Rule, Geometry::Circle { x: 1.0, y: 1.0, r: 1.0 }).tip("<b>".into());
        let svg = drawing.svg();
        assert!(!svg.contains("<script>") && !svg.contains("<b>") && !svg.contains('\u{202e}'), "{svg}");
        assert_eq!(svg.matches("</svg>").count(), 1);
        assert!(svg.contains("&lt;/svg&gt;&amp;\\u{202e}\\u{0}"), "{svg}");
    }

    #[test]
    fn only_a_standalone_file_has_a_style_sheet() {
        let drawing = Drawing::new(10.0, 10.0, "T".into());
        assert!(drawing.svg().contains("@media (prefers-color-scheme:dark)"));
        assert!(!drawing.inline_svg().contains("style"));
    }
}
