//! Which class of a model each class of a data set is.

use serde::Serialize;

use super::labels::{Labeling, shortened};
use crate::error::printable;
use crate::util::imagenet;

/// Rule by which the classes of a data set become those of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LabelsBy {
    /// Folders by name, or else by number; ImageNet's by their WordNet ids, or all in order; labels of a CIFAR file by
    /// name, or else by number if no name speaks against it.
    #[default]
    Auto,
    /// By name, ignoring case.
    Name,
    /// By number. Folders are counted from 1 if one of them is called as many as the model has classes, from 0
    /// otherwise.
    Number,
    /// The sorted folders are the model's classes in their order, as torchvision's `ImageFolder` has it; labels
    /// of a CIFAR file are class numbers.
    Order,
    /// No labels.
    None,
}

/// Which class of a model each class of a data set became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelMapping {
    /// The rule: `name`, `number`, `wordnet` or `order`.
    pub by: &'static str,
    /// The classes that have one, in the order of the data set.
    pub classes: Vec<MappedClass>,
    /// Whether the data set's names say something else than the model's, so that a user is to see them.
    #[serde(skip)]
    pub(super) differs: bool,
}

/// One class of a [`LabelMapping`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MappedClass {
    /// Its name in the data set: of the folder, or in the CIFAR format.
    pub name: String,
    /// Index of the model's class.
    pub class: usize,
    /// The model's name of it.
    pub class_name: String,
}

impl LabelMapping {
    /// One line about names that differ from the model's; `None` if none does.
    pub fn note(&self) -> Option<String> {
        let differs = |class: &&MappedClass| self.by == "order" || class.name != class.class_name;
        let mut pairs: Vec<&MappedClass> = self.classes.iter().filter(differs).collect();
        pairs.sort_by_key(|pair| pair.class);
        let pairs: Vec<String> =
            pairs.iter().map(|pair| format!("{} = {}", pair.name, pair.class_name)).collect();
        (self.differs && !pairs.is_empty()).then(|| format!("labels by {}: {}", self.by, shortened(&pairs)))
    }
}

/// The classes of `labeling` as classes of a model, by a rule other than [`LabelsBy::None`]; `Err` is the reason
/// why they do not match.
pub fn mapping(labeling: &Labeling, model: &[String], by: LabelsBy) -> Result<LabelMapping, String> {
    let matching = Matching { labeling, model, found: found(&labeling.classes, model) };
    match (by, labeling.numbered) {
        (LabelsBy::Name, _) => matching.by_name(),
        (LabelsBy::Number, false) => matching.by_number(true),
        (LabelsBy::Order, false) => matching.by_order(),
        (LabelsBy::Number | LabelsBy::Order, true) => matching.as_numbers(),
        (LabelsBy::Auto | LabelsBy::None, true) => matching.by_name().or_else(|unknown| {
            let elsewhere = |(i, found): (usize, &Option<usize>)| found.is_some_and(|class| class != i);
            let contradicted = matching.found.iter().enumerate().any(elsewhere);
            if contradicted { Err(unknown) } else { matching.as_numbers() }
        }),
        (LabelsBy::Auto | LabelsBy::None, false) => matching.by_name().or_else(|unknown| {
            let digits = |i: usize| number(&labeling.classes[i]).is_some();
            if matching.needed().all(digits) {
                matching.by_number(false)
            } else if let Some(mapping) = matching.by_wordnet_id() {
                Ok(mapping)
            } else if labeling.classes.len() == model.len()
                && labeling.classes.iter().all(|name| is_wordnet(name))
            {
                matching.by_order()
            } else {
                Err(unknown)
            }
        }),
    }
}

/// The labels as indices of the classes of a model, which are called `model`.
pub fn mapped(labeling: &Labeling, mapping: &LabelMapping, model: &[String]) -> Labeling {
    let class_of = |name: &String| mapping.classes.iter().find(|class| class.name == *name).map(|c| c.class);
    let classes: Vec<Option<usize>> = labeling.classes.iter().map(class_of).collect();
    let labels = labeling.labels.iter().map(|label| label.and_then(|label| classes[label])).collect();
    Labeling { classes: model.to_vec(), labels, numbered: labeling.numbered }
}

/// Whether the folders of `labeling` can be taken in order.
pub fn has_order(labeling: &Labeling, model: &[String]) -> bool {
    !labeling.numbered && Matching { labeling, model, found: Vec::new() }.by_order().is_ok()
}

