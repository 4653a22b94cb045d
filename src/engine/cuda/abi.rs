//! The binary interface between host and kernels: constants, opcodes and structures.
//! `kernels/common.cuh` declares the same for the device; tests compare the two texts.

use bytemuck::{Pod, Zeroable};
use cudarc::driver::DeviceRepr;

/// Threads per block.
pub(super) const THREADS: u32 = 256;
/// Most jobs of a launch.
pub(super) const MAX_JOBS: usize = 14;
/// Channels of the tap per group of a `cam` step; the length of a row of kernel sums is a multiple of it.
pub(super) const CAM_CHANNELS: usize = 16;
/// Positions of a pooled gradient that a thread sums at once; a table of them is padded to a multiple.
pub(super) const CAM_POSITIONS: usize = 8;
/// Sums of a pooled gradient that a block stores at once: the largest number of border classes.
pub(super) const CAM_SUMS: usize = 4096;
/// Most terms of a slice of a convolution's sum.
pub(super) const SLICE: usize = 16;
/// Most slices of a group.
pub(super) const MAX_GROUP: usize = 32;
/// Output channels per thread in small tiles; the length of a packed weight's row is a multiple of it.
pub(super) const SMALL_CHANNELS: usize = 8;
/// Output channels per thread in large tiles.
pub(super) const TILED_CHANNELS: usize = 4;
/// Stages of shared memory in large tiles.
pub(super) const STAGES: usize = 2;
/// Flag of [`ConvRow::tiled`]: four adjacent positions are read as one vector.
pub(super) const TILED_READS_VECTORS: u32 = 1;
/// Flag of [`ConvRow::tiled`]: four adjacent positions are written as one vector.
pub(super) const TILED_WRITES_VECTORS: u32 = 2;
/// Flag of [`ConvRow::tiled`]: a thread has two quads of positions.
pub(super) const TILED_TWO_QUADS: u32 = 4;
/// Floats of shared memory from the weights of one slice and group of channels to the next, in small tiles.
pub(super) const SMALL_WEIGHTS: usize = SLICE * SMALL_CHANNELS + 4;
/// Elements of a gradient, with one of padding for each channel, that a block copies to shared memory.
pub(super) const CAM_GRADIENT: usize = 8192;
/// Floats of shared memory of a chain.
pub(super) const CHAIN_SHARED: usize = CAM_CHANNELS + THREADS as usize + CAM_SUMS + CAM_GRADIENT;
/// [`ConvRow::finish`]: a bias; smaller values are rules of a gate.
pub(super) const FINISH_BIAS: u32 = 4;
/// [`ConvRow::finish`]: a bias and a ReLU.
pub(super) const FINISH_BIAS_RELU: u32 = 5;
/// [`ConvRow::finish`]: a bias and a residual.
pub(super) const FINISH_RESIDUAL: u32 = 6;
/// [`ConvRow::finish`]: a bias, a residual and a ReLU.
pub(super) const FINISH_RESIDUAL_RELU: u32 = 7;
/// [`StepRow::detail`] of an activation.
pub(super) const ACTIVATION_SIGMOID: i32 = 0;
pub(super) const ACTIVATION_HARD_SIGMOID: i32 = 1;
pub(super) const ACTIVATION_HARD_SWISH: i32 = 2;
pub(super) const ACTIVATION_SILU: i32 = 3;
pub(super) const ACTIVATION_LEAKY_RELU: i32 = 4;
/// Largest height and width of an image.
pub(super) const MAX_SIDE: usize = 8192;

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
        SliceGrad = "OP_SLICE_GRAD",
        ChannelShuffle = "OP_CHANNEL_SHUFFLE",
        Add = "OP_ADD",
        Mul = "OP_MUL",
        ChannelDot = "OP_CHANNEL_DOT",
        Relu = "OP_RELU",
        ReluGrad = "OP_RELU_GRAD",
        Activation = "OP_ACTIVATION",
        ActivationGrad = "OP_ACTIVATION_GRAD",
        BatchNorm = "OP_BATCH_NORM",
        MaxPool = "OP_MAX_POOL",
        MaxPoolGrad = "OP_MAX_POOL_GRAD",
        AvgPool = "OP_AVG_POOL",
        AvgPoolGrad = "OP_AVG_POOL_GRAD",
        Lrn = "OP_LRN",
        LrnGrad = "OP_LRN_GRAD",
        Resize = "OP_RESIZE",
        ResizeGrad = "OP_RESIZE_GRAD",
        GroupedConv2d = "OP_GROUPED_CONV2D",
        GroupedConv2dGrad = "OP_GROUPED_CONV2D_GRAD",
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
        Classifier = "OP_CLASSIFIER",
        ResizeMinMax = "OP_RESIZE_MIN_MAX",
    }
}

