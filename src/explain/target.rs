//! The target: the class that is explained.

use crate::Result;
use crate::engine::tensor::argmax;
use crate::error::RequestError;

/// The class whose score is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// The class that each exit predicts.
    #[default]
    Predicted,
    /// The class with this index.
    Class(usize),
    /// The image's label, which the caller gives.
    Label,
    /// The class that the last exit predicts, at every exit.
    Final,
    /// Each exit's n most probable classes, with one explanation for each.
    Top(usize),
}

impl Target {
    /// The target that `text` names: `predicted`, `label`, `final`, `top3` for the three most probable
    /// classes, a class's name among `labels` in any case, or its index. Keywords take precedence over
    /// names, and names over indices.
    ///
    /// # Errors
    /// When it is none of these; the message lists some classes.
    ///
    /// ```
    /// use msdcam::explain::Target;
    ///
    /// let labels = ["cat".to_string(), "dog".to_string()];
    /// assert_eq!(Target::parse("Dog", &labels), Ok(Target::Class(1)));
    /// assert_eq!(Target::parse("top2", &labels), Ok(Target::Top(2)));
    /// assert!(Target::parse("cow", &labels).is_err());
    /// ```
    pub fn parse(text: &str, labels: &[String]) -> Result<Target> {
        let top = text.strip_prefix("top").and_then(|n| n.parse().ok());
        match (text, top) {
            ("predicted", _) => Ok(Target::Predicted),
            ("label", _) => Ok(Target::Label),
            ("final", _) => Ok(Target::Final),
            (_, Some(n)) => Ok(Target::Top(n)),
            _ => class_of(text, labels, &["predicted", "label", "final", "top<number>"]).map(Target::Class),
        }
    }

    /// The number of explanations for each exit: 1, or the n of [`Target::Top`].
    pub fn ranks(self) -> usize {
        if let Target::Top(n) = self { n } else { 1 }
    }

    /// The text that [`Target::parse`] reads.
    pub fn name(self, labels: &[String]) -> String {
        match self {
            Target::Predicted => "predicted".into(),
            Target::Label => "label".into(),
            Target::Final => "final".into(),
            Target::Top(n) => format!("top{n}"),
            Target::Class(class) => labels.get(class).cloned().unwrap_or_else(|| class.to_string()),
        }
    }

    pub(crate) fn check(self, classes: usize) -> Result<()> {
        match self {
            Target::Class(class) => check_class(class, classes),
            Target::Top(n) if n == 0 || n > classes => {
                Err(RequestError::TopClasses { requested: n, classes }.into())
            }
            _ => Ok(()),
        }
    }
}

/// The index of the class that `text` names: by its label, in any case if none matches exactly, or by its
/// index.
///
/// # Errors
/// When there is no such class; the message lists some classes, and the keywords `words`.
pub fn class_of(text: &str, labels: &[String], words: &[&str]) -> Result<usize> {
    const SHOWN: usize = 10;
    let exact = labels.iter().position(|label| label == text);
    let any_case = || labels.iter().position(|label| label.to_lowercase() == text.to_lowercase());
    let number = || text.parse().ok().filter(|&n: &usize| n < labels.len());
    exact.or_else(any_case).or_else(number).ok_or_else(|| {
        let error = RequestError::UnknownClassName {
            name: text.into(),
            examples: labels[..labels.len().min(SHOWN)].to_vec(),
            classes: labels.len(),
            words: words.iter().map(|word| word.to_string()).collect(),
        };
        error.into()
    })
}

/// Checks a class index.
///
/// # Errors
/// When it is not below `classes`.
pub(crate) fn check_class(class: usize, classes: usize) -> Result<()> {
    if class < classes {
        return Ok(());
    }
    Err(RequestError::UnknownClass { class, classes }.into())
}

/// The `n` classes with the highest logits, in descending order; of equal logits the lower index first.
pub(crate) fn best_classes(logits: &[f32], n: usize) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..logits.len()).collect();
    let mut best = Vec::with_capacity(n.min(logits.len()));
    while best.len() < n && !rest.is_empty() {
        let mut first = 0;
        for i in 1..rest.len() {
            if logits[rest[i]] > logits[rest[first]] {
                first = i;
            }
        }
        best.push(rest.remove(first));
    }
    best
}

/// Element `rank` of [`best_classes`], without an allocation unless a logit is NaN.
pub(crate) fn best_class(logits: &[f32], rank: usize) -> usize {
    let mut best = argmax(logits);
    if rank > 0 && logits.iter().any(|x| x.is_nan()) {
        return best_classes(logits, rank + 1)[rank];
    }
    for _ in 0..rank {
        let last = (logits[best], best);
        let rest = logits.iter().enumerate().filter(|&(i, &x)| x < last.0 || x == last.0 && i > last.1);
        best =
            rest.reduce(|a, b| if b.1 > a.1 { b } else { a }).expect("a rank below the number of classes").0;
    }
    best
}

/// The number of classes that rank before `class`; see [`super::ExitPrediction::rank`].
pub(crate) fn class_rank(logits: &[f32], class: usize) -> usize {
    assert!(class < logits.len(), "class {class} of {}", logits.len());
    let mine = logits[class];
    let before = |&(other, &score): &(usize, &f32)| {
        other != class && !(score < mine || score == mine && other > class)
    };
    logits.iter().enumerate().filter(before).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_are_in_descending_order_with_ties_by_index() {
        assert_eq!(best_classes(&[1.0, 3.0, 3.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(best_classes(&[f32::NAN, 3.0], 2), [0, 1]);
        assert_eq!(best_classes(&[1.0], 4), [0]);
        for logits in [[1.0, 3.0, 3.0, 2.0], [f32::NAN, 3.0, f32::NAN, 4.0], [0.0, -0.0, 0.0, f32::INFINITY]]
        {
            let best: Vec<usize> = (0..4).map(|rank| best_class(&logits, rank)).collect();
            assert_eq!(best, best_classes(&logits, 4), "{logits:?}");
        }
    }

    #[test]
    fn a_target_is_a_keyword_or_a_name_or_an_index() {
        let labels = ["cat", "label", "Topaz", "3", "cow"].map(String::from);
        for (text, target) in [
            ("predicted", Target::Predicted),
            ("label", Target::Label),
            ("final", Target::Final),
            ("top3", Target::Top(3)),
            ("topaz", Target::Class(2)),
            ("3", Target::Class(3)),
            ("4", Target::Class(4)),
            ("Cat", Target::Class(0)),
        ] {
            assert_eq!(Target::parse(text, &labels), Ok(target), "{text}");
        }
        for text in ["", "5", "-1", "top", "top-1", "1e3"] {
            assert!(Target::parse(text, &labels).is_err(), "{text}");
        }
        let error = Target::parse("5", &labels).unwrap_err().to_string();
        assert!(
            error.starts_with("class '5': the network has cat, label, Topaz, 3, cow, or by number 0 to 4;")
        );
        for target in [Target::Predicted, Target::Top(2), Target::Class(2)] {
            assert_eq!(Target::parse(&target.name(&labels), &labels), Ok(target));
        }
    }
}
