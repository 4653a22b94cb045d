//! The 1000 classes of ImageNet (ILSVRC 2012) in their usual order, that of their WordNet ids: the ids, and the names that
//! torchvision 0.26 has for them.

/// WordNet id and name of each class: `n01440764`, `tench`.
pub fn classes() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("imagenet_classes.txt").lines().filter_map(|line| line.split_once(' '))
}

/// The class of WordNet id `id`.
pub fn class_of(id: &str) -> Option<usize> {
    classes().position(|(own, _)| own == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_in_the_order_of_their_ids() {
        let ids: Vec<&str> = classes().map(|(id, _)| id).collect();
        assert!(ids.len() == 1000 && ids.is_sorted_by(|a, b| a < b));
        assert_eq!((class_of("n02123159"), class_of("n00000000")), (Some(282), None));
        assert_eq!(classes().nth(282), Some(("n02123159", "tiger cat")));
    }
}
