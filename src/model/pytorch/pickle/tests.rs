//! Handwritten pickles: forbidden globals, defects, deep nesting.

use super::*;

fn cause(bytes: &[u8]) -> String {
    let stop = walk(bytes, 0).unwrap_err();
    format!("{}: {}", stop.offset, stop.cause)
}

#[test]
fn names_a_forbidden_global_and_its_offset_in_every_notation() {
    let expected = "global 'os.system' is not allowed (possibly malicious; nothing was executed); if you trust the \
                    file, load it with PyTorch and save the state_dict() alone";
    assert_eq!(cause(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."), format!("2: {expected}"));
    assert_eq!(cause(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93)R."), format!("16: {expected}"));
    // Through the memo.
    assert_eq!(
        cause(b"\x80\x04\x8c\x06systemq\x01\x8c\x02osq\x02h\x02h\x01\x93."),
        format!("22: {expected}")
    );
    // Reported even if the pickle is invalid after it.
    assert_eq!(cause(b"cos\nsystem\n"), format!("0: {expected}"));
}

#[test]
fn refuses_dotted_names() {
    for bad in ["torch._utils\nimportlib", "torch.hub\nload", "torch\nFloatStorage\r"] {
        let pickle = format!("c{bad}\n.");
        assert!(cause(pickle.as_bytes()).contains("is not allowed"), "{bad}");
    }
}

#[test]
fn errors_of_invalid_pickles_name_the_offset() {
    assert_eq!(cause(b"\x80\x02R."), "2: stack underflow");
    assert_eq!(cause(b"\x80\x02t."), "2: no mark on the stack");
    assert_eq!(cause(b"\x80\x02(."), "3: expected a value, found a mark");
    assert_eq!(cause(b"\x80\x02h\x05."), "2: memo 5 was never stored");
    assert_eq!(cause(b"\x80\x02}(K\x01u."), "6: a dictionary key without a value");
    assert_eq!(cause(b"\x80\x09."), "0: pickle protocol 9, expected 0 to 5");
    assert_eq!(cause(b"\x80\x02X\xff\xff\xff\xffab"), "2: a value longer than the 2 bytes left");
    assert_eq!(cause(b"\x80\x02K\x01"), "4: the file ends inside the pickle: 1 bytes wanted");
}

#[test]
fn a_million_nested_lists_need_constant_stack() {
    let mut deep = vec![b']'];
    deep.extend(std::iter::repeat_n(0x85, 1_000_000));
    deep.push(b'.');
    let pickle = walk(&deep, 0).unwrap();
    assert_eq!(pickle.objects.len(), 1_000_001);
    assert!(matches!(pickle.items(&pickle.value), Some([Value::Object(_)])));
}

#[test]
fn long_integers_keep_their_sign_and_width() {
    let value = |bytes: &[u8]| walk(bytes, 0).unwrap().value;
    assert_eq!(value(b"\x8a\x00."), Value::Int(0));
    assert_eq!(value(b"\x8a\x01\xff."), Value::Int(-1));
    assert_eq!(value(b"\x8a\x09\0\0\0\0\0\0\0\0\x01."), Value::Int(1 << 64));
    assert_eq!(value(b"L-12L\n."), Value::Int(-12));
}

#[test]
fn a_state_is_set_on_objects_alone() {
    assert!(walk(b"\x80\x02c__builtin__\nobject\n)R}b.", 0).is_ok());
    for value in ["K\x01", "X\x01\0\0\0a", ")", "c__builtin__\nobject\n"] {
        let error = walk(format!("{value}}}b.").as_bytes(), 0).unwrap_err();
        assert_eq!(error.cause, "BUILD of something other than an object", "{value:?}");
    }
}

#[test]
fn a_tensor_whose_elements_overlap_is_refused() {
    let tensor = |stride: &[u8]| {
        let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(";
        let storage =
            b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQK\0K\x02K\x02\x86";
        walk(&[&rebuild[..], storage, stride, b"tR."].concat(), 0)
    };
    assert!(tensor(b"K\x02K\x01\x86").is_ok());
    let error = tensor(b"K\x01K\x01\x86").unwrap_err();
    assert_eq!(error.cause, "a tensor of dimensions [2, 2] and strides [1, 1], whose elements overlap");
}

#[test]
fn objects_of_other_classes_are_stepped_over() {
    let foreign = |bytes: &[u8]| -> Vec<String> {
        let pickle = walk(bytes, 0).unwrap_or_else(|stop| panic!("{}: {}", stop.offset, stop.cause));
        pickle.foreign.iter().map(|global| global.to_string()).collect()
    };
    // A path, by a call; an object of one's own with attributes; a named tuple; an enumeration.
    assert_eq!(foreign(b"\x80\x02cpathlib\nPosixPath\n(X\x01\0\0\0atR."), ["pathlib.PosixPath"]);
    assert_eq!(foreign(b"\x80\x02cutils\nMeter\n)\x81}X\x03\0\0\0avgK\x01sb."), ["utils.Meter"]);
    assert_eq!(foreign(b"\x80\x02cutils\nMeter\n)}\x92."), ["utils.Meter"]);
    assert_eq!(foreign(b"(iutils\nMeter\n}b."), ["utils.Meter"]);
    assert_eq!(foreign(b"(cutils\nMeter\no}b."), ["utils.Meter"]);
    // Plain data needs no word.
    for plain in [
        "cdatetime\ntimezone\n)R.",
        "c__builtin__\nxrange\n)R.",
        "ccollections\ndeque\n)R.",
        "ctypes\nSimpleNamespace\n)R.",
    ] {
        assert!(foreign(plain.as_bytes()).is_empty(), "{plain}");
    }
}

#[test]
fn a_dictionary_of_any_kind_keeps_its_entries() {
    let keys = |bytes: &[u8]| -> Vec<String> {
        let pickle = walk(bytes, 0).unwrap_or_else(|stop| panic!("{}: {}", stop.offset, stop.cause));
        pickle.entries(&pickle.value).unwrap().into_iter().map(|(key, _)| key.to_string()).collect()
    };
    assert_eq!(keys(b"}(X\x01\0\0\0aK\x01X\x01\0\0\0bK\x02X\x01\0\0\0aK\x03u."), ["b", "a"]);
    // `defaultdict(list)` with an entry, `Counter({'a': 1})`, an `OrderedDict` of Python 2.
    assert_eq!(keys(b"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RX\x01\0\0\0a]s."), ["a"]);
    assert_eq!(keys(b"ccollections\nCounter\n}X\x01\0\0\0aK\x01s\x85R."), ["a"]);
    assert_eq!(keys(b"ccollections\nOrderedDict\n(]](X\x01\0\0\0aK\x01eatR."), ["a"]);
    // A class that derives from a dictionary, in both notations.
    assert_eq!(keys(b"ceasydict\nEasyDict\n)\x81X\x01\0\0\0aK\x01s."), ["a"]);
    assert_eq!(
        keys(b"ccopy_reg\n_reconstructor\n(ceasydict\nEasyDict\nc__builtin__\ndict\n}X\x01\0\0\0aK\x01stR."),
        ["a"]
    );
}

#[test]
fn too_many_values_are_refused() {
    // Each call takes the same tuple of 255 values once more.
    let mut pickle = b"(".to_vec();
    pickle.extend(b"K\0".repeat(255));
    pickle.extend(b"tq\0");
    pickle.extend(b"cutils\nMeter\nh\0R0".repeat(20_000));
    pickle.push(b'.');
    assert_eq!(walk(&pickle, 0).unwrap_err().cause, "a pickle of over 4194304 values");
    // Each mention of a class is a text of its own.
    let mentions = b"ca\nb\n0".repeat(4_200_000);
    assert_eq!(walk(&mentions, 0).unwrap_err().cause, "a pickle of over 4194304 values");
}
