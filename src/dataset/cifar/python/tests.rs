//! Handwritten pickles: batches, what is none, and what would take memory.

use super::*;

/// The pickle of a dictionary with these entries, each a key and opcodes.
fn pickle(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let entry =
        |(key, value): &(&str, &[u8])| [&[b'U', key.len() as u8][..], key.as_bytes(), value, b"s"].concat();
    [b"\x80\x02}q\0", &entries.iter().flat_map(entry).collect::<Vec<u8>>()[..], b"."].concat()
}

/// Opcodes of an array of `n` bytes in dimensions (`images`, 3072), of a type called `kind`.
fn array(n: usize, images: u8, kind: &str) -> Vec<u8> {
    [
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01K",
        &[images][..],
        b"M\0\x0c\x86cnumpy\ndtype\nU",
        &[kind.len() as u8],
        kind.as_bytes(),
        b"K\0K\x01\x87R\x89T",
        &(n as u32).to_le_bytes(),
        &vec![7; n],
        b"tb",
    ]
    .concat()
}

const TWO: &[u8] = b"](K\x03K\x09e";

/// `place: cause`.
fn refused(bytes: &[u8]) -> String {
    let Refused { place, cause } = read(bytes).unwrap_err();
    format!("{place}: {cause}")
}

#[test]
fn a_batch_is_labels_and_planes() {
    let data = array(2 * PIXELS, 2, "u1");
    let bytes = pickle(&[("other", b"N"), ("labels", TWO), ("data", &data)]);
    let batch = read(&bytes).unwrap();
    assert!(matches!(&batch.labels, PythonLabels::Ten(labels) if labels[..] == [3, 9]), "{:?}", batch.labels);
    assert!(matches!(batch.pixels, Cow::Borrowed(pixels) if *pixels == [7; 2 * PIXELS]), "not copied");
    let entries: [(&str, &[u8]); 3] = [("coarse_labels", TWO), ("fine_labels", TWO), ("data", &data)];
    assert!(matches!(read(&pickle(&entries)).unwrap().labels, PythonLabels::Hundred { .. }));
    assert!(is_pickle(&bytes[..12]));
}

#[test]
fn what_is_no_batch_is_refused_and_nothing_is_run() {
    let data = array(2 * PIXELS, 2, "u1");
    for (entries, error) in [
        (&[("labels", TWO)][..], "data: expected a NumPy array of the images; is it a batch of CIFAR?"),
        (&[("data", &data)], "labels: expected a list 'labels', or 'coarse_labels' and 'fine_labels'"),
        (&[("data", &data), ("labels", b"](K\x01e")], "labels: 1 labels for 2 images"),
        (
            &[("data", &array(2 * PIXELS - 1, 2, "u1"))],
            "data: 6143 bytes in dimensions [2, 3072], expected [images, 3072]",
        ),
        (&[("data", &array(0, 0, "u1"))], "data: 0 bytes in dimensions [0, 3072], expected [images, 3072]"),
    ] {
        assert_eq!(refused(&pickle(entries)), error);
    }
    for (entry, error) in [
        (&array(PIXELS, 1, "f4")[..], "an array of other elements than uint8"),
        (
            b"cos\nsystem\nU\x02ls\x85R",
            "global 'os.system' is not allowed (possibly malicious; nothing was exe",
        ),
        (b"\x8c\x02os\x8c\x06system\x93", "global 'os.system' is not allowed"),
        (b"c_codecs\nencode\nU\x01aU\x04utf8\x86R", "Encode with arguments that no array has"),
        (b"U\x01aQ", "refers to another file"),
        (b"T\xff\xff\xff\xffab", "a value longer than the 4 bytes left"),
        (b"h\x63", "memo 99 was never stored"),
        (b"e", "no mark on the stack"),
    ] {
        let text = refused(&pickle(&[("data", entry)]));
        assert!(text.starts_with("pickle byte ") && text.contains(error), "{error}: {text}");
    }
    assert_eq!(refused(b"\x80\x02N."), "pickle byte 3: not a dictionary");
    assert_eq!(refused(b"\x80\x02}"), "pickle byte 3: the file ends inside the pickle: 1 bytes wanted");
}

#[test]
fn a_pickle_takes_no_more_memory_than_its_length_allows() {
    for (op, what) in [(b'N', "stack"), (b'(', "marks"), (b'}', "nested")] {
        let error = refused(&vec![op; 1 << 20]);
        assert!(error.ends_with("more than 20480 values at once"), "{what}: {error}");
    }
    let deep = [b"\x80\x02}U\x04data]".as_slice(), &[0x85; 1 << 20], b"s."].concat();
    assert!(refused(&deep).starts_with("data: expected a NumPy array"), "{}", refused(&deep));
    let text =
        [b"X\x64\0\0\0", &[b'a'; 100][..], b"q\0X\x06\0\0\0latin1q\x01c_codecs\nencode\nq\x02"].concat();
    let calls = b"h\x02h\0h\x01\x86R".repeat(200);
    let error = refused(&[text, calls].concat());
    assert!(error.ends_with("its texts become more bytes than it has"), "{error}");
    let memo = [b"\x80\x02U\x01a".as_slice(), &[0x94; 1 << 20]].concat();
    assert!(refused(&memo).ends_with("more than 20480 values at once"));
}
