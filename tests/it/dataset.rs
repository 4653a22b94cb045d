//! Data sets: listing, labels, invalid input, and images that cannot be read.

use std::fs;
use std::path::{Path, PathBuf};

use msdcam::dataset::{Dataset, Format, LabelsBy, cifar};
use msdcam::model::weights::numbered;
use msdcam::{Error, Result, dataset};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new(files: &[&str]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        files.iter().for_each(|name| folder.write(name, PNG));
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn open(&self, format: Format) -> Result<Dataset> {
        dataset::open(&[PathBuf::from(self.path())], format)
    }

    fn auto(&self) -> Dataset {
        self.open(Format::Auto).unwrap()
    }
}

const PNG: &[u8] = include_bytes!("../golden/images/ramp.png");

fn ids(dataset: &Dataset) -> Vec<String> {
    dataset.items().map(|item| item.id).collect()
}

fn labels(dataset: &Dataset) -> Vec<Option<usize>> {
    dataset.items().map(|item| item.label).collect()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.into()).collect()
}

/// Panics unless `result` is an error of one line that contains all of `parts`.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, parts: &[&str]) {
    let text = result.expect_err("expected an error").to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} expected in {text:?}");
    assert_eq!(text.lines().count(), 1, "{text:?}");
}

/// Records of a CIFAR file: the label bytes, then pixels, the first of which is the record's index.
fn records(labels: &[&[u8]]) -> Vec<u8> {
    let record = |(number, labels): (usize, &&[u8])| {
        let mut pixels: Vec<u8> = (0..3072).map(|i| (i / 1024 * 80) as u8).collect();
        pixels[0] = number as u8;
        [labels.to_vec(), pixels].concat()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

#[test]
fn detects_cifar_10_files_by_length() {
    let folder = Folder::new(&[]);
    folder.write("test_batch", &records(&[&[3], &[9], &[0]]));
    let set = dataset::open(&[folder.path().join("test_batch")], Format::Auto).unwrap();
    assert_eq!(ids(&set), ["test_batch/00000", "test_batch/00001", "test_batch/00002"]);
    assert_eq!(labels(&set), [Some(3), Some(9), Some(0)]);
    assert_eq!(set.classes().unwrap(), cifar::CIFAR10);
    let picture = set.item(2).read().unwrap().image;
    assert_eq!((picture.width, picture.height), (32, 32));
    assert_eq!((picture.pixel(0, 0), picture.pixel(31, 31)), ([2, 80, 160], [0, 80, 160]));
}

#[test]
fn cifar_100_has_fine_and_coarse_labels_and_the_model_decides() {
    let folder = Folder::new(&[]);
    folder.write("test.bin", &records(&[&[4, 0], &[19, 99]]));
    let open = || dataset::open(&[folder.path().join("test.bin")], Format::Auto).unwrap();
    assert_eq!(labels(&open()), [Some(0), Some(99)]);
    for (classes, expected) in [
        (strings(&cifar::FINE), [0, 99]),
        (numbered(100), [0, 99]),
        (strings(&cifar::COARSE), [4, 19]),
        (numbered(20), [4, 19]),
    ] {
        let mut set = open();
        set.fit_labels(&classes, LabelsBy::Auto).unwrap();
        assert_eq!(labels(&set), expected.map(Some));
        assert_eq!(set.classes().unwrap(), classes);
    }
    let ten = strings(&cifar::CIFAR10);
    refused(
        open().fit_labels(&ten, LabelsBy::Name),
        &["test.bin: labels: its 100 classes (apple, ", "are not the network's 10 (airplane"],
    );
    let mut set = open();
    set.fit_labels(&ten, LabelsBy::Auto).unwrap();
    assert_eq!((labels(&set), set.label_mapping()), (vec![None, None], None), "images without labels");
    let note = &set.notes()[0];
    assert!(
        note.contains("test.bin: no labels: 100 classes (apple, ") && note.contains("has 10 (air"),
        "{note}"
    );
}

#[test]
fn labels_decide_between_cifar_10_and_100_where_the_length_fits_both() {
    let folder = Folder::new(&[]);
    let mut bytes = vec![77; 3073 * 3074];
    bytes.chunks_exact_mut(3074).for_each(|record| record[..2].copy_from_slice(&[1, 2]));
    folder.write("both.bin", &bytes);
    let path = [folder.path().join("both.bin")];
    assert_eq!(dataset::open(&path, Format::Auto).unwrap().len(), 3073);
    refused(dataset::open(&path, Format::Cifar10), &["image 1: label 77: CIFAR-10 has classes 0 to 9"]);
}

#[test]
fn rejects_cifar_files_with_a_wrong_length_or_label() {
    let folder = Folder::new(&[]);
    let good = records(&[&[1], &[2]]);
    for (name, bytes, cause) in [
        ("cifar-10-binary.tar.gz.bin", &b"\x1f\x8b\x08\0"[..], "file: compressed by gzip; unpack it first"),
        ("cut.bin", &good[..good.len() - 1], "6145 bytes are not a whole number of CIFAR-10 images of 3073"),
        ("empty.bin", &[], "0 bytes"),
        ("label.bin", &records(&[&[1], &[10]]), "image 1: label 10: CIFAR-10 has classes 0 to 9"),
    ] {
        folder.write(name, bytes);
        refused(dataset::open(&[folder.path().join(name)], Format::Auto), &[name, cause]);
    }
    folder.write("photo.png", PNG);
    let photo = [folder.path().join("photo.png")];
    refused(dataset::open(&photo, Format::Cifar100), &["photo.png: length: ", "CIFAR-100 images of 3074"]);
}

#[test]
fn rejects_cifar_files_that_change_after_listing() {
    let folder = Folder::new(&[]);
    folder.write("a.bin", &records(&[&[1], &[2]]));
    let set = dataset::open(&[folder.path().join("a.bin")], Format::Auto).unwrap();
    set.item(1).read().unwrap();
    folder.write("a.bin", &records(&[&[1]]));
    refused(set.item(1).read(), &["a.bin: image 1: the file changed"]);
    fs::remove_file(folder.path().join("a.bin")).unwrap();
    refused(set.item(0).read(), &["a.bin: image 0: cannot read"]);
}

#[test]
fn class_folders_are_sorted_and_searched_recursively() {
    let files = ["dog/b.PNG", "dog/a.png", "cat/deep/er/c.jpeg", "cat/d.webp", "cat/notes.txt", "cat/.e.png"];
    let folder = Folder::new(&files);
    fs::create_dir(folder.path().join("bird")).unwrap();
    let mut set = folder.auto();
    assert_eq!(ids(&set), ["cat/d.webp", "cat/deep/er/c.jpeg", "dog/a.png", "dog/b.PNG"]);
    assert_eq!(set.classes().unwrap(), ["bird", "cat", "dog"], "a class without images counts");
    assert_eq!(labels(&set), [1, 1, 2, 2].map(Some));
    set.fit_labels(&strings(&cifar::CIFAR10), LabelsBy::Auto).unwrap();
    assert_eq!(labels(&set), [3, 3, 5, 5].map(Some), "by name");
    let mut set = folder.auto();
    let german = strings(&["Vogel", "Katze", "Hund"]);
    let error = set.fit_labels(&german, LabelsBy::Auto);
    refused(
        error,
        &["no folder has the name or number of a class", "cat, dog", "3 classes are Vogel, Katze"],
    );
    assert!(set.has_order_of(&german));
    set.fit_labels(&german, LabelsBy::Order).unwrap();
    assert_eq!(labels(&set), [1, 1, 2, 2].map(Some), "in order");
    assert_eq!(set.notes(), ["labels by order: bird = Vogel, cat = Katze, dog = Hund"]);
    let error = folder.auto().fit_labels(&numbered(10), LabelsBy::Order);
    refused(error, &["2 classes (cat, dog)", "has 10 (0, 1, 2"]);
}

#[test]
fn folders_without_class_folders_have_no_labels() {
    for files in [&["b.png", "a.png"][..], &["b.png", "a/c.png"]] {
        let set = Folder::new(files).auto();
        assert_eq!((set.len(), set.classes()), (2, None));
        assert_eq!(labels(&set), [None, None]);
    }
    let folder = Folder::new(&["x/a.png", "y/b.png"]);
    let mut unlabeled = folder.auto();
    unlabeled.fit_labels(&[], LabelsBy::None).unwrap();
    assert_eq!((labels(&unlabeled), unlabeled.classes()), (vec![None, None], None));
    folder.write("c.png", PNG);
    refused(folder.open(Format::Folders), &["image beside the class folders: c.png"]);
}

#[test]
fn rejects_folders_without_images_and_names_their_cifar_files() {
    let folder = Folder::new(&[]);
    refused(folder.open(Format::Auto), &["folder: no images"]);
    folder.write("notes.txt", b"");
    fs::create_dir(folder.path().join("sub")).unwrap();
    refused(folder.open(Format::Auto), &["folder: no images"]);
    folder.write("data_batch_1.bin", &records(&[&[1]]));
    refused(
        folder.open(Format::Auto),
        &["folder: no images", "pass those of CIFAR by name: data_batch_1.bin"],
    );
    folder.write("test_batch.bin", &records(&[&[2]]));
    assert_eq!(labels(&folder.auto()), [Some(2)], "its test batch");
    refused(
        folder.open(Format::Cifar100),
        &["folder: no test batch of CIFAR-100: expected test or test.bin"],
    );
    refused(dataset::open(&[] as &[PathBuf], Format::Auto), &["expected at least one image"]);
}

#[test]
fn undecodable_images_are_listed_and_fail_individually() {
    let folder = Folder::new(&["a.png", "c.png"]);
    folder.write("b.png", b"no image");
    folder.write("d.gif", b"GIF89a");
    let set = folder.auto();
    assert_eq!(ids(&set), ["a.png", "b.png", "c.png", "d.gif"]);
    let good: Vec<bool> = set.items().map(|item| item.read().is_ok()).collect();
    assert_eq!(good, [true, false, true, false]);
    refused(set.item(3).read(), &["d.gif", "GIF"]);
}

#[cfg(unix)]
#[test]
fn cyclic_and_broken_links_end_and_pipes_do_not_block() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new(&["cat/a.png"]);
    let at = |name: &str| folder.path().join(name);
    symlink(folder.path(), at("cat/up")).unwrap();
    symlink(at("cat/nothing.png"), at("cat/broken.png")).unwrap();
    symlink(at("cat/self.png"), at("cat/self.png")).unwrap();
    symlink(at("cat"), at("kitten")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("cat/pipe.png")).status().unwrap().success());
    let set = folder.auto();
    let under = ["a.png", "broken.png", "pipe.png", "self.png", "up"];
    let expected = under.map(|name| format!("cat/{name}"));
    assert_eq!(ids(&set), expected, "a folder counts once, under its first path");
    set.item(0).read().unwrap();
    refused(set.item(1).read(), &["cat/broken.png: file: cannot read"]);
    refused(set.item(2).read(), &["cat/pipe.png: file: cannot read: is a pipe"]);
    refused(set.item(3).read(), &["cat/self.png: file: cannot read"]);
    refused(set.item(4).read(), &["cat/up: folder: symbolic link to a parent folder"]);
}

