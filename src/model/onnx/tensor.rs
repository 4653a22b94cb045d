//! The tensors of an ONNX file: weights and constants, as 32-bit floating-point numbers or integers.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use half::{bf16, f16};

use super::external_data::ExternalData;
use super::protobuf::Message;
use crate::util::allocation;

/// A constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first; none for a scalar.
    pub dims: Vec<usize>,
    /// Elements, row-major.
    pub elements: Elements,
}

/// The elements of a [`Tensor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    Floats(Arc<[f32]>),
    /// Integers of a type, and truth values as 0 and 1.
    Integers(Arc<[i64]>, IntegerType),
}

/// A type of integers, or of truth values, which have one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerType {
    pub bits: u32,
    pub is_signed: bool,
}

impl IntegerType {
    pub const BOOL: IntegerType = IntegerType { bits: 1, is_signed: false };
    const INT64: IntegerType = IntegerType { bits: 64, is_signed: true };

    /// `n` as a number of this type: its lowest bits, or whether it is not 0. One of 64 bits stays, signed or not.
    pub fn wrap(self, n: i64) -> i64 {
        match self {
            IntegerType::BOOL => (n != 0).into(),
            IntegerType { bits: 64, .. } => n,
            IntegerType { bits, is_signed: true } => n << (64 - bits) >> (64 - bits),
            IntegerType { bits, .. } => n & ((1 << bits) - 1),
        }
    }

    /// As [`IntegerType::wrap`], of a result.
    ///
    /// # Errors
    /// When it is an unsigned number of 64 bits that would need the last of them, which signed ones have not.
    pub fn checked(self, n: i64) -> Result<i64, String> {
        if self.bits == 64 && !self.is_signed && n < 0 {
            return Err("elements of type uint64 from 2^63 on are not supported".into());
        }
        Ok(self.wrap(n))
    }
}

impl Tensor {
    pub fn floats(dims: &[usize], elements: impl IntoIterator<Item = f32>) -> Tensor {
        Tensor { dims: dims.to_vec(), elements: Elements::Floats(elements.into_iter().collect()) }
    }

    pub fn integers(dims: &[usize], elements: Vec<i64>) -> Tensor {
        Tensor { dims: dims.to_vec(), elements: Elements::Integers(elements.into(), IntegerType::INT64) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Floats(elements) => elements.len(),
            Elements::Integers(elements, _) => elements.len(),
        }
    }

    /// The name of the elements' type.
    pub fn element_name(&self) -> String {
        match self.elements {
            Elements::Floats(_) => "float".into(),
            Elements::Integers(_, IntegerType::BOOL) => "bool".into(),
            Elements::Integers(_, IntegerType { bits, is_signed }) => {
                format!("{}int{bits}", if is_signed { "" } else { "u" })
            }
        }
    }

    /// The floating-point elements.
    ///
    /// # Errors
    /// When they are integers.
    pub fn as_floats(&self) -> Result<&Arc<[f32]>, String> {
        match &self.elements {
            Elements::Floats(elements) => Ok(elements),
            Elements::Integers(..) => Err("a tensor of integers where floating-point numbers belong".into()),
        }
    }

    /// The integer elements.
    ///
    /// # Errors
    /// When they are floating-point numbers.
    pub fn as_integers(&self) -> Result<&[i64], String> {
        match &self.elements {
            Elements::Integers(elements, _) => Ok(elements),
            Elements::Floats(_) => Err("a tensor of floating-point numbers where integers belong".into()),
        }
    }

    /// The value of a tensor of one element.
    pub fn scalar(&self) -> Option<f64> {
        match &self.elements {
            Elements::Floats(elements) if elements.len() == 1 => Some(elements[0].into()),
            Elements::Integers(elements, _) if elements.len() == 1 => Some(elements[0] as f64),
            _ => None,
        }
    }
}

/// A tensor as the file holds it.
#[derive(Debug, Default)]
pub struct StoredTensor {
    dims: Vec<i64>,
    element: i64,
    data: Data,
    /// Where the elements are, if they are in another file.
    pub external: Option<ExternalData>,
}

