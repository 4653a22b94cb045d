// resize, resize_grad: other numbers of rows and columns, and the gradient as a gather.
//
// The host computes where each row and column of the result comes from, and for the gradient which rows and columns of
// it each pixel reaches: src/engine/graph/ops/resize.rs defines both. In the tables are samples of two words: the first of
// two rows, its highest bit set where the second is the next and not the same; and the share of the second. Rows come
// before columns, and the gradient's ranges, first and end, behind them.

// The sample of row or column `i`.
__device__ __forceinline__ Sample sample_at(const unsigned int* samples, int i) {
    const unsigned int rows = __ldg(samples + 2 * i);
    Sample sample;
    sample.low = rows & 0x7fffffff;
    sample.high = sample.low + (rows >> 31);
    sample.weight = __uint_as_float(__ldg(samples + 2 * i + 1));
    return sample;
}

// Exactly `a` where the share of `b` is zero, also beside an infinite `b`.
__device__ __forceinline__ float blend(float a, float b, float share) {
    return share == 0.0f ? a : fmaf(share, b, (1.0f - share) * a);
}

__device__ void resize(const Step& step, const unsigned int* tables, const float* in, float* out, Share share) {
    const int size = step.by_plane.divisor, count = step.out_c * size;
    const unsigned int* rows = tables + step.table;
    const unsigned int* columns = rows + 2 * step.out_h;
    for (int i = share.first(); i < count; i += share.stride()) {
        const int channel = divide(i, step.by_plane), position = i - channel * size;
        const int row = divide(position, step.by_row);
        const Sample y = sample_at(rows, row), x = sample_at(columns, position - row * step.out_w);
        const float* map = in + channel * plane(step.in_h, step.in_w);
        const float* top = map + y.low * step.in_w;
        const float* bottom = map + y.high * step.in_w;
        // Rows first, as on the CPU.
        out[i] = blend(blend(top[x.low], bottom[x.low], y.weight), blend(top[x.high], bottom[x.high], y.weight), x.weight);
    }
}

// How much of a sample is of row or column `i`.
__device__ __forceinline__ float share_of(const Sample& sample, int i) {
    return (sample.low == i ? 1.0f - sample.weight : 0.0f) + (sample.high == i ? sample.weight : 0.0f);
}

// `in_*` is the gradient's shape, `out_*` that of the resizing's input.
__device__ void resize_grad(const Step& step, const unsigned int* tables, const float* grad, float* out, Share share) {
    const int size = step.by_plane.divisor, count = step.out_c * size;
    const unsigned int* rows = tables + step.table;
    const unsigned int* columns = rows + 2 * step.in_h;
    const unsigned int* row_ranges = columns + 2 * step.in_w;
    const unsigned int* column_ranges = row_ranges + 2 * step.out_h;
    for (int i = share.first(); i < count; i += share.stride()) {
        const int channel = divide(i, step.by_plane), pixel = i - channel * size;
        const int y = divide(pixel, step.by_row), x = pixel - y * step.out_w;
        const int first_q = __ldg(column_ranges + 2 * x), end_q = __ldg(column_ranges + 2 * x + 1);
        const int end_p = __ldg(row_ranges + 2 * y + 1);
        float sum = 0.0f;
#pragma unroll 1
        for (int p = __ldg(row_ranges + 2 * y); p < end_p; p++) {
            const float* from = grad + (channel * plane(step.in_h, step.in_w) + p * step.in_w);
            float along = 0.0f;
#pragma unroll 4
            for (int q = first_q; q < end_q; q++) {
                along = fmaf(share_of(sample_at(columns, q), x), from[q], along);
            }
            sum = fmaf(share_of(sample_at(rows, p), y), along, sum);
        }
        out[i] = sum;
    }
}