/// What systems add to a folder, what cannot be listed, and a link to the folder itself cost themselves alone.
#[cfg(unix)]
#[test]
fn folders_that_are_no_classes_leave_the_others_their_labels() {
    use std::os::unix::fs::symlink;
    let files = ["cat/a.png", "dog/b.png", "@eaDir/cat/a.png/THUMB.jpg", "dog/@eaDir/b.png/THUMB.jpg"];
    let folder = Folder::new(&files);
    for name in ["__MACOSX/._cat", "__MACOSX/cat/._a.png", "$RECYCLE.BIN/x.png", ".DS_Store", "Thumbs.db"] {
        folder.write(name, b"\0\x05\x16\x07");
    }
    fs::create_dir(folder.path().join("later")).unwrap();
    symlink(".", folder.path().join("loop")).unwrap();
    let mut set = folder.open(Format::Folders).unwrap();
    set.fit_labels(&strings(&cifar::CIFAR10), LabelsBy::Auto).unwrap();
    assert_eq!(ids(&set), ["cat/a.png", "dog/b.png", "loop"]);
    assert_eq!(labels(&set), [Some(3), Some(5), None]);
    refused(set.item(2).read(), &["loop: folder: symbolic link to a parent folder"]);
}

#[cfg(unix)]
#[test]
fn a_class_folder_without_permission_fails_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new(&["cat/a.png", "dog/b.png", "frog/c.png"]);
    let dog = folder.path().join("dog");
    fs::set_permissions(&dog, PermissionsExt::from_mode(0o000)).unwrap();
    if fs::read_dir(&dog).is_ok() {
        use std::io::Write;
        // Written to stderr directly, because the test runner captures the output of passing tests.
        let name = "a_class_folder_without_permission_fails_alone";
        let _ = writeln!(std::io::stderr(), "skipped: {name}: root may list every folder");
        return;
    }
    let mut set = folder.auto();
    fs::set_permissions(&dog, PermissionsExt::from_mode(0o700)).unwrap();
    set.fit_labels(&strings(&cifar::CIFAR10), LabelsBy::Auto).unwrap();
    assert_eq!((ids(&set)[1].as_str(), labels(&set)), ("dog", vec![Some(3), None, Some(6)]));
    refused(set.item(1).read(), &["dog: folder: cannot list"]);
}