/// The elements of a [`StoredTensor`].
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// Little-endian elements.
    Raw(Vec<u8>),
    /// The same of 32-bit floating-point numbers, read in place.
    RawFloats(Arc<[f32]>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    /// Integers, and the bits of 16-bit floating-point numbers.
    Integers(Vec<i64>),
}

const FLOAT: i64 = 1;
const UINT8: i64 = 2;
const INT8: i64 = 3;
const UINT16: i64 = 4;
const INT16: i64 = 5;
const INT32: i64 = 6;
const INT64: i64 = 7;
const BOOL: i64 = 9;
const FLOAT16: i64 = 10;
const DOUBLE: i64 = 11;
const UINT32: i64 = 12;
const UINT64: i64 = 13;
const BFLOAT16: i64 = 16;

/// The name of an element type, its size in bytes, and what integers it has, if any; `None` for a type that is not
/// supported.
pub fn element_type(element: i64) -> Option<(&'static str, usize, Option<IntegerType>)> {
    let integers = |bits, is_signed| Some(IntegerType { bits, is_signed });
    Some(match element {
        FLOAT => ("float", 4, None),
        FLOAT16 => ("float16", 2, None),
        DOUBLE => ("double", 8, None),
        BFLOAT16 => ("bfloat16", 2, None),
        UINT8 => ("uint8", 1, integers(8, false)),
        INT8 => ("int8", 1, integers(8, true)),
        UINT16 => ("uint16", 2, integers(16, false)),
        INT16 => ("int16", 2, integers(16, true)),
        UINT32 => ("uint32", 4, integers(32, false)),
        INT32 => ("int32", 4, integers(32, true)),
        UINT64 => ("uint64", 8, integers(64, false)),
        INT64 => ("int64", 8, integers(64, true)),
        BOOL => ("bool", 1, integers(1, false)),
        _ => return None,
    })
}

/// Whether elements of this type are floating-point numbers.
pub fn is_floating_point(element: i64) -> bool {
    element_type(element).is_some_and(|(_, _, integers)| integers.is_none())
}

impl StoredTensor {
    /// Reads a tensor and its name.
    ///
    /// # Errors
    /// What is damaged, and where.
    pub fn read<R: Read>(mut message: Message<'_, R>) -> Result<(String, StoredTensor), String> {
        let (mut name, mut tensor) = (String::new(), StoredTensor::default());
        let (mut external, mut is_external) = (HashMap::new(), false);
        let (mut floats, mut doubles, mut integers) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_segment = false;
        while let Some(field) = message.field()? {
            match field.number {
                1 => field.integers(&mut tensor.dims)?,
                3 => {
                    is_segment = true;
                    field.skip()?;
                }
                2 => tensor.element = field.integer()?,
                4 => field.numbers(&mut floats, f32::from_le_bytes)?,
                5 | 7 | 11 => field.integers(&mut integers)?,
                8 => name = field.text()?,
                // The type comes first in files of every known writer: weights are read to where they stay.
                9 => {
                    let length = field.length()?;
                    tensor.set_raw(length, |bytes| field.read_into(bytes))?;
                }
                10 => field.numbers(&mut doubles, f64::from_le_bytes)?,
                13 => {
                    let (key, value) = field.entry()?;
                    external.insert(key, value);
                }
                14 => is_external = field.integer()? == 1,
                _ => field.skip()?,
            }
        }
        let forms = [
            !matches!(tensor.data, Data::None),
            !floats.is_empty(),
            !doubles.is_empty(),
            !integers.is_empty(),
        ];
        if forms.into_iter().filter(|&form| form).count() > 1 || is_segment {
            let what = if is_segment { "a part of its elements" } else { "elements in two forms" };
            return Err(format!("tensor '{name}': {what}"));
        }
        if !floats.is_empty() {
            tensor.data = Data::Floats(floats);
        } else if !doubles.is_empty() {
            tensor.data = Data::Doubles(doubles);
        } else if !integers.is_empty() {
            tensor.data = Data::Integers(integers);
        }
        if is_external {
            tensor.external =
                Some(ExternalData::new(&external).map_err(|e| format!("tensor '{name}': {e}"))?);
        }
        Ok((name, tensor))
    }

