//! Names in a message: the first few, shortened.

/// Names that are shown.
const SHOWN: usize = 6;
/// Characters of each.
const LONGEST: usize = 80;

/// The first names in quotation marks, separated by commas, and how many more there are.
pub fn listed(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> =
        names.by_ref().take(SHOWN).map(|name| format!("'{}'", short(name.as_ref()))).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The name, or its beginning.
fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &name[..at]),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_and_long_names_are_cut() {
        assert_eq!(listed(["a", "b"]), "'a', 'b'");
        assert_eq!(listed(["a"; 9]), "'a', 'a', 'a', 'a', 'a', 'a' and 3 more");
        assert_eq!(listed(["\u{e9}".repeat(100)]), format!("'{}...'", "\u{e9}".repeat(80)));
        assert_eq!(listed([""; 0]), "");
    }
}
