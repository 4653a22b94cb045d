//! The kernels' source: the files of `kernels/`, one after another, as NVRTC reads them.

/// The files in the order in which they need each other.
const FILES: [(&str, &str); 15] = [
    ("kernels/common.cuh", include_str!("../../../kernels/common.cuh")),
    ("kernels/copy.cu", include_str!("../../../kernels/copy.cu")),
    ("kernels/relu.cu", include_str!("../../../kernels/relu.cu")),
    ("kernels/batch_norm.cu", include_str!("../../../kernels/batch_norm.cu")),
    ("kernels/max_pool.cu", include_str!("../../../kernels/max_pool.cu")),
    ("kernels/avg_pool.cu", include_str!("../../../kernels/avg_pool.cu")),
    ("kernels/linear.cu", include_str!("../../../kernels/linear.cu")),
    ("kernels/softmax.cu", include_str!("../../../kernels/softmax.cu")),
    ("kernels/seed.cu", include_str!("../../../kernels/seed.cu")),
    ("kernels/heat.cu", include_str!("../../../kernels/heat.cu")),
    ("kernels/conv2d_grad.cu", include_str!("../../../kernels/conv2d_grad.cu")),
    ("kernels/conv2d.cu", include_str!("../../../kernels/conv2d.cu")),
    ("kernels/conv2d_split.cu", include_str!("../../../kernels/conv2d_split.cu")),
    ("kernels/conv2d_whole.cu", include_str!("../../../kernels/conv2d_whole.cu")),
    ("kernels/cam.cu", include_str!("../../../kernels/cam.cu")),
];

/// The last file: the kernel itself.
const LEVEL: (&str, &str) = ("kernels/level.cu", include_str!("../../../kernels/level.cu"));

/// The whole program. `#line` makes messages name the file and line that a person would open.
pub fn source() -> String {
    let files = FILES.iter().chain(std::iter::once(&LEVEL));
    files.map(|(path, text)| format!("#line 1 \"{path}\"\n{text}")).collect()
}