    /// Sets its elements to `length` bytes, which `read` reads to where they stay.
    ///
    /// # Errors
    /// Those of `read`, and when there is no memory for them.
    pub fn set_raw(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.element == FLOAT && length.is_multiple_of(4) && cfg!(target_endian = "little") {
            let mut elements = allocation::zeros("weights", length / 4).map_err(|e| e.to_string())?;
            let own = Arc::get_mut(&mut elements).expect("nobody else has it yet");
            read(bytemuck::cast_slice_mut(own))?;
            self.data = Data::RawFloats(elements);
        } else {
            let mut bytes = allocation::vec("weights", length, 0).map_err(|e| e.to_string())?;
            read(&mut bytes)?;
            self.data = Data::Raw(bytes);
        }
        Ok(())
    }

    /// Number of bytes that the elements take.
    ///
    /// # Errors
    /// When the dimensions or the type are impossible, or not supported.
    pub fn bytes(&self) -> Result<usize, String> {
        let (_, size, _) = self.element_type()?;
        self.count()?.checked_mul(size).ok_or_else(|| self.impossible())
    }

    fn element_type(&self) -> Result<(&'static str, usize, Option<IntegerType>), String> {
        element_type(self.element)
            .ok_or_else(|| format!("elements of type {} are not supported", self.element))
    }

    fn dims(&self) -> Result<Vec<usize>, String> {
        self.dims.iter().map(|&n| usize::try_from(n).map_err(|_| self.impossible())).collect()
    }

    fn count(&self) -> Result<usize, String> {
        let count = self.dims()?.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
        count.ok_or_else(|| self.impossible())
    }

    fn impossible(&self) -> String {
        format!("dimensions {:?}", self.dims)
    }

    /// The tensor.
    ///
    /// # Errors
    /// When its type is not supported, or it does not have as many elements as its dimensions say.
    pub fn tensor(&self) -> Result<Tensor, String> {
        let (name, size, _) = self.element_type()?;
        let (dims, count) = (self.dims()?, self.count()?);
        if self.external.is_some() {
            return Err("its elements are in another file".into());
        }
        let given = match &self.data {
            Data::None => 0,
            Data::Raw(bytes) if bytes.len() % size == 0 => bytes.len() / size,
            Data::Raw(bytes) => return Err(format!("{} bytes are no whole number of {name}", bytes.len())),
            Data::RawFloats(elements) => elements.len(),
            Data::Floats(elements) => elements.len(),
            Data::Doubles(elements) => elements.len(),
            Data::Integers(elements) => elements.len(),
        };
        if given != count {
            return Err(format!("{given} elements, its dimensions {dims:?} need {count}"));
        }
        let elements = match &self.data {
            Data::None if is_floating_point(self.element) => Elements::Floats(Arc::default()),
            Data::None => self.integers(&[])?,
            Data::RawFloats(elements) if self.element == FLOAT => Elements::Floats(Arc::clone(elements)),
            Data::RawFloats(_) => return Err(format!("its type {name} follows its elements")),
            Data::Floats(elements) if self.element == FLOAT => Elements::Floats(elements.as_slice().into()),
            Data::Doubles(elements) if self.element == DOUBLE => {
                Elements::Floats(elements.iter().map(|&x| x as f32).collect())
            }
            Data::Integers(bits) => match self.element {
                FLOAT16 => {
                    Elements::Floats(bits.iter().map(|&b| f16::from_bits(b as u16).to_f32()).collect())
                }
                BFLOAT16 => {
                    Elements::Floats(bits.iter().map(|&b| bf16::from_bits(b as u16).to_f32()).collect())
                }
                _ => self.integers(bits)?,
            },
            Data::Floats(_) | Data::Doubles(_) => {
                return Err(format!("elements that are not of its type {name}"));
            }
            Data::Raw(bytes) => self.raw(bytes)?,
        };
        Ok(Tensor { dims, elements })
    }

