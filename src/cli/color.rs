//! Colors of the program's own texts, on a terminal only.
//!
//! What is on a terminal, and what `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM` say, is decided as for clap's help.

use anstream::AutoStream;
use anstream::stream::RawStream;
use clap::builder::styling::{AnsiColor, Color, Effects, Style, Styles};

/// Headings.
pub const HEADING: Style = bold(AnsiColor::Green);
/// What is wrong.
pub const WRONG: Style = bold(AnsiColor::Red);
/// What a user should know.
pub const NOTE: Style = bold(AnsiColor::Yellow);
/// What is in order.
pub const GOOD: Style = bold(AnsiColor::Green);
/// Words to be typed as they are.
pub const LITERAL: Style = bold(AnsiColor::Cyan);

/// The styles of help texts.
pub const HELP: Styles = Styles::styled()
    .header(HEADING)
    .usage(HEADING)
    .literal(LITERAL)
    .placeholder(Style::new().fg_color(Some(Color::Ansi(AnsiColor::Cyan))));

const fn bold(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color))).effects(Effects::BOLD)
}

/// Whether texts on `stream` get colors.
pub fn suits(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// `text` in `style`, if there are colors.
pub fn painted(text: &str, style: Style, colors: bool) -> String {
    if colors { format!("{style}{text}{style:#}") } else { text.into() }
}

/// A line for standard error whose first word says what it is: `error: `, `note: ` or `warning: `.
pub fn of_line(line: &str, colors: bool) -> String {
    let styles = [("error:", WRONG), ("warning:", NOTE), ("note:", NOTE)];
    match styles.iter().find(|(word, _)| line.starts_with(word)) {
        Some((word, style)) => painted(word, *style, colors) + &line[word.len()..],
        None => line.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_word_is_colored_and_only_with_colors() {
        for line in ["error: a error: b", "note: a", "device: cpu", ""] {
            assert_eq!(of_line(line, false), line);
        }
        assert_eq!(of_line("error: a error: b", true), format!("{WRONG}error:{WRONG:#} a error: b"));
        assert_eq!(of_line("device: cpu", true), "device: cpu");
    }
}