#[cfg(unix)]
#[test]
fn links_without_a_loop_are_not_followed_more_than_once() {
    use std::os::unix::fs::symlink;
    // 2^30 paths lead to the one picture.
    let folder = Folder::new(&["d30/x.png"]);
    for i in (0..30).rev() {
        let at = |name: &str| folder.path().join(format!("d{i}{name}"));
        std::fs::create_dir(at("")).unwrap();
        for link in ["/a", "/b"] {
            symlink(format!("../d{}", i + 1), at(link)).unwrap();
        }
    }
    let set = dataset::open(&[folder.path().join("d0")], Format::Auto).unwrap();
    assert_eq!(ids(&set), [format!("{}x.png", "a/".repeat(30))]);
    set.item(0).read().unwrap();
}

#[test]
fn ids_are_unique() {
    let folder = Folder::new(&["a/x.png", "b/x.png", "b/x.jpg"]);
    assert_eq!(ids(&folder.auto()), ["a/x.png", "b/x.jpg", "b/x.png"]);
    folder.write("t.bin", &records(&[&[1]]));
    let [photo, batch] = ["a/x.png", "t.bin"].map(|name| folder.path().join(name));
    let given = photo.to_string_lossy().into_owned();
    let places = [photo.clone(), photo.clone(), batch.clone(), photo, batch];
    let set = dataset::open(&places, Format::Auto).unwrap();
    let expected = [&given, &format!("{given} (2)"), "t/00000", &format!("{given} (3)"), "t/00000 (2)"];
    assert_eq!(ids(&set), expected);
    assert_eq!(labels(&set), [None, None, Some(1), None, Some(1)]);
    assert_eq!(set.item(1).file(), Some(&*places[0]));
}

