//! The opcodes of a Python pickle, decoded one at a time. Nothing is executed, and no value is built: that is for
//! who reads a certain kind of file.

mod cursor;
mod literal;

use std::borrow::Cow;

use cursor::Cursor;

/// An opcode with its operand, without what only Python needs to know about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Op<'a> {
    /// The end; the value is on top of the stack.
    Stop,
    /// The protocol, or the length of a frame.
    Nothing,
    /// None, a floating-point number, or text that is not valid Unicode.
    Plain,
    Bool(bool),
    /// An integer; `None` if it has more than 128 bits.
    Int(Option<i128>),
    /// Text.
    Text(Cow<'a, str>),
    /// A `str` of Python 2, which is text or bytes.
    Str(Cow<'a, [u8]>),
    Bytes(&'a [u8]),
    EmptyDict,
    EmptyList,
    EmptyTuple,
    EmptySet,
    /// A mark on the stack. The next five make a value of what is above it.
    Mark,
    TupleToMark,
    ListToMark,
    DictToMark,
    FrozenSetToMark,
    /// A tuple of the topmost 1 to 3 values.
    Tuple(usize),
    /// The topmost value is added to the list below it.
    Append,
    /// What is above the mark is added to the list below it.
    Appends,
    /// What is above the mark is added to the set below it.
    AddItems,
    /// The topmost two values are a key and its value of the dictionary below them.
    SetItem,
    /// What is above the mark are keys and values of the dictionary below it.
    SetItems,
    /// The value with this number in the memo.
    Get(u64),
    /// The topmost value gets this number in the memo.
    Put(u64),
    /// The topmost value gets the next number in the memo.
    Memoize,
    /// The global of a module with a name.
    Global(String, String),
    /// The global whose module and name are the topmost two values.
    StackGlobal,
    /// The topmost value refers to an object outside of the pickle.
    PersistentId,
    /// A text that does.
    PersistentText(String),
    /// The topmost value are the arguments of a call of the value below it.
    Call,
    /// The topmost value are the arguments with which the class below it makes an object.
    New,
    /// The same with a dictionary of named arguments on top.
    NewWithNames,
    /// What is above the mark are the arguments of a call of this global.
    CallGlobal(String, String),
    /// What is above the mark are the value that is called, and its arguments.
    CallToMark,
    /// The topmost value is dropped, or a mark that nothing is above.
    Pop,
    /// What is above the mark is dropped.
    PopToMark,
    /// The topmost value is there twice.
    Duplicate,
    /// The topmost value is the state of the object below it.
    Build,
}

/// Reads opcodes.
pub struct Opcodes<'a> {
    input: Cursor<'a>,
    /// Offset of the opcode that was read last.
    op: usize,
}

impl<'a> Opcodes<'a> {
    /// The opcodes from offset `start` of `bytes`.
    pub fn new(bytes: &'a [u8], start: usize) -> Self {
        Opcodes { input: Cursor::new(bytes, start), op: start }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.input.at
    }

    /// Offset of the opcode that was read last.
    pub fn op(&self) -> usize {
        self.op
    }

    /// The next opcode.
    ///
    /// # Errors
    /// What is wrong with it, when the bytes end, or when neither numbers, texts and tensors nor arrays need it.
    pub fn next(&mut self) -> Result<Op<'a>, String> {
        let input = &mut self.input;
        self.op = input.at;
        Ok(match input.take(1)?[0] {
            b'.' => Op::Stop,
            0x80 => match input.take(1)?[0] {
                0..=5 => Op::Nothing,
                version => return Err(format!("pickle protocol {version}, expected 0 to 5")),
            },
            0x95 => {
                input.take(8)?; // FRAME: its length only helps streams
                Op::Nothing
            }
            b'N' => Op::Plain,
            op @ (0x88 | 0x89) => Op::Bool(op == 0x88),
            b'F' => {
                input.line()?;
                Op::Plain
            }
            b'G' => {
                input.take(8)?;
                Op::Plain
            }
            b'I' | b'L' => Op::Int(literal::integer(input.line()?)),
            b'J' => {
                let b = input.take(4)?;
                Op::Int(Some(i32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()))
            }
            b'K' => Op::Int(Some(input.unsigned(1)?.into())),
            b'M' => Op::Int(Some(input.unsigned(2)?.into())),
            0x8a => Op::Int(literal::long(counted(input, 1)?)),
            0x8b => Op::Int(literal::long(counted(input, 4)?)),
            b'V' => Op::Text(literal::raw_unicode(input.line()?).into()),
            0x8c => text(counted(input, 1)?),
            b'X' => text(counted(input, 4)?),
            0x8d => text(counted(input, 8)?),
            b'S' => Op::Str(literal::string(input.line()?)?.into()),
            b'U' => Op::Str(counted(input, 1)?.into()),
            b'T' => Op::Str(counted(input, 4)?.into()),
            b'C' => Op::Bytes(counted(input, 1)?),
            b'B' => Op::Bytes(counted(input, 4)?),
            0x8e | 0x96 => Op::Bytes(counted(input, 8)?),
            b'}' => Op::EmptyDict,
            b']' => Op::EmptyList,
            b')' => Op::EmptyTuple,
            0x8f => Op::EmptySet,
            b'(' => Op::Mark,
            b't' => Op::TupleToMark,
            b'l' => Op::ListToMark,
            b'd' => Op::DictToMark,
            0x91 => Op::FrozenSetToMark,
            op @ 0x85..=0x87 => Op::Tuple(usize::from(op - 0x84)),
            b'a' => Op::Append,
            b'e' => Op::Appends,
            0x90 => Op::AddItems,
            b's' => Op::SetItem,
            b'u' => Op::SetItems,
            op @ (b'g' | b'p') => {
                let line = input.line()?;
                let index = literal::integer(line).and_then(|index| u64::try_from(index).ok());
                let index = index
                    .ok_or_else(|| format!("'{}' is not a memo index", String::from_utf8_lossy(line)))?;
                if op == b'g' { Op::Get(index) } else { Op::Put(index) }
            }
            b'h' => Op::Get(input.unsigned(1)?),
            b'j' => Op::Get(input.unsigned(4)?),
            b'q' => Op::Put(input.unsigned(1)?),
            b'r' => Op::Put(input.unsigned(4)?),
            0x94 => Op::Memoize,
            b'c' => Op::Global(text_line(input)?, text_line(input)?),
            0x93 => Op::StackGlobal,
            b'Q' => Op::PersistentId,
            b'P' => Op::PersistentText(text_line(input)?),
            b'R' => Op::Call,
            0x81 => Op::New,
            0x92 => Op::NewWithNames,
            b'i' => Op::CallGlobal(text_line(input)?, text_line(input)?),
            b'o' => Op::CallToMark,
            b'b' => Op::Build,
            b'0' => Op::Pop,
            b'1' => Op::PopToMark,
            b'2' => Op::Duplicate,
            other => return Err(unsupported(other)),
        })
    }
}

/// The text up to the next line feed.
fn text_line(input: &mut Cursor) -> Result<String, String> {
    Ok(String::from_utf8_lossy(input.line()?).into_owned())
}

/// As many bytes as an integer of `width` bytes before them says.
fn counted<'a>(input: &mut Cursor<'a>, width: usize) -> Result<&'a [u8], String> {
    let n = input.unsigned(width)?;
    input.take_counted(n)
}

/// Text in UTF-8; Python would also keep a lone surrogate.
fn text(bytes: &[u8]) -> Op<'_> {
    std::str::from_utf8(bytes).map_or(Op::Plain, |text| Op::Text(text.into()))
}

/// The error for an opcode that neither checkpoints nor arrays need.
fn unsupported(op: u8) -> String {
    let name = match op {
        0x82..=0x84 => "EXT",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return format!("byte 0x{op:02x} is not a pickle opcode"),
    };
    format!("pickle opcode {name} is not supported")
}