cuda_enum! {
    /// Kind of a job.
    Mode {
        Chain = "MODE_CHAIN",
        ConvSmall = "MODE_CONV_SMALL",
        ConvTiled = "MODE_CONV_TILED",
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

cuda_struct! {
    /// `Divisor` of `kernels/common.cuh`: division by multiplication, for dividends below 2^31 (Granlund and
    /// Montgomery, 1994).
    Divisor { divisor: u32, multiplier: u32, shift: u32, }
}

impl Divisor {
    /// Division by `divisor`, at least 1.
    pub(super) fn new(divisor: usize) -> Divisor {
        let shift = divisor.next_power_of_two().trailing_zeros();
        let multiplier = (1_u64 << (31 + shift)).div_ceil(divisor as u64);
        Divisor { divisor: divisor as u32, multiplier: multiplier as u32, shift }
    }
}

cuda_struct! {
    /// `Step` of `kernels/common.cuh`, which documents the fields: a row of the step table.
    StepRow {
        op: u32, first_space: u32, first: u32, second_space: u32, second: u32, out_space: u32, out: u32,
        in_c: i32, in_h: i32, in_w: i32, out_c: i32, out_h: i32, out_w: i32,
        by_plane: Divisor, by_row: Divisor,
        kernel_h: i32, kernel_w: i32, stride_h: i32, stride_w: i32, padding_h: i32, padding_w: i32,
        dilation_h: i32, dilation_w: i32,
        counted_top: i32, counted_left: i32, counted_bottom: i32, counted_right: i32,
        weight: u32, bias: u32, relu: u32, relu_max: f32, detail: i32, table: u32,
        classes: i32, weight_row: i32, chunk: i32,
    }
}

cuda_struct! {
    /// `Conv` of `kernels/common.cuh`, which documents the fields: a convolution.
    ConvRow {
        input: u64, weight: u64, out: u64, extra: u64, bias: u64, scratch: u64, counters: u64,
        in_stride: u32, out_stride: u32, extra_stride: u32, extra_step: u32, extra_plane: u32,
        finish: u32, relu_max: f32, unused: u32,
        in_c: i32, in_h: i32, in_w: i32, in_plane: i32,
        row_first: i32, row_step: i32, row_turn: i32,
        column_first: i32, column_step: i32, column_turn: i32,
        out_c: i32, out_plane: i32, out_row: i32, out_column: i32, weight_row: i32,
        pixels: u32, slices: u32, group: u32, tiled: u32,
        pixel_lanes: u32, by_pixel_lanes: u32, channel_lanes: u32, by_channel_lanes: u32,
        by_units: Divisor, by_groups: Divisor, by_across: Divisor,
        by_positions: Divisor, by_columns: Divisor, by_chunks: Divisor, by_width: Divisor,
    }
}

cuda_struct! {
    /// `Chain` of `kernels/common.cuh`: steps of one image, one after another.
    ChainRow { first_step: u32, steps: u32, by_across: Divisor, scratch: u32, counter: u32, }
}

cuda_struct! {
    /// `Job` of `kernels/common.cuh`: one job of a launch. Its union is a convolution here.
    JobRow { mode: u32, unused: u32, body: ConvRow, }
}

impl From<ChainRow> for JobRow {
    fn from(chain: ChainRow) -> JobRow {
        let mut body = ConvRow::zeroed();
        bytemuck::bytes_of_mut(&mut body)[..size_of::<ChainRow>()]
            .copy_from_slice(bytemuck::bytes_of(&chain));
        JobRow { mode: Mode::Chain as u32, unused: 0, body }
    }
}

/// An address for each space.
type Addresses = [u64; 3];
/// A number of elements for each space.
type Strides = [u32; 3];
/// The jobs of a launch; unused entries are zero.
type Jobs = [JobRow; MAX_JOBS];
/// The first block of each job of a launch.
type FirstBlocks = [u32; MAX_JOBS];

cuda_struct! {
    /// `Launch` of `kernels/common.cuh`: the argument of a launch. Addresses are device addresses.
    Launch {
        space: Addresses, weights: u64, tables: u64, steps: u64, scratch: u64, counters: u64, active: u64,
        stride: Strides, images: u32,
        first_block: FirstBlocks,
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
    const SMALL: &str = include_str!("../../../kernels/conv2d_small.cu");
    const TILED: &str = include_str!("../../../kernels/conv2d_tiled.cu");

    /// The lines between `opening {` and `};`, without comments.
    fn body(opening: &str) -> Vec<String> {
        let start = TEXT.find(&format!("\n{opening} {{\n")).unwrap_or_else(|| panic!("no {opening}"));
        let body = &TEXT[start..];
        let body = &body[body.find('{').unwrap() + 1..body.find("\n};").unwrap()];
        // The union of a job's kinds is one field here: of the size of the largest.
        let body = match body.split_once("    union {") {
            Some((before, _)) => format!("{before}    struct Conv body;"),
            None => body.to_string(),
        };
        let lines = body.lines().map(|line| line.split("//").next().unwrap().trim().to_string());
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// (name, Rust type, size and alignment in bytes) of a field's declaration.
    fn declaration(line: &str) -> (String, &'static str, [usize; 2]) {
        let (text, name) = line.strip_suffix(';').unwrap().rsplit_once(' ').unwrap();
        match text {
            "struct Job" => (name.strip_suffix("[MAX_JOBS]").unwrap().into(), "Jobs", [size_of::<Jobs>(), 8]),
            "struct Conv" => (name.into(), "ConvRow", [size_of::<ConvRow>(), 8]),
            "struct Divisor" => (name.into(), "Divisor", [size_of::<Divisor>(), 4]),
            "float*" if name == "space[3]" => ("space".into(), "Addresses", [24, 8]),
            "unsigned int" if name == "stride[3]" => ("stride".into(), "Strides", [12, 4]),
            "unsigned int" => match name.strip_suffix("[MAX_JOBS]") {
                Some(name) => (name.into(), "FirstBlocks", [size_of::<FirstBlocks>(), 4]),
                None => (name.into(), "u32", [4, 4]),
            },
            "int" => (name.into(), "i32", [4, 4]),
            "float" => (name.into(), "f32", [4, 4]),
            _ if text.ends_with('*') => (name.into(), "u64", [8, 8]),
            _ => panic!("no Rust type for '{line}'"),
        }
    }

    fn check(name: &str, fields: &[(&str, &str, usize)]) {
        let lines = body(&format!("struct {name}"));
        let mut offset = 0_usize;
        assert_eq!(lines.len(), fields.len(), "fields of {name}");
        for (line, &(field, kind, rust_offset)) in lines.iter().zip(fields) {
            let (cuda_field, cuda_kind, [size, alignment]) = declaration(line);
            offset = offset.next_multiple_of(alignment);
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
        check("Divisor", Divisor::FIELDS);
        check("__align__(16) Step", StepRow::FIELDS);
        check("Chain", ChainRow::FIELDS);
        check("Conv", ConvRow::FIELDS);
        check("Job", JobRow::FIELDS);
        check("Launch", Launch::FIELDS);
        assert!(size_of::<ChainRow>() <= size_of::<ConvRow>(), "a job's union has the size of a convolution");
        assert_eq!(size_of::<StepRow>() % 16, 0);
        assert!(size_of::<Launch>() <= 4096, "the most that every driver passes to a kernel");
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
        let text = |text: &str, name: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(&format!("#define {name} ")));
            line.unwrap_or_else(|| panic!("no {name}"))[format!("#define {name} ").len()..].to_string()
        };
        assert_eq!(value(TEXT, "THREADS"), THREADS as usize);
        assert_eq!(value(TEXT, "MAX_JOBS"), MAX_JOBS);
        assert_eq!(value(CAM, "CAM_CHANNELS"), CAM_CHANNELS);
        assert_eq!(value(CAM, "CAM_POSITIONS"), CAM_POSITIONS);
        assert_eq!(value(CAM, "CAM_SUMS"), CAM_SUMS);
        assert_eq!(value(CAM, "CAM_GRADIENT"), CAM_GRADIENT);
        assert_eq!(text(CAM, "CAM_SHARED"), "(CAM_CHANNELS + THREADS + CAM_SUMS + CAM_GRADIENT)");
        assert_eq!(value(CONV2D, "SLICE"), SLICE);
        assert_eq!(value(CONV2D, "MAX_GROUP"), MAX_GROUP);
        assert_eq!(value(TEXT, "FINISH_BIAS"), FINISH_BIAS as usize);
        assert_eq!(value(TEXT, "FINISH_BIAS_RELU"), FINISH_BIAS_RELU as usize);
        assert_eq!(value(TEXT, "FINISH_RESIDUAL"), FINISH_RESIDUAL as usize);
        assert_eq!(value(TEXT, "FINISH_RESIDUAL_RELU"), FINISH_RESIDUAL_RELU as usize);
        assert_eq!(value(TEXT, "ACTIVATION_SIGMOID"), ACTIVATION_SIGMOID as usize);
        assert_eq!(value(TEXT, "ACTIVATION_HARD_SIGMOID"), ACTIVATION_HARD_SIGMOID as usize);
        assert_eq!(value(TEXT, "ACTIVATION_HARD_SWISH"), ACTIVATION_HARD_SWISH as usize);
        assert_eq!(value(TEXT, "ACTIVATION_SILU"), ACTIVATION_SILU as usize);
        assert_eq!(value(TEXT, "ACTIVATION_LEAKY_RELU"), ACTIVATION_LEAKY_RELU as usize);
        assert_eq!(value(CONV2D, "MAX_SIDE"), MAX_SIDE);
        assert_eq!(value(SMALL, "SMALL_CHANNELS"), SMALL_CHANNELS);
        assert_eq!(text(SMALL, "SMALL_WEIGHTS"), "(SLICE * SMALL_CHANNELS + 4)");
        assert_eq!(value(TILED, "TILED_CHANNELS"), TILED_CHANNELS);
        assert_eq!(value(TILED, "STAGES"), STAGES);
        assert_eq!(value(TILED, "TILED_READS_VECTORS"), TILED_READS_VECTORS as usize);
        assert_eq!(value(TILED, "TILED_WRITES_VECTORS"), TILED_WRITES_VECTORS as usize);
        assert_eq!(value(TILED, "TILED_TWO_QUADS"), TILED_TWO_QUADS as usize);
    }

    #[test]
    fn division_by_multiplication_is_exact() {
        let divide =
            |n: u32, by: Divisor| ((u64::from(2 * n) * u64::from(by.multiplier)) >> 32) as u32 >> by.shift;
        for divisor in (1..=70).chain([96, 255, 256, 257, 1000, 3136, 50176, 65535, 65536, (1 << 30) + 1]) {
            let by = Divisor::new(divisor);
            let near = |n: u32| [n.saturating_sub(1), n, n + 1];
            let factors = [0, 1, 2, 3, 7, 100, ((1_u32 << 31) - 2) / divisor as u32];
            let multiples = factors.into_iter().filter_map(|n| n.checked_mul(divisor as u32));
            let random = (0..200_u32).map(|i| i.wrapping_mul(0x9e37_79b9) >> 1);
            let all = multiples.flat_map(near).chain(random).chain([(1 << 31) - 1]);
            for n in all.filter(|&n| n < 1 << 31) {
                assert_eq!(divide(n, by), n / divisor as u32, "{n} / {divisor}");
            }
        }
    }
}
