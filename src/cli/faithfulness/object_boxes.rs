//! Bounding boxes of objects, in COCO's format or keyed by image name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::util::input_file;
use crate::{Error, Result};
use serde::Deserialize;

/// The boxes of each image, by its name.
pub type Boxes = HashMap<String, Vec<ObjectBox>>;

/// Bounding box of an object, in pixels of the photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectBox {
    class: BoxClass,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum BoxClass {
    /// Unlabeled: matches every class.
    Any,
    /// A class of the model.
    Known(usize),
    /// A class that the model does not have.
    Other,
}

impl ObjectBox {
    /// Whether its object is of class `class`.
    pub fn is_of(&self, class: usize) -> bool {
        match self.class {
            BoxClass::Any => true,
            BoxClass::Known(known) => known == class,
            BoxClass::Other => false,
        }
    }

    /// Whether it contains the point.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// The two formats of a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum BoxesFile {
    Coco {
        images: Vec<CocoImage>,
        annotations: Vec<Annotation>,
        #[serde(default)]
        categories: Vec<Category>,
    },
    Named(BTreeMap<String, Vec<NamedBox>>),
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
struct NamedBox {
    #[serde(rename = "box")]
    edges: [f64; 4],
    class: Option<NameOrIndex>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrIndex {
    Index(usize),
    Name(String),
}

/// Reads the boxes of `file`; `labels` are the class names of the model.
///
/// # Errors
/// When the file cannot be read or is not JSON in one of the formats, or a box has no area.
pub fn read(file: &Path, labels: &[String]) -> Result<Boxes> {
    let refused = |place: &str, cause: String| Error::refused(file, place, cause);
    let text = input_file::read_text(file, input_file::JSON)?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Error::refused_by(file, "JSON", e))?;
    let parsed = BoxesFile::deserialize(json).map_err(|_| {
        let own = r#"{"a.png": [{"box": [x, y, width, height], "class": "cat"}]}"#;
        refused("boxes", format!("expected COCO's images and annotations, or {own}"))
    })?;
    let mut boxes = Boxes::new();
    let checked = |image: &str, class: BoxClass, [x, y, width, height]: [f64; 4]| {
        if !(width > 0.0 && height > 0.0) {
            return Err(refused(
                &format!("image '{image}'"),
                format!("box of {width} x {height}: expected a positive width and height"),
            ));
        }
        Ok(ObjectBox { class, x, y, width, height })
    };
    match parsed {
        BoxesFile::Named(images) => {
            for (image, found) in images {
                let boxes = boxes.entry(image.clone()).or_default();
                for NamedBox { edges, class } in found {
                    let class = match class {
                        None => BoxClass::Any,
                        Some(NameOrIndex::Index(n)) if n < labels.len() => BoxClass::Known(n),
                        Some(NameOrIndex::Index(_)) => BoxClass::Other,
                        Some(NameOrIndex::Name(name)) => class_of(&name, labels),
                    };
                    boxes.push(checked(&image, class, edges)?);
                }
            }
        }
        BoxesFile::Coco { images, annotations, categories } => {
            let images: HashMap<u64, String> = images.into_iter().map(|i| (i.id, i.file_name)).collect();
            boxes.extend(images.values().map(|image| (image.clone(), Vec::new())));
            let categories: HashMap<u64, String> = categories.into_iter().map(|c| (c.id, c.name)).collect();
            for Annotation { image_id, category_id, bbox } in annotations {
                let image = images
                    .get(&image_id)
                    .ok_or_else(|| refused("annotations", format!("image_id {image_id}: no such image")))?;
                let class = match category_id {
                    None => BoxClass::Any,
                    Some(id) => categories.get(&id).map_or(BoxClass::Other, |name| class_of(name, labels)),
                };
                boxes.entry(image.clone()).or_default().push(checked(image, class, bbox)?);
            }
        }
    }
    Ok(boxes)
}

fn class_of(name: &str, labels: &[String]) -> BoxClass {
    let same = |label: &String| label.to_lowercase() == name.to_lowercase();
    labels.iter().position(same).map_or(BoxClass::Other, BoxClass::Known)
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
    fn both_formats_give_the_same_boxes() {
        let own = parse(r#"{"a.png": [{"box": [1, 2, 3, 4], "class": "Dog"}]}"#).unwrap();
        let coco = r#"{"info": {}, "images": [{"id": 7, "file_name": "a.png"}],
            "annotations": [{"image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4], "area": 12}],
            "categories": [{"id": 18, "name": "dog"}]}"#;
        assert_eq!(own, parse(coco).unwrap());
        let found = own["a.png"][0];
        assert!(found.is_of(1) && !found.is_of(0));
        assert!(found.contains(1.0, 2.0) && found.contains(3.9, 5.9) && !found.contains(4.0, 3.0));
    }

    #[test]
    fn unlabeled_boxes_match_every_class_and_unknown_classes_match_none() {
        let boxes =
            parse(r#"{"a": [{"box": [0, 0, 1, 1]}, {"box": [0, 0, 1, 1], "class": "cow"}]}"#).unwrap();
        assert!(boxes["a"][0].is_of(0) && boxes["a"][0].is_of(1));
        assert!(!boxes["a"][1].is_of(0) && !boxes["a"][1].is_of(1));
    }

    #[test]
    fn rejects_malformed_boxes() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert!(error("{").contains("JSON"));
        assert!(error("[1]").contains("expected COCO's"));
        assert!(error(r#"{"a": [{"box": [0, 0, 0, 1]}]}"#).contains("image 'a': box of 0 x 1"));
        let stray = r#"{"images": [], "annotations": [{"image_id": 3, "bbox": [0, 0, 1, 1]}]}"#;
        assert!(error(stray).contains("image_id 3"));
    }
}
