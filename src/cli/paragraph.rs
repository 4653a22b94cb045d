//! Texts behind a name, wrapped for a terminal of 80 columns.

use super::columns::WIDTH;

/// `text` in lines of at most [`WIDTH`] characters where its words allow it; the first one is behind `start`, which is
/// padded to `indent` characters, the others are indented by as many.
pub fn behind(start: &str, indent: usize, text: &str) -> String {
    let mut lines = vec![format!("{start:indent$}")];
    let mut free = WIDTH.saturating_sub(indent);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let line = lines.last_mut().expect("there is a first line");
        let is_first = free == WIDTH.saturating_sub(indent);
        if is_first {
            line.push_str(word);
            free = free.saturating_sub(length);
        } else if free > length {
            line.push(' ');
            line.push_str(word);
            free -= length + 1;
        } else {
            lines.push(format!("{:indent$}{word}", ""));
            free = WIDTH.saturating_sub(indent + length);
        }
    }
    let mut text = String::new();
    for line in lines {
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_width_and_long_words_stand_alone() {
        assert_eq!(behind("name", 6, "a text"), "name  a text\n");
        assert_eq!(behind("name", 6, ""), "name\n");
        let long = "x".repeat(100);
        assert_eq!(behind("n", 3, &format!("a {long} b")), format!("n  a\n   {long}\n   b\n"));
        let words = ["word"; 40].join(" ");
        let text = behind("n", 3, &words);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.split_whitespace().count(), 41);
        // A line is filled to the last column.
        assert_eq!(behind("", 0, &format!("{} {}", "a".repeat(40), "b".repeat(39))).lines().count(), 1);
        assert_eq!(behind("", 0, &format!("{} {}", "a".repeat(40), "b".repeat(40))).lines().count(), 2);
    }
}
