//! Names as pictures show them. The bundled font has Latin, Greek and Cyrillic letters; for a name in another script
//! its number stands. Fonts of the system are not used: pictures of a run that several machines share, or that is
//! resumed on another, have to be the same.

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::printable;
use crate::render::can_draw;

/// Class names, or numbers in their place.
pub fn classes(names: &[String]) -> Vec<String> {
    let drawn =
        |(class, name): (usize, &String)| if can_draw(name) { name.clone() } else { class.to_string() };
    names.iter().enumerate().map(drawn).collect()
}

/// The headline of image `id`, the `index`-th of its data set from 0: its file name, or its number.
pub fn title(id: &str, index: usize) -> String {
    let name = file_name(id);
    if can_draw(&name) { name } else { format!("image {index}") }
}

fn file_name(id: &str) -> String {
    Path::new(id).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// One line about the names that numbers stand for; `None` if there are none.
pub fn note(classes: &[String], dataset: Option<&Dataset>) -> Option<String> {
    let classes = Undrawn::of("class", classes.iter().cloned());
    let files =
        Undrawn::of("file", dataset.into_iter().flat_map(Dataset::items).map(|item| file_name(&item.id)));
    let parts: Vec<String> = [classes, files].into_iter().flatten().map(|part| part.text()).collect();
    let names = parts.join(" and ");
    (!parts.is_empty()).then(|| format!("pictures have no letters for {names}: they show numbers instead"))
}

/// Names that cannot be drawn.
struct Undrawn {
    what: &'static str,
    first: String,
    count: usize,
}

impl Undrawn {
    fn of(what: &'static str, names: impl Iterator<Item = String>) -> Option<Undrawn> {
        let mut undrawn = names.filter(|name| !can_draw(name));
        let first = undrawn.next()?;
        Some(Undrawn { what, first, count: 1 + undrawn.count() })
    }

    fn text(&self) -> String {
        let (what, first) = (self.what, printable(&self.first));
        match self.count {
            1 => format!("the {what} name {first}"),
            count => format!("{count} {what} names ({first}, ...)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::dataset::{Format, open};

    #[test]
    fn numbers_stand_for_names_without_letters_in_the_font() {
        let names =
            ["cat", "\u{43a}\u{43e}\u{448}\u{43a}\u{430}", "\u{732b}", "\u{5d7}", "\u{e9}", "\u{1f408}"];
        let names = names.map(String::from);
        assert_eq!(classes(&names), ["cat", &names[1], "2", "3", "\u{e9}", "5"]);
        let set = open(&["a/\u{732b}.png", "b\u{e9}.png"].map(PathBuf::from), Format::Auto).unwrap();
        assert_eq!([0, 1].map(|i| title(&set.item(i).id, i)), ["image 0", "b\u{e9}.png"]);
        let said = note(&names, Some(&set)).unwrap();
        let expected = "pictures have no letters for 3 class names (\u{732b}, ...) and the file name \u{732b}.png: \
                        they show numbers instead";
        assert_eq!(said, expected);
        assert_eq!(note(&names[..2], None), None);
    }
}
