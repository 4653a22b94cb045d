//! CIFAR's Python version, as every version of pickle writes it: `tests/golden/make_cifar.py`.

use std::path::{Path, PathBuf};

use msdcam::dataset::{self, Dataset, Format, LabelsBy, cifar};

use crate::common::golden::repository;

fn golden(name: &str) -> PathBuf {
    repository("tests/golden/cifar").join(name)
}

fn open(path: &Path, format: Format) -> msdcam::Result<Dataset> {
    dataset::open(&[PathBuf::from(path)], format)
}

/// The images that the script makes.
fn assert_images(set: &Dataset, labels: [usize; 2], name: &str) {
    assert_eq!(set.len(), 2, "{name}");
    for (i, item) in set.items().enumerate() {
        assert_eq!(item.label, Some(labels[i]), "{name}");
        let image = item.read().unwrap().image;
        let byte = |plane: usize, at: usize| ((7 * (1024 * plane + at) + 31 * i) % 251) as u8;
        for at in 0..1024 {
            let expected = [0, 1, 2].map(|plane| byte(plane, at));
            assert_eq!(image.pixel(at % 32, at / 32), expected, "{name}: image {i}, pixel {at}");
        }
    }
}

#[test]
fn every_protocol_of_pickle_gives_the_same_images() {
    let mut names: Vec<String> = (0..6).map(|protocol| format!("protocol{protocol}")).collect();
    let others = ["keys_of_bytes", "fortran", "numpy1", "python2_protocol0", "python2_protocol1"];
    names.extend(others.map(String::from));
    for name in names {
        for format in [Format::Auto, Format::Cifar10] {
            let set = open(&golden(&name), format).unwrap_or_else(|e| panic!("{e}"));
            assert_images(&set, [3, 9], &name);
            assert_eq!(set.classes().unwrap(), cifar::CIFAR10);
            assert_eq!(set.item(1).id, format!("{name}/00001"));
        }
    }
}

#[test]
fn a_folder_of_batches_is_its_test_batch() {
    for (name, batch, labels) in
        [("cifar-10-batches-py", "test_batch", [3, 9]), ("cifar-100-python", "test", [0, 99])]
    {
        let set = open(&golden(name), Format::Auto).unwrap();
        assert_images(&set, labels, name);
        let note = &set.notes()[0];
        assert!(note.ends_with(&format!("{name}: its test batch, {batch}; others by name")), "{note}");
    }
    let named = open(&golden("cifar-10-batches-py/data_batch_1"), Format::Auto).unwrap();
    assert_images(&named, [3, 9], "data_batch_1");
    assert!(named.notes().is_empty());
    let mut coarse = open(&golden("cifar-100-python"), Format::Cifar100).unwrap();
    let classes: Vec<String> = cifar::COARSE.map(String::from).into();
    coarse.fit_labels(&classes, LabelsBy::Auto).unwrap();
    assert_images(&coarse, [4, 19], "coarse");
}

#[test]
fn what_is_no_batch_is_refused_by_what_is_wrong() {
    let refused = |name: &str, format| open(&golden(name), format).unwrap_err().to_string();
    for (name, format, cause) in [
        ("floats", Format::Auto, "cifar/floats: pickle byte "),
        ("floats", Format::Auto, ": an array of other elements than uint8"),
        (
            "cifar-10-batches-py/batches.meta",
            Format::Auto,
            "batches.meta: data: expected a NumPy array of the im",
        ),
        ("cifar-100-python/test", Format::Cifar10, "test: labels: those of CIFAR-100, expected CIFAR-10"),
        (
            "cifar-100-python",
            Format::Cifar10,
            "folder: no test batch of CIFAR-10: expected test_batch or test",
        ),
        (
            "",
            Format::Auto,
            "no images: expected PNG, JPEG, WebP, GIF, BMP, PNM or TIFF files; pass those of CIFAR by name: cifar-10-ba",
        ),
    ] {
        let error = refused(name, format);
        assert!(error.contains(cause), "{cause}: {error}");
    }
}

#[test]
fn a_batch_that_ends_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test_batch");
    for name in ["cifar-10-batches-py/test_batch", "protocol0", "protocol2", "protocol4", "protocol5"] {
        let whole = std::fs::read(golden(name)).unwrap();
        let step = (whole.len() / 100).max(1);
        for len in (1..100).chain((100..whole.len()).step_by(step)).chain([whole.len() - 1]) {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = open(&path, Format::Cifar10).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }
}

#[test]
fn a_batch_that_changes_after_listing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test_batch");
    let whole = std::fs::read(golden("cifar-10-batches-py/test_batch")).unwrap();
    std::fs::write(&path, &whole).unwrap();
    let set = open(&path, Format::Auto).unwrap();
    set.item(1).read().unwrap();
    std::fs::write(&path, [&whole[..], b"."].concat()).unwrap();
    let error = set.item(1).read().unwrap_err().to_string();
    assert!(error.contains("test_batch: image 1: the file changed"), "{error}");
}
