//! Boxes around objects, in COCO's form or by the images' names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::{Error, Result};
use serde::Deserialize;

/// Each image's boxes, by its name.
pub type Boxes = HashMap<String, Vec<Box>>;

/// A box in a photo's pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Box {
    class: Class,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Class {
    Any,
    Known(usize),
    /// None of the network's.
    Other,
}

impl Box {
    /// Whether it is around an object of class `class`.
    pub fn is_of(&self, class: usize) -> bool {
        match self.class {
            Class::Any => true,
            Class::Known(known) => known == class,
            Class::Other => false,
        }
    }

    /// Whether a point lies in it.
    pub fn holds(&self, x: f64, y: f64) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// What is read.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Coco {
        images: Vec<CocoImage>,
        annotations: Vec<Annotation>,
        #[serde(default)]
        categories: Vec<Category>,
    },
    Named(BTreeMap<String, Vec<Named>>),
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: Option<u64>,
    bbox: [f64; 4],
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "box")]
    edges: [f64; 4],
    class: Option<NameOrNumber>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Number(usize),
    Name(String),
}

/// Reads the boxes of `file`, whose classes are those of `labels`.
///
/// # Errors
/// When it cannot be read, is no JSON of either form, or a box has no area.
pub fn read(file: &Path, labels: &[String]) -> Result<Boxes> {
    let refused = |place: &str, cause: String| Error::refused(file, place, cause);
    let bytes = std::fs::read(file).map_err(|e| refused("file", format!("cannot read: {e}")))?;
    let json: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| refused("JSON", e.to_string()))?;
    let parsed = File::deserialize(json).map_err(|_| {
        let own = r#"{"a.png": [{"box": [x, y, width, height], "class": "cat"}]}"#;
        refused("boxes", format!("neither COCO's images and annotations nor {own}"))
    })?;
    let mut boxes = Boxes::new();
    let area = |image: &str, class: Class, [x, y, width, height]: [f64; 4]| {
        if !(width > 0.0 && height > 0.0) {
            return Err(refused(&format!("image '{image}'"), format!("a box of {width} x {height}")));
        }
        Ok(Box { class, x, y, width, height })
    };
    match parsed {
        File::Named(images) => {
            for (image, found) in images {
                let boxes = boxes.entry(image.clone()).or_default();
                for Named { edges, class } in found {
                    let class = match class {
                        None => Class::Any,
                        Some(NameOrNumber::Number(n)) if n < labels.len() => Class::Known(n),
                        Some(NameOrNumber::Number(_)) => Class::Other,
                        Some(NameOrNumber::Name(name)) => class_of(&name, labels),
                    };
                    boxes.push(area(&image, class, edges)?);
                }
            }
        }
        File::Coco { images, annotations, categories } => {
            let images: HashMap<u64, String> = images.into_iter().map(|i| (i.id, i.file_name)).collect();
            boxes.extend(images.values().map(|image| (image.clone(), Vec::new())));
            let categories: HashMap<u64, String> = categories.into_iter().map(|c| (c.id, c.name)).collect();
            for Annotation { image_id, category_id, bbox } in annotations {
                let image = images.get(&image_id).ok_or_else(|| {
                    refused("annotations", format!("image_id {image_id}: there is no such image"))
                })?;
                let class = match category_id {
                    None => Class::Any,
                    Some(id) => categories.get(&id).map_or(Class::Other, |name| class_of(name, labels)),
                };
                boxes.entry(image.clone()).or_default().push(area(image, class, bbox)?);
            }
        }
    }
    Ok(boxes)
}

fn class_of(name: &str, labels: &[String]) -> Class {
    let same = |label: &String| label.to_lowercase() == name.to_lowercase();
    labels.iter().position(same).map_or(Class::Other, Class::Known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Boxes> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("boxes.json");
        std::fs::write(&file, text).unwrap();
        read(&file, &["cat", "dog"].map(String::from))
    }

    #[test]
    fn both_forms_say_the_same() {
        let own = parse(r#"{"a.png": [{"box": [1, 2, 3, 4], "class": "Dog"}]}"#).unwrap();
        let coco = r#"{"info": {}, "images": [{"id": 7, "file_name": "a.png"}],
            "annotations": [{"image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4], "area": 12}],
            "categories": [{"id": 18, "name": "dog"}]}"#;
        assert_eq!(own, parse(coco).unwrap());
        let found = own["a.png"][0];
        assert!(found.is_of(1) && !found.is_of(0));
        assert!(found.holds(1.0, 2.0) && found.holds(3.9, 5.9) && !found.holds(4.0, 3.0));
    }

    #[test]
    fn a_box_without_class_is_of_any_and_a_strange_class_of_none() {
        let boxes =
            parse(r#"{"a": [{"box": [0, 0, 1, 1]}, {"box": [0, 0, 1, 1], "class": "cow"}]}"#).unwrap();
        assert!(boxes["a"][0].is_of(0) && boxes["a"][0].is_of(1));
        assert!(!boxes["a"][1].is_of(0) && !boxes["a"][1].is_of(1));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert!(error("{").contains("JSON"));
        assert!(error("[1]").contains("neither COCO's"));
        assert!(error(r#"{"a": [{"box": [0, 0, 0, 1]}]}"#).contains("image 'a': a box of 0 x 1"));
        let stray = r#"{"images": [], "annotations": [{"image_id": 3, "bbox": [0, 0, 1, 1]}]}"#;
        assert!(error(stray).contains("image_id 3"));
    }
}
