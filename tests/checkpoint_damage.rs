//! Damaged checkpoints: whatever is cut off or flipped, the outcome is an error or the same tensors.

use msdcam::msdnet::checkpoint::Checkpoint;
use std::path::Path;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints");
    std::fs::read(folder.join(name)).unwrap()
}

/// Reads `bytes` as a checkpoint file.
fn read(folder: &Path, bytes: &[u8]) -> msdcam::Result<Checkpoint> {
    let path = folder.join("damaged.pth");
    std::fs::write(&path, bytes).unwrap();
    Checkpoint::read(&path)
}

#[test]
fn a_file_cut_at_any_64th_byte_is_an_error() {
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
fn an_old_tar_cut_anywhere_before_its_padding_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = golden("old_tar.pth");
    // A tar ends in zeros that carry nothing; a reader may stop before them.
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
        let expected = read(folder.path(), &whole).unwrap().tensors;
        let (mut refused, mut same) = (0, 0);
        for at in (0..whole.len()).step_by(61) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            match read(folder.path(), &flipped) {
                Ok(checkpoint) => {
                    assert!(checkpoint.tensors == expected, "{name} flipped at {at}: other tensors");
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 200 && same > 0, "{name}: {refused} refused, {same} the same");
    }
}

/// The legacy stream carries no checksum, so a flip among its numbers, strides or texts outside
/// the names may change values; it must never crash, change a shape or yield a number that is
/// not finite.
#[test]
fn a_flipped_byte_in_a_legacy_stream_never_changes_a_shape() {
    let folder = tempfile::tempdir().unwrap();
    let whole = golden("blocks_legacy.pth");
    let expected = read(folder.path(), &whole).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(29) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        match read(folder.path(), &flipped) {
            Ok(checkpoint) => {
                for (name, tensor) in &checkpoint.tensors {
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
    assert!(refused > 100, "only {refused} refused");
    assert_eq!(expected.path, ["net"]);
}

#[test]
fn bytes_behind_the_last_storage_of_a_legacy_stream_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = golden("blocks_legacy.pth");
    whole.extend(b"extra");
    let error = read(folder.path(), &whole).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("5 trailing bytes after the last storage"), "{error}");
}

#[test]
fn a_legacy_storage_whose_count_disagrees_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = golden("blocks_legacy.pth");
    // The last storage is one of 3 to 9 numbers; its count is the nearest such i64 from the end.
    let at = (1..).map(|n| whole.len() - 4 * n - 8).find(|&at| {
        i64::from_le_bytes(whole[at..at + 8].try_into().unwrap()) == ((whole.len() - at - 8) / 4) as i64
    });
    let at = at.unwrap();
    whole[at] += 1;
    let error = read(folder.path(), &whole).map(drop).unwrap_err().to_string();
    assert!(error.contains(": storage '") && error.contains(" elements, the pickle "), "{error}");
}