#[test]
fn folders_with_the_same_classes_form_one_data_set() {
    let folder = Folder::new(&[
        "train/cat/a.png",
        "train/dog/b.png",
        "test/cat/a.png",
        "test/dog/c.png",
        "odd/cow/a.png",
    ]);
    let open = |names: &[&str]| {
        let places: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        dataset::open(&places, Format::Auto)
    };
    let set = open(&["train", "test"]).unwrap();
    assert_eq!(labels(&set), [0, 1, 0, 1].map(Some));
    assert!(ids(&set)[2].ends_with("test/cat/a.png"), "{:?}", ids(&set));
    let mut odd = open(&["train", "odd"]).unwrap();
    let error = odd.fit_labels(&strings(&["cat", "dog"]), LabelsBy::Auto).unwrap_err();
    odd.fit_labels(&[], LabelsBy::None).unwrap();
    assert_eq!(labels(&odd), [None; 3]);
    assert!(matches!(error, Error::Usage(_)), "{error}");
    refused(Err::<(), _>(error), &["odd: its classes (cow)", "(cat, dog)"]);
}

/// A file that changes during the read gives its picture or an error.
#[test]
fn photos_that_change_during_the_read_are_complete_or_rejected() {
    let folder = Folder::new(&["a.png"]);
    let set = folder.auto();
    let whole = set.item(0).read().unwrap().image;
    let path = folder.path().join("a.png");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&path, &PNG[..PNG.len() / 2]).unwrap();
                fs::write(&path, [PNG, &[0; 50_000]].concat()).unwrap();
            }
        });
        for _ in 0..300 {
            match set.item(0).read() {
                Ok(held) => assert_eq!(held.image, whole),
                Err(error) => assert!(matches!(error, Error::Refused { .. }), "{error}"),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
