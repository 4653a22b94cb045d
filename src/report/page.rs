//! The page: templates filled with what the other modules have made.

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use super::format::{count, images, name, thousands};
use super::gallery::Markup;
use super::headline::Figure;
use super::section::Section;
use super::{Fact, Report, gallery, headline, sections};
use crate::render::Colormap;
use crate::render::chart::Theme;

const SCRIPTS: [&str; 3] =
    [include_str!("page/heat.js"), include_str!("page/gallery.js"), include_str!("page/viewer.js")];

/// What the templates are given.
#[derive(Debug, Serialize)]
struct Page<'a> {
    version: &'static str,
    name: String,
    headline: String,
    lead: String,
    notices: &'a [String],
    figures: Vec<Figure>,
    style: String,
    sections: Vec<Section>,
    gallery_text: String,
    tiles: Vec<Markup>,
    /// Whether any of them has a label.
    labelled: bool,
    exits: &'a [usize],
    colours: Vec<&'static str>,
    data: String,
    script: String,
    failed: Vec<Fact>,
    facts: &'a [Fact],
}

/// The whole page.
pub fn html(report: &Report) -> String {
    let mut templates = Environment::new();
    // The names' ending makes every text that goes in escaped.
    for (name, text) in
        [("page.html", include_str!("page/page.html")), ("gallery.html", include_str!("page/gallery.html"))]
    {
        templates.add_template(name, text).expect("the template is sound");
    }
    let sections = report.evaluation.map_or(Vec::new(), sections::all);
    let failed = report.failed.iter().map(|record| Fact {
        name: name(&record.image),
        value: name(record.error.as_deref().unwrap_or_default()),
    });
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        name: name(&report.name),
        headline: headline(report),
        lead: lead(report),
        notices: &report.notices,
        figures: report.evaluation.map_or(Vec::new(), headline::figures),
        style: style(&sections),
        sections,
        gallery_text: gallery_text(report),
        tiles: gallery::markup(report),
        labelled: report.tiles.iter().any(|tile| tile.record.label.is_some()),
        exits: report.exits,
        colours: colours(report.colormap),
        data: gallery::data(report),
        script: SCRIPTS.join("\n"),
        failed: failed.collect(),
        facts: &report.facts,
    };
    let template = templates.get_template("page.html").expect("added above");
    template.render(Serde(page)).expect("the template uses what it is given")
}

fn headline(report: &Report) -> String {
    match report.evaluation {
        Some(evaluation) => headline::headline(evaluation),
        None => {
            let exits = count(report.exits.len(), "exit", "exits");
            format!("What {exits} of the network see in {}", images(report.images))
        }
    }
}

fn lead(report: &Report) -> String {
    let mut lead = images(report.images);
    if let Some(evaluation) = report.evaluation {
        lead += &format!(" of {}", count(evaluation.classes.len(), "class", "classes"));
        if evaluation.images < report.images {
            lead += &format!(", {} of them with a label and an answer", evaluation.images);
        }
    } else {
        lead += " without labels: what the exits say is shown, not whether it is right";
    }
    lead + "."
}

fn gallery_text(report: &Report) -> String {
    let shown = report.tiles.len();
    let some = if shown < report.shown {
        format!("{} of {}, evenly chosen. ", thousands(shown as u64), images(report.shown))
    } else {
        String::new()
    };
    format!(
        "{some}What each exit says about an image, how sure it is and, over the photo, where it looks. Move the \
         exit; open an image to compare two."
    )
}

/// The colour maps, the run's own first.
fn colours(first: Colormap) -> Vec<&'static str> {
    let others = Colormap::ALL.into_iter().filter(|&map| map != first);
    std::iter::once(first).chain(others).map(Colormap::name).collect()
}

/// All style rules: the hand-written ones, the charts' inks, and which radio button shows which panel.
fn style(sections: &[Section]) -> String {
    let (light, dark) = (Theme::Light.css(), Theme::Dark.css());
    let mut style = format!(
        "{}\n{}\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n",
        include_str!("page/style.css"),
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
