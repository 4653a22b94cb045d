//! The binary interface between host and kernels: constants, opcodes and structures.
//! `kernels/common.cuh` declares the same for the device; tests compare the two texts.

use bytemuck::{Pod, Zeroable};
use cudarc::driver::DeviceRepr;

/// Threads per block.
pub(super) const THREADS: u32 = 256;
/// Most jobs of a launch.
pub(super) const MAX_JOBS: usize = 16;
/// Channels of the tap per block of a `cam` step.
pub(super) const CAM_CHANNELS: usize = 16;
/// Sums of a pooled gradient that a block stores at once: the largest number of border classes.
pub(super) const CAM_SUMS: usize = 4096;
/// Terms of a convolution's sum per block of `Mode::Split`.
pub(super) const GROUP: usize = 512;
/// Results per tile of `Mode::Split`.
pub(super) const TILE: usize = 256;
/// Output channels per thread of a convolution; the length of a packed weight's row is a multiple of it.
pub(super) const CHANNELS: usize = 8;
/// Largest height and width of an image.
pub(super) const MAX_SIDE: usize = 8192;
/// Pixels per warp of `Mode::Whole`.
pub(super) const WHOLE_PIXELS: usize = 128;

/// Declares an enum with the order of an enum in the CUDA source.
macro_rules! cuda_enum {
    ($(#[$meta:meta])* $name:ident { $($code:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub(super) enum $name { $($code,)* }

        impl $name {
            /// The names in the CUDA source, in order.
            #[cfg(test)]
            const NAMES: &[&str] = &[$($text,)*];
        }
    };
}

cuda_enum! {
    /// Opcode of a step.
    Opcode {
        Copy = "OP_COPY",
        Add = "OP_ADD",
        Relu = "OP_RELU",
        ReluGrad = "OP_RELU_GRAD",
        BatchNorm = "OP_BATCH_NORM",
        MaxPool = "OP_MAX_POOL",
        MaxPoolGrad = "OP_MAX_POOL_GRAD",
        AvgPool = "OP_AVG_POOL",
        AvgPoolGrad = "OP_AVG_POOL_GRAD",
        Linear = "OP_LINEAR",
        LinearGrad = "OP_LINEAR_GRAD",
        Softmax = "OP_SOFTMAX",
        SoftmaxGrad = "OP_SOFTMAX_GRAD",
        OneHot = "OP_ONE_HOT",
        SpatialMean = "OP_SPATIAL_MEAN",
        PooledConv2dGrad = "OP_POOLED_CONV2D_GRAD",
        WeightedSum = "OP_WEIGHTED_SUM",
        Range = "OP_RANGE",
        Cam = "OP_CAM",
        ResizeMinMax = "OP_RESIZE_MIN_MAX",
        Conv2d = "OP_CONV2D",
        Conv2dGrad = "OP_CONV2D_GRAD",
    }
}

cuda_enum! {
    /// Distribution of a job over blocks.
    Mode {
        Chain = "MODE_CHAIN",
        Spread = "MODE_SPREAD",
        Cam = "MODE_CAM",
        Split = "MODE_SPLIT",
        Whole = "MODE_WHOLE",
    }
}

/// Declares a structure of the CUDA source and lists its fields.
macro_rules! cuda_struct {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:tt,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Zeroable, Pod)]
        #[repr(C)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }

        impl $name {
            /// (name, type, byte offset) of each field.
            #[cfg(test)]
            const FIELDS: &[(&str, &str, usize)] = &[$((
                stringify!($field),
                stringify!($type),
                std::mem::offset_of!($name, $field),
            ),)*];
        }
    };
}

/// The jobs of a launch; unused entries are zero.
type Jobs = [JobRow; MAX_JOBS];

cuda_struct! {
    /// `Step` of `kernels/common.cuh`, which documents the fields: a row of the step table.
    StepRow {
        op: u32, first_space: u32, first: u32, second_space: u32, second: u32, out_space: u32, out: u32,
        in_c: i32, in_h: i32, in_w: i32, out_c: i32, out_h: i32, out_w: i32,
        kernel_h: i32, kernel_w: i32, stride_h: i32, stride_w: i32, padding_h: i32, padding_w: i32,
        weight: u32, bias: u32, relu: u32,
        rows: i32, columns: i32,
        row_first: i32, row_step: i32, row_turn: i32,
        column_first: i32, column_step: i32, column_turn: i32,
        out_row_first: i32, out_row_step: i32, out_column_first: i32, out_column_step: i32,
        terms: i32, weight_row: i32, vector: u32,
        classes: i32, class_table: u32,
    }
}

