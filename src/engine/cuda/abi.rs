//! What the host hands to the kernels, as plain bytes. `kernels/common.cuh` declares the same
//! structures for the device; a test compares the two texts, so that they cannot drift apart.

use bytemuck::{Pod, Zeroable};
use cudarc::driver::DeviceRepr;

/// Threads of a block.
pub(super) const THREADS: u32 = 256;
/// Jobs of a launch.
pub(super) const MAX_JOBS: usize = 16;
/// Channels of the tap that a block of a `cam` step takes.
pub(super) const CAM_CHANNELS: usize = 16;
/// Sums of a pooled gradient that a block keeps at once: the most border classes there may be.
pub(super) const CAM_SUMS: usize = 4096;
/// Terms of a convolution's sum that one block adds.
pub(super) const GROUP: usize = 512;
/// Results of a tile of `Mode::Split`.
pub(super) const TILE: usize = 256;
/// Channels that a thread of a convolution sums; packed weights have rows of a multiple of it.
pub(super) const CHANNELS: usize = 8;
/// The most rows and columns of an image.
pub(super) const MOST_SIDE: usize = 8192;
/// Pixels of a warp's tile in `Mode::Whole`.
pub(super) const WHOLE_PIXELS: usize = 128;

/// Declares an enum whose order is that of an enum in the CUDA text.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($code:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub(super) enum $name { $($code,)* }

        impl $name {
            /// The names in the CUDA text, in order.
            #[cfg(test)]
            const NAMES: &[&str] = &[$($text,)*];
        }
    };
}

codes! {
    /// What a step computes.
    Code {
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
        Seed = "OP_SEED",
        SpatialMean = "OP_SPATIAL_MEAN",
        PooledConv2dGrad = "OP_POOLED_CONV2D_GRAD",
        WeightedSum = "OP_WEIGHTED_SUM",
        Range = "OP_RANGE",
        Cam = "OP_CAM",
        Heat = "OP_HEAT",
        Conv2d = "OP_CONV2D",
        Conv2dGrad = "OP_CONV2D_GRAD",
    }
}

codes! {
    /// How a job's blocks share its work.
    Mode {
        Chain = "MODE_CHAIN",
        Spread = "MODE_SPREAD",
        Cam = "MODE_CAM",
        Split = "MODE_SPLIT",
        Whole = "MODE_WHOLE",
    }
}

/// Declares a structure and lists its fields.
macro_rules! shared {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:tt,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Zeroable, Pod)]
        #[repr(C)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }

        impl $name {
            /// (name, type, first byte) of each field.
            #[cfg(test)]
            const FIELDS: &[(&str, &str, usize)] = &[$((
                stringify!($field),
                stringify!($type),
                std::mem::offset_of!($name, $field),
            ),)*];
        }
    };
}

/// The jobs of a launch; those after the last are zero.
type Jobs = [Job; MAX_JOBS];

shared! {
    /// One step of the plan; `kernels/common.cuh` explains the fields.
    Step {
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

shared! {
    /// One job of a launch.
    Job {
        first_block: u32, first_step: u32, steps: u32, mode: u32,
        across: u32, groups: u32, scratch: u32, counter: u32,
    }
}

shared! {
    /// The one argument of a launch; addresses are the device's.
    Launch {
        input: u64, work: u64, output: u64, weights: u64, tables: u64, steps: u64,
        scratch: u64, counters: u64, active: u64,
        input_stride: u32, work_stride: u32, output_stride: u32,
        images: u32, jobs: u32, unused: u32,
        job: Jobs,
    }
}

// SAFETY: plain numbers in C layout, the same as the kernel's parameter (see the test below).
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

    /// (name, type) of a field's declaration, the type as Rust writes it.
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
        check("Step", Step::FIELDS);
        check("Job", Job::FIELDS);
        check("Launch", Launch::FIELDS);
        assert_eq!(size_of::<Step>(), 4 * Step::FIELDS.len());
    }

    #[test]
    fn codes_are_in_the_same_order_in_rust_and_cuda() {
        let names = |opening: &str| -> Vec<String> {
            body(opening).iter().map(|line| line.trim_end_matches(',').to_string()).collect()
        };
        assert_eq!(names("enum Op : unsigned int"), Code::NAMES);
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
        assert_eq!(value(CONV2D, "MOST_SIDE"), MOST_SIDE);
        assert_eq!(32 * value(CONV2D, "PIXELS"), WHOLE_PIXELS);
    }
}