    /// Little-endian elements of a type that is supported.
    fn raw(&self, bytes: &[u8]) -> Result<Elements, String> {
        fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Arc<[T]> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
        }
        let integers = match self.element {
            FLOAT => return Ok(Elements::Floats(each(bytes, f32::from_le_bytes))),
            FLOAT16 => return Ok(Elements::Floats(each(bytes, |b| f16::from_le_bytes(b).to_f32()))),
            BFLOAT16 => return Ok(Elements::Floats(each(bytes, |b| bf16::from_le_bytes(b).to_f32()))),
            DOUBLE => return Ok(Elements::Floats(each(bytes, |b| f64::from_le_bytes(b) as f32))),
            INT8 => each(bytes, |b| i8::from_le_bytes(b).into()),
            UINT16 => each(bytes, |b| u16::from_le_bytes(b).into()),
            INT16 => each(bytes, |b| i16::from_le_bytes(b).into()),
            INT32 => each(bytes, |b| i32::from_le_bytes(b).into()),
            UINT32 => each(bytes, |b| u32::from_le_bytes(b).into()),
            INT64 | UINT64 => each(bytes, i64::from_le_bytes),
            _ => each(bytes, |[b]: [u8; 1]| b.into()),
        };
        self.integers(&integers)
    }

    /// Integers of its type.
    fn integers(&self, elements: &[i64]) -> Result<Elements, String> {
        let (name, _, kind) = self.element_type()?;
        let kind = kind.ok_or_else(|| format!("integers where elements of type {name} belong"))?;
        let checked = elements.iter().map(|&n| kind.checked(n)).collect::<Result<_, _>>()?;
        Ok(Elements::Integers(checked, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(dims: &[i64], element: i64, data: Data) -> Result<Tensor, String> {
        StoredTensor { dims: dims.to_vec(), element, data, external: None }.tensor()
    }

    #[test]
    fn elements_of_every_type_become_numbers() {
        let floats = |elements: &[f32]| Ok(Tensor::floats(&[2], elements.iter().copied()));
        let raw = |bytes: &[u8]| Data::Raw(bytes.to_vec());
        assert_eq!(stored(&[2], FLOAT16, raw(&[0, 0x3c, 0, 0xc0])), floats(&[1.0, -2.0]));
        assert_eq!(stored(&[2], FLOAT16, Data::Integers(vec![0x3c00, 0xc000])), floats(&[1.0, -2.0]));
        assert_eq!(stored(&[2], BFLOAT16, raw(&[0x80, 0x3f, 0, 0xc0])), floats(&[1.0, -2.0]));
        assert_eq!(stored(&[2], DOUBLE, Data::Doubles(vec![1.0, -2.0])), floats(&[1.0, -2.0]));
        assert_eq!(stored(&[2], FLOAT, Data::Floats(vec![1.0, -2.0])), floats(&[1.0, -2.0]));
        let integers = |element: i64, elements: &[i64]| {
            let (_, _, kind) = element_type(element).unwrap();
            Ok(Tensor {
                dims: vec![elements.len()],
                elements: Elements::Integers(elements.into(), kind.unwrap()),
            })
        };
        assert_eq!(stored(&[2], INT8, raw(&[1, 0xff])), integers(INT8, &[1, -1]));
        assert_eq!(stored(&[2], UINT8, raw(&[1, 0xff])), integers(UINT8, &[1, 255]));
        assert_eq!(stored(&[1], INT64, raw(&[0xff; 8])), integers(INT64, &[-1]));
        assert_eq!(stored(&[3], BOOL, raw(&[1, 0, 7])), integers(BOOL, &[1, 0, 1]));
        assert_eq!(stored(&[0], INT64, Data::None), integers(INT64, &[]));
        assert!(stored(&[1], UINT64, raw(&[0xff; 8])).unwrap_err().contains("2^63"));
    }

    #[test]
    fn sizes_that_disagree_are_named() {
        let cause = |dims: &[i64], element, data| stored(dims, element, data).unwrap_err();
        assert_eq!(cause(&[3], FLOAT, Data::Raw(vec![0; 8])), "2 elements, its dimensions [3] need 3");
        assert_eq!(cause(&[2], FLOAT, Data::Raw(vec![0; 7])), "7 bytes are no whole number of float");
        assert_eq!(cause(&[-1], FLOAT, Data::None), "dimensions [-1]");
        assert_eq!(
            cause(&[1 << 40, 1 << 40], FLOAT, Data::None),
            "dimensions [1099511627776, 1099511627776]"
        );
        assert_eq!(cause(&[1], 8, Data::None), "elements of type 8 are not supported");
        assert_eq!(
            cause(&[1], FLOAT, Data::Integers(vec![1])),
            "integers where elements of type float belong"
        );
    }
}
