//! The words and tables around the charts of an evaluation.

use serde::Serialize;

use super::plots::{self, MOST_CLASSES};
use super::words::{count, name, percent, share, thousands};
use crate::evaluation::{Evaluation, ExitEvaluation};
use crate::render::chart::{Drawing, Size};

/// A part of the page with a heading.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    pub id: &'static str,
    /// Its name in the contents.
    pub link: &'static str,
    pub title: String,
    pub texts: Vec<String>,
    /// Where one of the parts is shown at a time: the last one at first.
    pub choice: Option<Choice>,
    /// The style of what holds the parts.
    pub layout: &'static str,
    pub parts: Vec<Part>,
}

/// Which of a section's parts to show.
#[derive(Debug, Serialize)]
pub struct Choice {
    pub legend: &'static str,
    pub options: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Part {
    /// SVG.
    pub chart: Option<String>,
    pub table: Option<Table>,
}

#[derive(Debug, Serialize)]
pub struct Table {
    pub caption: String,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    /// Whether cells have shades.
    pub heat: bool,
    /// Whether it is shown on request only.
    pub folded: bool,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
pub struct Cell {
    pub text: String,
    /// 0 to 1.
    pub shade: Option<String>,
}

/// A number that sums the run up.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub number: String,
    pub what: String,
}

/// A chart that has its row for itself.
const WIDE: Size = Size { width: 760.0, height: 360.0, heading: false };
/// Any chart on a telephone, where the others' letters would be too small.
const NARROW: Size = Size { width: 380.0, height: 290.0, heading: false };

/// Every section that `evaluation` has numbers for.
pub fn all(evaluation: &Evaluation) -> Vec<Section> {
    let sections = [Some(accuracy(evaluation)), classes(evaluation), cost(evaluation)];
    let others = [Some(hardness(evaluation)), Some(confidence(evaluation)), Some(confusion(evaluation))];
    sections.into_iter().chain(others).flatten().collect()
}

/// The sentence over everything.
pub fn headline(evaluation: &Evaluation) -> String {
    let n = evaluation.images;
    let exit = |e: &ExitEvaluation| (e.exit, percent(e.accuracy.top1, n));
    match &evaluation.exits[..] {
        [] => String::new(),
        [only] => format!("Exit {} is right on {}", only.exit, exit(only).1),
        [first, .., last] => {
            let ((a, first), (b, last)) = (exit(first), exit(last));
            format!("Exit {a} is right on {first} of the images, exit {b} on {last}")
        }
    }
}

/// The numbers under the headline.
pub fn figures(evaluation: &Evaluation) -> Vec<Figure> {
    let n = evaluation.images;
    let hardness = &evaluation.hardness;
    let figure = |number, what: &str| Figure { number, what: what.into() };
    let every = hardness.right_exits.last().copied().unwrap_or(0);
    let some = n as u64 - every - hardness.never_right;
    let mut figures = vec![
        figure(percent(share(every, n), n), "right at every exit"),
        figure(percent(share(some, n), n), "right at some exits"),
        figure(percent(share(hardness.never_right, n), n), "right at no exit"),
    ];
    if let Some(best) = best(evaluation) {
        figures.push(figure(format!("exit {}", best.exit), "is right most often"));
    }
    figures
}

/// The exit that is right most often; the earliest of equals.
fn best(evaluation: &Evaluation) -> Option<&ExitEvaluation> {
    evaluation.exits.iter().rev().max_by(|a, b| a.accuracy.top1.total_cmp(&b.accuracy.top1))
}

/// Whether running on to the last exit pays.
fn best_and_last(evaluation: &Evaluation) -> Option<String> {
    let n = evaluation.images;
    let (best, last) = (best(evaluation)?, evaluation.exits.last()?);
    let [most, at_last] = [best, last].map(|e| percent(e.accuracy.top1, n));
    Some(if best.exit == last.exit {
        format!("The last exit is the best: {most} of {}.", images(n))
    } else if best.accuracy.top1 == last.accuracy.top1 {
        format!("Exit {} is as good as the last: both are right on {most} of {}.", best.exit, images(n))
    } else {
        format!(
            "The best exit is not the last: exit {} is right on {most} of {}, exit {} on {at_last}.",
            best.exit,
            images(n),
            last.exit
        )
    })
}

fn accuracy(evaluation: &Evaluation) -> Section {
    let mut texts = Vec::new();
    texts.extend(best_and_last(evaluation));
    texts.push("The band is the 95 % score interval of each exit alone (Wilson).".into());
    let work =
        |e: &ExitEvaluation| e.multiply_adds.map_or(String::new(), |w| format!("{:.1}", w as f64 / 1e6));
    let row = |e: &ExitEvaluation| {
        let a = &e.accuracy;
        let [low, high] = a.top1_interval.map(|end| format!("{end:.2}"));
        let cells = [format!("{:.2}", a.top1), format!("{low} to {high}"), format!("{:.2}", a.top5), work(e)];
        Row { name: e.exit.to_string(), cells: cells.map(plain).into() }
    };
    let columns = ["exit", "top-1, %", "95 % interval", "top-5, %", "multiply-adds, millions"];
    let mut table = table("The numbers", &columns, evaluation.exits.iter().map(row).collect());
    table.folded = true;
    Section {
        id: "accuracy",
        link: "Accuracy",
        title: "Accuracy, exit by exit".into(),
        texts,
        layout: "wide",
        parts: vec![Part {
            chart: Some(both(WIDE, |size| plots::accuracy(evaluation, size))),
            table: Some(table),
        }],
        ..Section::default()
    }
}

fn classes(evaluation: &Evaluation) -> Option<Section> {
    let mut shown = plots::shown_classes(evaluation);
    let last = evaluation.exits.last()?;
    let all = shown.len();
    let mut texts = Vec::new();
    if all > MOST_CLASSES {
        shown.sort_by(|&a, &b| last.classes[a].top1.partial_cmp(&last.classes[b].top1).expect("percentages"));
        shown.truncate(MOST_CLASSES);
        texts.push(format!(
            "The {MOST_CLASSES} of {all} classes that exit {} gets wrong most often.",
            last.exit
        ));
    }
    let top1 = |class: usize| evaluation.exits.iter().filter_map(move |e| e.classes[class].top1);
    let least = shown.iter().flat_map(|&class| top1(class)).fold(100.0, f64::min);
    let row = |&class: &usize| Row {
        name: name(&evaluation.classes[class]),
        cells: top1(class)
            .map(|v| shaded(format!("{v:.1}"), (v - least) / (100.0 - least).max(1e-9)))
            .collect(),
    };
    let rows: Vec<Row> = shown.iter().map(row).collect();
    if let Some(text) = widest_gain(evaluation, &shown) {
        texts.push(text);
    }
    let columns = std::iter::once("class".to_string()).chain(exit_names(evaluation));
    let table = Table {
        caption: "Images of each class that each exit gets right, %".into(),
        columns: columns.collect(),
        rows,
        heat: true,
        folded: false,
    };
    Some(Section {
        id: "classes",
        link: "Classes",
        title: "Which classes need the later exits".into(),
        texts,
        parts: vec![Part { chart: None, table: Some(table) }],
        ..Section::default()
    })
}

/// Which class gains most from the first to the last exit, and which least.
fn widest_gain(evaluation: &Evaluation, shown: &[usize]) -> Option<String> {
    let (first, last) = (evaluation.exits.first()?, evaluation.exits.last()?);
    if first.exit == last.exit {
        return None;
    }
    let gain = |&class: &usize| Some((last.classes[class].top1? - first.classes[class].top1?, class));
    let mut gains: Vec<(f64, usize)> = shown.iter().filter_map(gain).collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ([(most, a), ..], [.., (least, b)]) = (&gains[..], &gains[..]) else { return None };
    let points = |gain: f64| format!("{gain:+.1} points").replace('-', "\u{2212}");
    let name = |class: usize| name(&evaluation.classes[class]);
    (a != b).then(|| {
        format!(
            "From exit {} to exit {}, {} gains most ({}), {} least ({}).",
            first.exit,
            last.exit,
            name(*a),
            points(*most),
            name(*b),
            points(*least)
        )
    })
}

fn cost(evaluation: &Evaluation) -> Option<Section> {
    let charts = [plots::multiply_adds, plots::milliseconds];
    let drawn = charts.into_iter().filter(|draw| draw(evaluation, NARROW).is_some());
    let draw = |draw: fn(&Evaluation, Size) -> Option<Drawing>| {
        let chart = both(Size::PAGE, |size| draw(evaluation, size).expect("the other size is there"));
        Part { chart: Some(chart), table: None }
    };
    let parts: Vec<Part> = drawn.map(draw).collect();
    let mut texts = Vec::new();
    if let Some(budgeted) = &evaluation.budgeted {
        texts.push(format!(
            "An image leaves at the first exit that is sure enough. The thresholds are found on {} and \
             applied to the other {}; each point is one budget (the authors' geometric rule).",
            images(budgeted.validation_images),
            thousands(budgeted.images as u64)
        ));
    }
    (!parts.is_empty()).then(|| Section {
        id: "cost",
        link: "Cost",
        title: "What accuracy costs".into(),
        texts,
        layout: "pair",
        parts,
        ..Section::default()
    })
}

fn hardness(evaluation: &Evaluation) -> Section {
    let every = evaluation.hardness.right_exits.last().copied().unwrap_or(0);
    let never = evaluation.hardness.never_right;
    let n = evaluation.images;
    let text = format!(
        "Of {}, {} right at every exit and {} at none; the exits differ about the other {}.",
        images(n),
        if every == 1 { "1 is".into() } else { format!("{} are", thousands(every)) },
        thousands(never),
        thousands(n as u64 - every - never)
    );
    let charts = [plots::hardness, plots::first_right];
    Section {
        id: "hardness",
        link: "Hardness",
        title: "How hard the images are".into(),
        texts: vec![text],
        layout: "pair",
        parts: charts.into_iter().map(|draw| titled(|size| draw(evaluation, size))).collect(),
        ..Section::default()
    }
}

fn confidence(evaluation: &Evaluation) -> Section {
    let size = Size { height: 420.0, ..WIDE };
    let text = "A disc is the images of about one confidence, its area their number. Under the diagonal the \
                exit is surer than it is right. ECE, the expected calibration error, is the mean distance.";
    let part = |e: &ExitEvaluation| {
        let ece = format!("Exit {}: ECE {:.1} %", e.exit, 100.0 * e.calibration.ece);
        let bins = e.calibration.reliability.iter().filter(|bin| bin.images > 0);
        let row = |bin: &crate::evaluation::Bin| {
            let of = |share: Option<f64>| share.map_or(String::new(), |v| format!("{:.1}", 100.0 * v));
            let cells = [thousands(bin.images), of(bin.confidence), of(bin.accuracy)];
            Row {
                name: format!("{:.0} to {:.0}", 100.0 * bin.from, 100.0 * bin.to),
                cells: cells.map(plain).into(),
            }
        };
        let columns = ["confidence, %", "images", "mean confidence, %", "right, %"];
        let mut table = table(&ece, &columns, bins.map(row).collect());
        table.folded = true;
        Part { chart: Some(both(size, |size| plots::confidence(e, size))), table: Some(table) }
    };
    Section {
        id: "confidence",
        link: "Confidence",
        title: "Is an exit as sure as it is right?".into(),
        texts: vec![text.into()],
        choice: choice(evaluation),
        layout: "wide",
        parts: evaluation.exits.iter().map(part).collect(),
    }
}

fn confusion(evaluation: &Evaluation) -> Section {
    let names: Vec<String> = evaluation.classes.iter().map(|class| name(class)).collect();
    let small = names.len() <= MOST_CLASSES;
    let part = |e: &ExitEvaluation| {
        let table = if small { confusion_table(e, &names) } else { confused_pairs(e, &names) };
        Part { chart: None, table: Some(table) }
    };
    Section {
        id: "confusion",
        link: "Confusion",
        title: "What is taken for what".into(),
        choice: choice(evaluation),
        parts: evaluation.exits.iter().map(part).collect(),
        ..Section::default()
    }
}

fn confusion_table(exit: &ExitEvaluation, names: &[String]) -> Table {
    let rows = exit.confusion.iter().zip(names).map(|(row, name)| {
        let all = row.iter().sum::<u64>().max(1) as f64;
        let cell = |&n: &u64| match n {
            0 => plain("\u{b7}".into()),
            n => shaded(thousands(n), n as f64 / all),
        };
        Row { name: name.clone(), cells: row.iter().map(cell).collect() }
    });
    Table {
        caption: format!("Exit {}: true class by predicted class, images", exit.exit),
        columns: std::iter::once(String::new()).chain(names.iter().cloned()).collect(),
        rows: rows.collect(),
        heat: true,
        folded: false,
    }
}

/// The most frequent mistakes, where a whole matrix would be too large to read.
fn confused_pairs(exit: &ExitEvaluation, names: &[String]) -> Table {
    const SHOWN: usize = 20;
    let cells = exit.confusion.iter().enumerate();
    let cells = cells.flat_map(|(t, row)| row.iter().enumerate().map(move |(p, &n)| (n, t, p)));
    let mut pairs: Vec<(u64, usize, usize)> = cells.filter(|&(n, t, p)| n > 0 && t != p).collect();
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let rows = pairs.iter().take(SHOWN).map(|&(n, truth, predicted)| Row {
        name: names[truth].clone(),
        cells: vec![plain(names[predicted].clone()), plain(thousands(n))],
    });
    let caption = format!("Exit {}: its most frequent mistakes", exit.exit);
    table(&caption, &["true class", "taken for", "images"], rows.collect())
}

fn choice(evaluation: &Evaluation) -> Option<Choice> {
    Some(Choice { legend: "Exit", options: exit_names(evaluation).collect() })
}

fn exit_names(evaluation: &Evaluation) -> impl Iterator<Item = String> {
    evaluation.exits.iter().map(|e| e.exit.to_string())
}

/// A chart at two sizes, of which the style shows the one that fits.
fn both(broad: Size, draw: impl Fn(Size) -> Drawing) -> String {
    let [broad, narrow] = [broad, NARROW].map(|size| draw(size).inline_svg());
    format!("<div class=\"broad\">{broad}</div><div class=\"narrow\">{narrow}</div>")
}

/// A chart that needs its title, since it stands beside another.
fn titled(draw: impl Fn(Size) -> Drawing) -> Part {
    let title = format!("<figcaption><h3>{}</h3></figcaption>", draw(NARROW).name);
    Part { chart: Some(title + &both(Size::PAGE, draw)), table: None }
}

fn images(n: usize) -> String {
    count(n, "image", "images")
}

fn table(caption: &str, columns: &[&str], rows: Vec<Row>) -> Table {
    let columns = columns.iter().map(|name| name.to_string()).collect();
    Table { caption: caption.into(), columns, rows, heat: false, folded: false }
}

fn plain(text: String) -> Cell {
    Cell { text, shade: None }
}

fn shaded(text: String, shade: f64) -> Cell {
    Cell { text, shade: Some(format!("{:.3}", shade.clamp(0.0, 1.0))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{ExitOutcome, Outcome};

    /// Ten images of two classes, of which the exits get so many right.
    fn said(right: &[usize]) -> String {
        let outcome = |image: usize| Outcome {
            label: 0,
            exits: right
                .iter()
                .map(|&n| {
                    let wrong = usize::from(image >= n);
                    ExitOutcome::new(wrong, 0.9, wrong)
                })
                .collect(),
        };
        let outcomes: Vec<Outcome> = (0..10).map(outcome).collect();
        let exits: Vec<usize> = (1..=right.len()).collect();
        let classes = ["cat", "dog"].map(String::from);
        best_and_last(&Evaluation::new(&outcomes, &exits, &classes, None)).unwrap()
    }

    #[test]
    fn an_exit_that_ties_with_the_last_is_not_called_better() {
        assert!(said(&[7, 8]).starts_with("The last exit is the best: 80"));
        assert!(said(&[8, 7]).starts_with("The best exit is not the last: exit 1 is right on 80"));
        assert!(said(&[7, 8, 8]).starts_with("Exit 2 is as good as the last: both are right on 80"));
    }
}
