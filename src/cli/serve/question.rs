//! What the page asks: the settings of an `explain` command for one photo. They become that command's arguments, so
//! that the page gets what the command gives, and the command can be shown.

use std::ffi::{OsStr, OsString};

use serde::Deserialize;

use crate::error::printable;
use crate::explain::{Method, Target};
use crate::{Error, Result};

use super::models::ServedModel;
use crate::cli::exits::ranges;
use crate::cli::explain::one_photo::OnePhotoJob;
use crate::cli::explain_arguments;

/// The settings of the page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Number of the photo.
    pub photo: String,
    /// Position of the model.
    pub model: usize,
    method: String,
    tap: String,
    /// `predicted`, `final`, or the index of a class.
    class: String,
    score: String,
    smooth: String,
    #[serde(default)]
    colormap: Option<String>,
    #[serde(default)]
    opacity: Option<f64>,
    #[serde(default)]
    scale: Option<String>,
    #[serde(default)]
    contours: bool,
    /// `none`, or a threshold.
    #[serde(default)]
    boxes: Option<String>,
    /// The file that is asked for.
    #[serde(default)]
    pub kind: Option<String>,
    /// Number of the exit of the picture that is asked for.
    #[serde(default)]
    pub exit: Option<usize>,
}

impl Question {
    /// The options of the method, without those that have their default.
    fn method_options(&self, model: &ServedModel) -> Result<Vec<String>> {
        let class = self.class(model)?;
        let options = [
            ("method", self.method.as_str(), "grad-cam"),
            ("tap", &self.tap, "own"),
            ("class", &class, "predicted"),
            ("score", &self.score, "logit"),
            ("smooth", &self.smooth, "none"),
        ];
        let mut options = given(options);
        if let Some(exits) = self.exits(model) {
            options.push(format!("--exits={exits}"));
        }
        Ok(options)
    }

    /// The exits that depend on the tap, if others do not and the method needs that.
    fn exits(&self, model: &ServedModel) -> Option<String> {
        let model = &model.loaded.model;
        let Ok(Method::Map(method)) = self.method.parse() else { return None };
        if self.tap == "own" || !method.needs_path() {
            return None;
        }
        let depends = |exit: &usize| model.taps_reaching(*exit).iter().any(|tap| tap.name == self.tap);
        let exits: Vec<usize> = (1..=model.exits.len()).filter(depends).collect();
        (!exits.is_empty() && exits.len() < model.exits.len()).then(|| ranges(&exits))
    }

    /// The options of the pictures, without those that have their default.
    fn picture_options(&self) -> Vec<String> {
        let opacity = self.opacity.map(|opacity| opacity.to_string());
        let options = [
            ("colormap", &self.colormap, "jet"),
            ("heat-alpha", &opacity, "0.5"),
            ("scale", &self.scale, "own"),
            ("boxes", &self.boxes, "none"),
        ];
        let set =
            options.into_iter().filter_map(|(name, value, default)| Some((name, value.as_deref()?, default)));
        let mut options = given(set.filter(|(_, value, _)| !value.is_empty()));
        if self.contours {
            options.push("--contours".into());
        }
        options
    }

    /// The class as `--class` takes it: by its name, where that means the same.
    fn class(&self, model: &ServedModel) -> Result<String> {
        let Ok(index) = self.class.parse::<usize>() else {
            return match self.class.as_str() {
                "predicted" | "final" => Ok(self.class.clone()),
                other => Err(Error::usage(format!("class '{other}': expected predicted, final or an index"))),
            };
        };
        let labels = &model.loaded.model.labels;
        let is_meant = |text: &&String| Target::parse(text, labels) == Ok(Target::Class(index));
        let names = [labels.get(index).cloned().unwrap_or_default(), index.to_string()];
        names.iter().find(is_meant).cloned().ok_or_else(|| {
            Error::usage(format!(
                "class {index}: the network has {} classes, and no option means this one",
                labels.len()
            ))
        })
    }

    /// The text that tells the explanations of a photo by a model from others.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn key(&self, model: &ServedModel) -> Result<String> {
        Ok(self.method_options(model)?.join("\n"))
    }

    /// All options.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn options(&self, model: &ServedModel) -> Result<Vec<String>> {
        Ok([self.method_options(model)?, self.picture_options()].concat())
    }

    /// The job of the command.
    ///
    /// # Errors
    /// As the command's.
    pub fn job(&self, model: &ServedModel) -> Result<OnePhotoJob> {
        let photo = std::iter::once("photo".into());
        let args =
            explain_arguments(self.options(model)?.into_iter().chain(photo).map(OsString::from).collect())?;
        OnePhotoJob::new(&args, &model.loaded)
    }

    /// The command that makes the same pictures of the photo called `name`, for a shell.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn command(&self, model: &ServedModel, name: &str) -> Result<String> {
        let name = if name.starts_with('-') { format!("./{name}") } else { name.to_string() };
        let words = ["msdcam", "explain", &name].map(OsString::from).into_iter();
        let options = self.options(model)?.into_iter().map(OsString::from);
        let words = words.chain(model.arguments.iter().cloned()).chain(options);
        Ok(words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" "))
    }
}

/// Each option whose value is not its default, of names, values and defaults.
fn given<'a>(options: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    let set = options.into_iter().filter(|(_, value, default)| value != default);
    set.map(|(name, value, _)| format!("--{name}={value}")).collect()
}

/// A word as a POSIX shell reads it. Bytes that are not to be seen, or would mean something to a terminal, are escaped:
/// bash, zsh and newer POSIX shells read `$'\x1b'`.
fn quoted(word: &OsStr) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match word.to_str().filter(|word| printable(word) == *word) {
        Some(word) if !word.is_empty() && word.chars().all(is_plain) => word.into(),
        Some(word) => format!("'{}'", word.replace('\'', r"'\''")),
        None => {
            let escaped = |&byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                0x20..0x7f => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", word.as_encoded_bytes().iter().map(escaped).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        assert_eq!(
            ["a-b.png", "--class=cat", "a b", "", "it's", "$(rm)", "*"].map(|word| quoted(word.as_ref())),
            ["a-b.png", "--class=cat", "'a b'", "''", r"'it'\''s'", "'$(rm)'", "'*'"]
        );
        assert_eq!(
            ["a\u{3}b", "\u{1b}[201~'\\", "\u{202e}"].map(|word| quoted(word.as_ref())),
            [r"$'a\x03b'", r"$'\x1b[201~\'\\'", r"$'\xe2\x80\xae'"]
        );
    }
}
