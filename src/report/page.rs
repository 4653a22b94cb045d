//! The HTML page: fills the templates with headline, sections, gallery and metadata.

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::format::{count, images, name, thousands};
use super::gallery::TileMarkup;
use super::headline::KeyFigure;
use super::section::Section;
use super::{MetadataRow, Report, gallery, headline, sections};
use crate::render::Colormap;
use crate::render::chart::Theme;

/// Style sheets that every page with heatmaps has: text and themes, then the parts of a viewer.
pub const VIEWER_STYLES: [&str; 2] = [include_str!("page/style.css"), include_str!("page/viewer.css")];

/// Scripts that every page with heatmaps has; they come before the page's own.
pub const VIEWER_SCRIPTS: [&str; 2] = [include_str!("page/heatmap.js"), include_str!("page/view.js")];

const GALLERY_SCRIPTS: [&str; 2] = [include_str!("page/gallery.js"), include_str!("page/viewer.js")];

/// Values that the templates read.
#[derive(Debug, Serialize)]
struct PageContext<'a> {
    version: &'static str,
    name: String,
    headline: String,
    lead: String,
    notices: &'a [String],
    key_figures: Vec<KeyFigure>,
    style: String,
    sections: Vec<Section>,
    gallery_text: String,
    tiles: Vec<TileMarkup>,
    /// Whether any tile has a label.
    labeled: bool,
    exits: &'a [usize],
    colormaps: Vec<&'static str>,
    data: String,
    script: String,
    failed: Vec<MetadataRow>,
    metadata: Vec<MetadataRow>,
}

/// The complete page.
pub fn html(report: &Report) -> String {
    let mut templates = Environment::new();
    // The extension .html turns on escaping of all values.
    for (name, text) in
        [("page.html", include_str!("page/page.html")), ("gallery.html", include_str!("page/gallery.html"))]
    {
        templates.add_template(name, text).expect("the template is valid");
    }
    let sections = report.evaluation.map_or(Vec::new(), sections::all);
    let failed = report.failed.iter().map(|record| MetadataRow {
        name: name(&record.image),
        value: name(record.error.as_deref().unwrap_or_default()),
    });
    let metadata =
        report.metadata.iter().map(|row| MetadataRow { name: name(&row.name), value: name(&row.value) });
    let page = PageContext {
        version: env!("CARGO_PKG_VERSION"),
        name: name(&report.name),
        headline: headline(report),
        lead: lead(report),
        notices: &report.notices,
        key_figures: report.evaluation.map_or(Vec::new(), headline::key_figures),
        style: style(&sections, gallery::aspect(report)),
        sections,
        gallery_text: gallery_text(report),
        tiles: gallery::markup(report),
        labeled: report.tiles.iter().any(|tile| tile.record.label.is_some()),
        exits: report.exits,
        colormaps: colormaps(report.colormap),
        data: gallery::data(report),
        script: [VIEWER_SCRIPTS, GALLERY_SCRIPTS].concat().join("\n"),
        failed: failed.collect(),
        metadata: metadata.collect(),
    };
    let template = templates.get_template("page.html").expect("added above");
    template.render(Serde(page)).expect("the template uses existing values")
}

fn headline(report: &Report) -> String {
    match report.evaluation {
        Some(evaluation) => headline::headline(evaluation),
        None => {
            let images = images(report.images);
            match report.exits {
                [only] => format!("Where exit {only} looks in {images}"),
                exits => format!("Where {} exits of the model look in {images}", exits.len()),
            }
        }
    }
}

fn lead(report: &Report) -> String {
    let mut lead = images(report.images);
    if let Some(evaluation) = report.evaluation {
        lead += &format!(" of {}", count(evaluation.classes.len(), "class", "classes"));
        if evaluation.images < report.images {
            lead += &format!(", {} of them with a label and predictions", evaluation.images);
        }
    } else {
        lead += " without labels: predictions are shown, but not whether they are right";
    }
    lead + "."
}

fn gallery_text(report: &Report) -> String {
    let shown = report.tiles.len();
    let some = if shown < report.shown {
        format!("{} of {}, evenly sampled. ", thousands(shown as u64), images(report.shown))
    } else {
        String::new()
    };
    let each = match report.exits {
        [_] => "The prediction, its confidence and its heatmap over the photo.",
        _ => {
            "Each exit's prediction, its confidence and its heatmap over the photo. Move the slider to change the \
             exit; open an image to compare two exits."
        }
    };
    let maps = gallery::which_maps(report).map_or(String::new(), |maps| format!(" {maps}"));
    format!("{some}{each}{maps}")
}

/// Names of the colormaps, the run's own first.
fn colormaps(first: Colormap) -> Vec<&'static str> {
    let others = Colormap::ALL.into_iter().filter(|&map| map != first);
    std::iter::once(first).chain(others).map(Colormap::name).collect()
}

/// The style sheet: the hand-written rules, the photos' aspect ratio, the charts' colors, and the rules by which
/// radio buttons show panels.
fn style(sections: &[Section], aspect: f64) -> String {
    let (light, dark) = (Theme::Light.css(), Theme::Dark.css());
    let mut style = format!(
        "{}\n{}\n:root {{ --aspect: {aspect}; }}\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n",
        VIEWER_STYLES.join("\n"),
        include_str!("page/gallery.css")
    );
    for section in sections {
        let options = section.choice.as_ref().map_or(0, |choice| choice.options.len());
        for i in 1..=options {
            let id = section.id;
            style += &format!("#{id}:has(#{id}-{i}:checked) #{id}-panel-{i} {{ display: block; }}\n");
        }
    }
    style
}