/// For each class the index of the model's of the same name, ignoring case.
fn found(classes: &[String], model: &[String]) -> Vec<Option<usize>> {
    let lower: Vec<String> = model.iter().map(|name| name.to_lowercase()).collect();
    let position = |name: &String| {
        let exact = model.iter().position(|class| class == name);
        let name = name.to_lowercase();
        exact.or_else(|| lower.iter().position(|class| *class == name))
    };
    classes.iter().map(position).collect()
}

/// The value of a name that consists of digits.
fn number(name: &str) -> Option<usize> {
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// Whether a name is a WordNet number such as `n01440764`: those of ImageNet's folders, whose sorted order is that of
/// the classes of every ImageNet network.
fn is_wordnet(name: &str) -> bool {
    name.strip_prefix('n').is_some_and(|digits| digits.len() == 8 && number(digits).is_some())
}

/// A labeling, the names of a model's classes, and which names occur in both.
struct Matching<'a> {
    labeling: &'a Labeling,
    model: &'a [String],
    found: Vec<Option<usize>>,
}

impl Matching<'_> {
    /// The classes that need one of the model's: all of a CIFAR file, folders with at least one image.
    fn needed(&self) -> impl Iterator<Item = usize> {
        let Labeling { classes, labels, numbered, .. } = self.labeling;
        let mut needed = vec![*numbered; classes.len()];
        labels.iter().flatten().for_each(|&class| needed[class] = true);
        (0..classes.len()).filter(move |&class| needed[class])
    }

    fn names(&self, classes: impl Iterator<Item = usize>) -> String {
        shortened(&classes.map(|class| self.labeling.classes[class].clone()).collect::<Vec<_>>())
    }

    /// The mapping of those classes that `class` gives one.
    fn mapping(&self, by: &'static str, class: impl Fn(usize) -> Option<usize>) -> LabelMapping {
        let mapped = |(i, name): (usize, &String)| {
            let class = class(i)?;
            Some(MappedClass { name: name.clone(), class, class_name: self.model[class].clone() })
        };
        let classes = self.labeling.classes.iter().enumerate().filter_map(mapped).collect();
        // Numbers are names that say nothing else.
        let says_nothing = || self.model.iter().enumerate().all(|(i, name)| *name == i.to_string());
        LabelMapping { by, classes, differs: by != "name" && !(self.labeling.numbered && says_nothing()) }
    }

    fn by_name(&self) -> Result<LabelMapping, String> {
        if self.needed().all(|class| self.found[class].is_some()) {
            return Ok(self.mapping("name", |class| self.found[class]));
        }
        let model = shortened(self.model);
        if self.needed().any(|class| self.found[class].is_some()) {
            let unknown = self.names(self.needed().filter(|&class| self.found[class].is_none()));
            return Err(format!("the network has no class {unknown}: it has {model}"));
        }
        let (all, names) = (self.needed().count(), self.names(self.needed()));
        Err(match self.labeling.numbered {
            true => {
                format!("its {all} classes ({names}) are not the network's {} ({model})", self.model.len())
            }
            false => format!(
                "no folder has the name or number of a class: the folders are {names}, the network's {} classes \
                 are {model}",
                self.model.len()
            ),
        })
    }

    /// Folders that are called by WordNet ids of classes of ImageNet, for a network with as many classes: any of them.
    fn by_wordnet_id(&self) -> Option<LabelMapping> {
        let of_folder = |class: usize| imagenet::class_of(&self.labeling.classes[class]);
        let is_imagenet = self.model.len() == imagenet::classes().count();
        let all = is_imagenet && self.needed().all(|class| of_folder(class).is_some());
        all.then(|| self.mapping("wordnet", of_folder))
    }

    /// Folders that are called by numbers from 0 or from 1. Where the names fit both, they are counted from 0 if
    /// `from_0`, and refused otherwise.
    fn by_number(&self, from_0: bool) -> Result<LabelMapping, String> {
        let n = self.model.len();
        let numbers: Vec<Option<usize>> = self.labeling.classes.iter().map(|name| number(name)).collect();
        if let Some(class) = self.needed().find(|&class| numbers[class].is_none()) {
            return Err(format!("the folder {} is no number", printable(&self.labeling.classes[class])));
        }
        let has = |value: usize| numbers.contains(&Some(value));
        let first = match (has(0), has(n)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) if from_0 => 0,
            (false, false) => {
                let cause = "may count from 0 or from 1";
                let out = self.needed().find(|&class| numbers[class] > Some(n));
                let ambiguous = || format!("the folders {} {cause}", self.names(self.needed()));
                return Err(out.map_or_else(ambiguous, |class| self.no_such_number(class, 0)));
            }
        };
        let class = |i: usize| numbers[i]?.checked_sub(first).filter(|&class| class < n);
        if let Some(out) = self.needed().find(|&i| class(i).is_none()) {
            return Err(self.no_such_number(out, first));
        }
        let mut taken = vec![None; n];
        for i in self.needed() {
            if let Some(before) = class(i).and_then(|class| taken[class].replace(i)) {
                return Err(format!(
                    "the folders {} are the same number",
                    self.names([before, i].into_iter())
                ));
            }
        }
        Ok(self.mapping("number", class))
    }

    fn no_such_number(&self, class: usize, first: usize) -> String {
        let (name, n) = (printable(&self.labeling.classes[class]), self.model.len());
        format!("the folder {name}: the network has classes {first} to {}", n + first - 1)
    }

    /// The sorted folders. One without images counts if that makes as many as the model has classes.
    fn by_order(&self) -> Result<LabelMapping, String> {
        let (all, n) = (self.labeling.classes.len(), self.model.len());
        let needed: Vec<usize> = self.needed().collect();
        let position = |class: usize| match all == n {
            true => Some(class),
            false => needed.iter().position(|&other| other == class),
        };
        match all == n || needed.len() == n {
            true => Ok(self.mapping("order", position)),
            false => Err(self.counts()),
        }
    }

    /// The labels of a CIFAR file as the class numbers that they are.
    fn as_numbers(&self) -> Result<LabelMapping, String> {
        match self.labeling.classes.len() == self.model.len() {
            true => Ok(self.mapping("number", Some)),
            false => Err(self.counts()),
        }
    }

    fn counts(&self) -> String {
        let (needed, n) = (self.needed().count(), self.model.len());
        let (names, model) = (self.names(self.needed()), shortened(self.model));
        format!("{needed} classes ({names}), the network has {n} ({model})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    /// Folders with an image each; those in parentheses have none.
    fn folders(text: &str) -> Labeling {
        let names = names(text);
        let labels = (0..names.len()).filter(|&i| !names[i].starts_with('(')).map(Some).collect();
        let classes = names.iter().map(|name| name.trim_matches(['(', ')']).to_string()).collect();
        Labeling { classes, labels, numbered: false }
    }

    fn cifar(text: &str) -> Labeling {
        Labeling { classes: names(text), labels: vec![Some(0)], numbered: true }
    }

    /// `by: a = A, b = B`, or the error.
    fn shown(labeling: &Labeling, model: &str, by: LabelsBy) -> String {
        let mapping = match mapping(labeling, &names(model), by) {
            Ok(mapping) => mapping,
            Err(cause) => return cause,
        };
        let pairs: Vec<String> =
            mapping.classes.iter().map(|class| format!("{}={}", class.name, class.class_name)).collect();
        format!("{}: {}", mapping.by, pairs.join(" "))
    }

    #[test]
    fn folders_are_matched_by_name_then_by_number_and_never_by_order_unasked() {
        use LabelsBy::{Auto, Name, Number, Order};
        let no_class = |names: &str| {
            format!(
                "no folder has the name or number of a class: the folders are {names}, the network's 3 classes \
                 are bird, cat, dog"
            )
        };
        for (text, by, expected) in [
            ("cat dog", Auto, "name: cat=cat dog=dog"),
            ("Dog", Auto, "name: Dog=dog"),
            ("(__trash) cat", Auto, "name: cat=cat"),
            ("0 1 2", Auto, "number: 0=bird 1=cat 2=dog"),
            ("01 02 03", Auto, "number: 01=bird 02=cat 03=dog"),
            ("0 2", Auto, "number: 0=bird 2=dog"),
            ("1 3", Auto, "number: 1=bird 3=dog"),
            ("(0) 1", Auto, "number: 0=bird 1=cat"),
            ("1 2", Auto, "the folders 1, 2 may count from 0 or from 1"),
            ("1 2", Number, "number: 1=cat 2=dog"),
            ("0 3", Auto, "the folder 3: the network has classes 0 to 2"),
            ("1 7", Auto, "the folder 7: the network has classes 0 to 2"),
            ("1 01 3", Auto, "the folders 1, 01 are the same number"),
            ("1 x", Number, "the folder x is no number"),
            ("n01440764 n01443537 n01484850", Auto, "order: n01440764=bird n01443537=cat n01484850=dog"),
            ("n01440764 n01443537", Auto, &no_class("n01440764, n01443537")),
            ("n01 n02 n03", Auto, &no_class("n01, n02, n03")),
            ("n01 n02 n03", Order, "order: n01=bird n02=cat n03=dog"),
            ("n01 (n02) n03", Order, "order: n01=bird n02=cat n03=dog"),
            ("(empty) n01 n02 n03", Order, "order: n01=bird n02=cat n03=dog"),
            ("n01 n02", Order, "2 classes (n01, n02), the network has 3 (bird, cat, dog)"),
            ("1 2 3", Name, &no_class("1, 2, 3")),
            ("cat hund", Auto, "the network has no class hund: it has bird, cat, dog"),
            ("hund katze vogel", Name, &no_class("hund, katze, vogel")),
        ] {
            assert_eq!(shown(&folders(text), "bird cat dog", by), expected, "{text} {by:?}");
        }
        assert_eq!(shown(&folders("1 10 2"), "0 1 2", Auto), "the folder 10: the network has classes 0 to 2");
        assert_eq!(shown(&folders("1 2 3"), "0 1 2", Auto), "number: 1=0 2=1 3=2");
    }

    #[test]
    fn some_folders_of_imagenet_are_matched_by_their_wordnet_ids() {
        let model: Vec<String> = imagenet::classes().map(|(_, name)| name.to_string()).collect();
        let of = |text: &str| mapping(&folders(text), &model, LabelsBy::Auto);
        let found = of("n02123159 n01440764 (other)").unwrap();
        let pairs: Vec<(&str, usize)> =
            found.classes.iter().map(|class| (class.name.as_str(), class.class)).collect();
        assert_eq!((found.by, &pairs[..]), ("wordnet", &[("n02123159", 282), ("n01440764", 0)][..]));
        assert_eq!(found.note().unwrap(), "labels by wordnet: n01440764 = tench, n02123159 = tiger cat");
        assert!(of("n02123159 n00000001").unwrap_err().starts_with("no folder has the name or number"));
    }

    #[test]
    fn labels_of_a_cifar_file_are_class_numbers_unless_a_name_speaks_against_it() {
        use LabelsBy::{Auto, Name, Number};
        for (model, by, expected) in [
            ("bird cat", Auto, "name: bird=bird cat=cat"),
            ("cat bird", Auto, "name: bird=bird cat=cat"),
            ("Vogel cat", Auto, "number: bird=Vogel cat=cat"),
            ("0 1", Auto, "number: bird=0 cat=1"),
            ("cat Vogel", Auto, "the network has no class bird: it has cat, Vogel"),
            ("cat Vogel", Number, "number: bird=cat cat=Vogel"),
            ("Vogel cat", Name, "the network has no class bird: it has Vogel, cat"),
            ("a b c", Auto, "2 classes (bird, cat), the network has 3 (a, b, c)"),
        ] {
            assert_eq!(shown(&cifar("bird cat"), model, by), expected, "{model} {by:?}");
        }
    }

    #[test]
    fn a_note_tells_what_the_names_alone_do_not() {
        let note =
            |labeling: &Labeling, model: &str, by| mapping(labeling, &names(model), by).unwrap().note();
        assert_eq!(note(&folders("dog cat"), "cat dog", LabelsBy::Auto), None);
        let numbers = note(&folders("1 2"), "cat dog", LabelsBy::Auto).unwrap();
        assert_eq!(numbers, "labels by number: 1 = cat, 2 = dog");
        let order = note(&folders("a dog"), "cat dog", LabelsBy::Order).unwrap();
        assert_eq!(order, "labels by order: a = cat, dog = dog");
        assert_eq!(note(&cifar("cat dog"), "0 1", LabelsBy::Auto), None);
        assert_eq!(note(&folders("0 1"), "0 1", LabelsBy::Number), None);
        assert_eq!(
            note(&cifar("cat dog"), "Katze dog", LabelsBy::Auto).unwrap(),
            "labels by number: cat = Katze"
        );
    }
}
