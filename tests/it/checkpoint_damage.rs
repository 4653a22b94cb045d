//! Damaged checkpoints: truncation or a flipped bit gives an error or the same tensors.

use crate::common::nets::network_tensors;
use msdcam::model::pytorch::{Checkpoint, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints");
    std::fs::read(folder.join(name)).unwrap()
}

/// Reads `bytes` as a checkpoint file.
fn read(folder: &Path, bytes: &[u8]) -> msdcam::Result<Checkpoint> {
    let path = folder.join("damaged.pth");
    std::fs::write(&path, bytes).unwrap();
    Checkpoint::read(&path, None)
}

/// The tensors of its network.
fn tensors(checkpoint: &Checkpoint) -> msdcam::Result<BTreeMap<String, Tensor>> {
    network_tensors(checkpoint)
}

#[test]
fn a_file_truncated_at_any_64th_byte_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["blocks_zip.pt", "blocks_legacy.pth", "awkward_zip.pth", "awkward_legacy.pth"] {
        let whole = golden(name);
        let cuts = (0..whole.len()).step_by(64).chain([whole.len() - 1]);
        for cut in cuts {
            let error =
                read(folder.path(), &whole[..cut]).map(drop).expect_err(&format!("{name} cut at {cut}"));
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

#[test]
fn a_tar_truncated_before_its_padding_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = golden("old_tar.pth");
    // A tar archive ends with padding, which a reader may ignore.
    let content = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
    for cut in (0..content).step_by(64) {
        assert!(read(folder.path(), &whole[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_in_a_zip_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["blocks_zip.pt", "awkward_zip.pth"] {
        let whole = golden(name);
        let expected = tensors(&read(folder.path(), &whole).unwrap()).unwrap();
        let (mut refused, mut same) = (0, 0);
        for at in (0..whole.len()).step_by(151) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            match read(folder.path(), &flipped).and_then(|checkpoint| tensors(&checkpoint)) {
                Ok(found) => {
                    assert!(found == expected, "{name} flipped at {at}: other tensors");
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 100 && same > 0, "{name}: {refused} refused, {same} the same");
    }
}

/// The legacy stream has no checksum, so a flip in elements, strides or other texts than names may change
/// values; it must never panic, change a shape or give an element that is not finite.
#[test]
fn a_flipped_byte_in_a_legacy_stream_never_changes_a_shape() {
    let folder = tempfile::tempdir().unwrap();
    let whole = golden("blocks_legacy.pth");
    let expected = read(folder.path(), &whole).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        match read(folder.path(), &flipped).and_then(|checkpoint| tensors(&checkpoint)) {
            Ok(found) => {
                for (name, tensor) in &found {
                    assert_eq!(
                        tensor.dims.iter().product::<usize>(),
                        tensor.data.len(),
                        "{name}, flip at {at}"
                    );
                    assert!(tensor.data.iter().all(|x| x.is_finite()), "{name}, flip at {at}");
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 30, "only {refused} refused");
    assert_eq!(expected.path, ["net"]);
}

#[test]
fn counts_the_bytes_after_the_last_storage_of_a_legacy_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = golden("blocks_legacy.pth");
    whole.extend(b"extra");
    let error = read(folder.path(), &whole).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("5 trailing bytes after the last storage"), "{error}");
}

#[test]
fn names_a_legacy_storage_whose_count_disagrees() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = golden("blocks_legacy.pth");
    // The last storage has 3 to 9 elements; its count is the last i64 in that range.
    let at = (1..).map(|n| whole.len() - 4 * n - 8).find(|&at| {
        i64::from_le_bytes(whole[at..at + 8].try_into().unwrap()) == ((whole.len() - at - 8) / 4) as i64
    });
    let at = at.unwrap();
    whole[at] += 1;
    let error = read(folder.path(), &whole).map(drop).unwrap_err().to_string();
    assert!(error.contains(": storage '") && error.contains(" elements, the pickle "), "{error}");
}

/// A legacy stream of two float tensors in storages 7 and 8, with this key list and tail.
fn legacy(keys: &[&str], tail: &[u8]) -> Vec<u8> {
    let tensor = |key: &str| {
        let mut p =
            b"ctorch._utils\n_rebuild_tensor\n((X\x07\0\0\0storagectorch\nFloatStorage\nU\x01".to_vec();
        p.extend(key.as_bytes());
        p.extend(b"X\x03\0\0\0cpuK\x01NtQK\0K\x01\x85K\x01\x85tR");
        p
    };
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.\x80\x02}(X\x03\0\0\0a.b");
    bytes.extend(tensor("7"));
    bytes.extend(b"X\x03\0\0\0c.d");
    bytes.extend(tensor("8"));
    bytes.extend(b"u.\x80\x02](");
    keys.iter().for_each(|key| bytes.extend([b"X\x01\0\0\0", key.as_bytes()].concat()));
    bytes.extend(b"e.");
    bytes.extend(tail);
    bytes
}

/// Storages of one element each, with their counts.
fn storages(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| [&1i64.to_le_bytes()[..], &x.to_le_bytes()].concat()).collect()
}

#[test]
fn a_legacy_key_list_must_name_every_storage_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = |keys: &[&str], numbers: &[f32]| {
        let error = read(folder.path(), &legacy(keys, &storages(numbers))).map(drop).unwrap_err().to_string();
        error.rsplit_once(".pth: ").unwrap().1.to_string()
    };
    // The order of the list, not of the tensors, assigns elements to storages.
    let good = read(folder.path(), &legacy(&["8", "7"], &storages(&[1.5, 2.5]))).unwrap();
    let good = good.tensors(["a.b", "c.d"]).unwrap();
    assert_eq!((good["a.b"].data[0], good["c.d"].data[0]), (2.5, 1.5));
    assert_eq!(said(&["7"], &[1.5]), "storage '8': a tensor refers to it, but it is not listed");
    assert_eq!(said(&["7", "8", "9"], &[1.5; 3]), "storage '9': listed, but no tensor refers to it");
    assert_eq!(said(&["7", "7"], &[1.5; 2]), "storage '7': listed twice");
    let end = legacy(&["7", "8"], &storages(&[1.5; 2])).len();
    let trailing = format!("offset {end}: 12 trailing bytes after the last storage");
    assert_eq!(said(&["7", "8"], &[1.5; 3]), trailing);
    let mut tail = storages(&[1.5, 2.5]);
    tail[0] = 2;
    let error = read(folder.path(), &legacy(&["7", "8"], &tail)).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("storage '7': the file says 2 elements, the pickle 1"), "{error}");
}

#[test]
fn a_zip_entry_that_is_encrypted_or_a_patch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = golden("blocks_zip.pt");
    let central = whole.windows(4).rposition(|magic| magic == b"PK\x01\x02").unwrap();
    for (at, flag) in [(6, 0x20), (6, 0x40), (central + 8, 0x20), (central + 8, 0x40), (central + 9, 0x20)] {
        let mut flagged = whole.clone();
        flagged[at] |= flag;
        let error = read(folder.path(), &flagged).map(drop).unwrap_err().to_string();
        assert!(error.contains("zip"), "{at}: {error}");
    }
}

#[test]
fn the_end_record_of_a_zip_says_how_many_entries_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let whole = golden("blocks_zip.pt");
    let end = whole.len() - 22;
    for field in [8, 10] {
        for count in [0u16, 1, 65535] {
            let mut changed = whole.clone();
            changed[end + field..][..2].copy_from_slice(&count.to_le_bytes());
            let error = read(folder.path(), &changed).map(drop).unwrap_err().to_string();
            assert!(error.contains("zip archive: "), "{field} {count}: {error}");
        }
    }
}
