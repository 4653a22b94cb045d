//! The kernels' source: the files of `kernels/` concatenated, as NVRTC reads them.

/// The files, each after those that it depends on; the last two have the kernels' entry points.
const FILES: [(&str, &str); 23] = [
    ("kernels/common.cuh", include_str!("../../../kernels/common.cuh")),
    ("kernels/copy.cu", include_str!("../../../kernels/copy.cu")),
    ("kernels/mul.cu", include_str!("../../../kernels/mul.cu")),
    ("kernels/relu.cu", include_str!("../../../kernels/relu.cu")),
    ("kernels/activation.cu", include_str!("../../../kernels/activation.cu")),
    ("kernels/batch_norm.cu", include_str!("../../../kernels/batch_norm.cu")),
    ("kernels/max_pool.cu", include_str!("../../../kernels/max_pool.cu")),
    ("kernels/avg_pool.cu", include_str!("../../../kernels/avg_pool.cu")),
    ("kernels/lrn.cu", include_str!("../../../kernels/lrn.cu")),
    ("kernels/linear.cu", include_str!("../../../kernels/linear.cu")),
    ("kernels/softmax.cu", include_str!("../../../kernels/softmax.cu")),
    ("kernels/one_hot.cu", include_str!("../../../kernels/one_hot.cu")),
    ("kernels/resize_min_max.cu", include_str!("../../../kernels/resize_min_max.cu")),
    ("kernels/resize.cu", include_str!("../../../kernels/resize.cu")),
    ("kernels/cam.cu", include_str!("../../../kernels/cam.cu")),
    ("kernels/classifier.cu", include_str!("../../../kernels/classifier.cu")),
    ("kernels/grouped_conv2d.cu", include_str!("../../../kernels/grouped_conv2d.cu")),
    ("kernels/conv2d_grad.cu", include_str!("../../../kernels/conv2d_grad.cu")),
    ("kernels/conv2d.cu", include_str!("../../../kernels/conv2d.cu")),
    ("kernels/conv2d_small.cu", include_str!("../../../kernels/conv2d_small.cu")),
    ("kernels/conv2d_tiled.cu", include_str!("../../../kernels/conv2d_tiled.cu")),
    ("kernels/transfer.cu", include_str!("../../../kernels/transfer.cu")),
    ("kernels/level.cu", include_str!("../../../kernels/level.cu")),
];

/// The whole source. `#line` directives make the compiler's messages name the original file and line.
pub fn source() -> String {
    FILES.iter().map(|(path, text)| format!("#line 1 \"{path}\"\n{text}")).collect()
}