cuda_struct! {
    /// `Job` of `kernels/common.cuh`: one job of a launch.
    JobRow {
        first_block: u32, first_step: u32, steps: u32, mode: u32,
        across: u32, groups: u32, scratch: u32, counter: u32,
    }
}

cuda_struct! {
    /// `Launch` of `kernels/common.cuh`: the argument of a launch. Addresses are device addresses.
    Launch {
        input: u64, work: u64, output: u64, weights: u64, tables: u64, steps: u64,
        scratch: u64, counters: u64, active: u64,
        input_stride: u32, work_stride: u32, output_stride: u32,
        images: u32, jobs: u32, unused: u32,
        job: Jobs,
    }
}

// SAFETY: plain integers in C layout, the same as the kernel's parameter (the tests below compare them).
unsafe impl DeviceRepr for Launch {}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../../kernels/common.cuh");
    const CAM: &str = include_str!("../../../kernels/cam.cu");
    const CONV2D: &str = include_str!("../../../kernels/conv2d.cu");
    const CONV2D_SPLIT: &str = include_str!("../../../kernels/conv2d_split.cu");

    /// The lines between `opening {` and `};`, without comments.
    fn body(opening: &str) -> Vec<String> {
        let start = TEXT.find(&format!("\n{opening} {{\n")).unwrap_or_else(|| panic!("no {opening}"));
        let body = &TEXT[start..];
        let body = &body[body.find('{').unwrap() + 1..body.find("\n};").unwrap()];
        let lines = body.lines().map(|line| line.split("//").next().unwrap().trim().to_string());
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// (name, Rust type, size in bytes) of a field's declaration.
    fn declaration(line: &str) -> (String, &'static str, usize) {
        let (text, name) = line.strip_suffix(';').unwrap().rsplit_once(' ').unwrap();
        match text {
            "struct Job" => (name.strip_suffix("[MAX_JOBS]").unwrap().into(), "Jobs", 0),
            "unsigned int" => (name.into(), "u32", 4),
            "int" => (name.into(), "i32", 4),
            _ if text.ends_with('*') => (name.into(), "u64", 8),
            _ => panic!("no Rust type for '{line}'"),
        }
    }

    fn check(name: &str, fields: &[(&str, &str, usize)]) {
        let lines = body(&format!("struct {name}"));
        let mut offset = 0_usize;
        assert_eq!(lines.len(), fields.len(), "fields of {name}");
        for (line, &(field, kind, rust_offset)) in lines.iter().zip(fields) {
            let (cuda_field, cuda_kind, size) = declaration(line);
            offset = offset.next_multiple_of(size.max(1));
            assert_eq!(
                (cuda_field.as_str(), cuda_kind, offset),
                (field, kind, rust_offset),
                "{name}: {line}"
            );
            offset += size;
        }
    }

    #[test]
    fn structures_are_the_same_in_rust_and_cuda() {
        check("Step", StepRow::FIELDS);
        check("Job", JobRow::FIELDS);
        check("Launch", Launch::FIELDS);
        assert_eq!(size_of::<StepRow>(), 4 * StepRow::FIELDS.len());
    }

    #[test]
    fn opcodes_and_modes_are_in_the_same_order_in_rust_and_cuda() {
        let names = |opening: &str| -> Vec<String> {
            body(opening).iter().map(|line| line.trim_end_matches(',').to_string()).collect()
        };
        assert_eq!(names("enum Op : unsigned int"), Opcode::NAMES);
        assert_eq!(names("enum Mode : unsigned int"), Mode::NAMES);
    }

    #[test]
    fn constants_are_the_same_in_rust_and_cuda() {
        let value = |text: &str, name: &str| -> usize {
            let start = text.find(&format!("#define {name} ")).unwrap_or_else(|| panic!("no {name}"));
            text[start..].lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert_eq!(value(TEXT, "THREADS"), THREADS as usize);
        assert_eq!(value(TEXT, "MAX_JOBS"), MAX_JOBS);
        assert_eq!(value(CAM, "CAM_CHANNELS"), CAM_CHANNELS);
        assert_eq!(value(CAM, "CAM_SUMS"), CAM_SUMS);
        assert_eq!(value(CONV2D, "GROUP"), GROUP);
        assert_eq!(value(CONV2D_SPLIT, "TILE"), TILE);
        assert_eq!(value(CONV2D, "CHANNELS"), CHANNELS);
        assert_eq!(value(CONV2D, "MAX_SIDE"), MAX_SIDE);
        assert_eq!(32 * value(CONV2D, "PIXELS"), WHOLE_PIXELS);
    }
}
