// resize_min_max: a map resized to the image and scaled to [0, 1] by its minimum and maximum.
//
// Bilinear with half-pixel centers and repeated edges, as PyTorch's `interpolate` with
// `align_corners=False`; then the minimum is subtracted and the result divided by the range. A
// constant map becomes zero. Each element is divided: the reciprocal of a tiny range would be infinite.
//
// The map is small and in shared memory if it fits. A block that has only a part of the elements interpolates
// all of them for the range, and its own once more: cheaper than to wait for the others.

// The two neighbors that an output position interpolates, and the weight of the second one.
struct Sample {
    int low;
    int high;
    float weight;
};

// `ratio` is that of the source's length to the result's.
__device__ __forceinline__ Sample bilinear_sample(int i, int from, float ratio) {
    const float center = fmaxf(((float)i + 0.5f) * ratio - 0.5f, 0.0f);
    Sample sample;
    sample.low = min((int)center, from - 1);
    sample.high = min(sample.low + 1, from - 1);
    sample.weight = center - (float)sample.low;
    return sample;
}

// Linear interpolation that is exactly `a` where `a` equals `b`: a constant map stays constant, instead
// of becoming rounding noise that scaling to [0, 1] would amplify.
__device__ __forceinline__ float mix(float a, float b, float weight) { return fmaf(weight, b - a, a); }

// What all elements share.
struct Resize {
    float down;
    float across;
};

__device__ __forceinline__ float resized_at(const Step& step, const Resize& resize, const float* map, int i) {
    const int row = divide(i, step.by_row);
    const Sample y = bilinear_sample(row, step.in_h, resize.down);
    const Sample x = bilinear_sample(i - row * step.out_w, step.in_w, resize.across);
    const float* top = map + y.low * step.in_w;
    const float* bottom = map + y.high * step.in_w;
    return mix(mix(top[x.low], top[x.high], x.weight), mix(bottom[x.low], bottom[x.high], x.weight), y.weight);
}

// Elements of the largest map that shared memory holds.
#define RESIZE_MAP 2048
// Elements of a thread that are interpolated once.
#define RESIZE_KEPT 4

// `map`: the source, in shared memory or in global memory.
__device__ __forceinline__ void resize_map(const Step& step, const float* map, float* out, Share share, float* shared) {
    const int count = step.by_plane.divisor;
    Resize resize;
    resize.down = (float)step.in_h / (float)step.out_h;
    resize.across = (float)step.in_w / (float)step.out_w;
    float minimum = INFINITE, maximum = -INFINITE;
    const bool keeps = share.parts == 1 && count <= RESIZE_KEPT * THREADS;
    float kept[RESIZE_KEPT];
    if (keeps) {
#pragma unroll
        for (int n = 0; n < RESIZE_KEPT; n++) {
            const int i = threadIdx.x + n * THREADS;
            kept[n] = resized_at(step, resize, map, min(i, count - 1));
            minimum = min_nan(minimum, kept[n]);
            maximum = max_nan(maximum, kept[n]);
        }
    } else {
#pragma unroll 4
        for (int i = threadIdx.x; i < count; i += THREADS) {
            const float mixed = resized_at(step, resize, map, i);
            minimum = min_nan(minimum, mixed);
            maximum = max_nan(maximum, mixed);
        }
    }
    block_range(shared, minimum, maximum);
    const float range = maximum > minimum ? maximum - minimum : 1.0f;
    if (keeps) {
#pragma unroll
        for (int n = 0; n < RESIZE_KEPT; n++) {
            const int i = threadIdx.x + n * THREADS;
            if (i < count) {
                out[i] = (kept[n] - minimum) / range;
            }
        }
    } else {
        for (int i = share.first(); i < count; i += share.stride()) {
            out[i] = (resized_at(step, resize, map, i) - minimum) / range;
        }
    }
}

__device__ void resize_min_max(const Step& step, const float* in, float* out, Share share, float* shared) {
    const int size = plane(step.in_h, step.in_w);
    if (size > RESIZE_MAP) {
        resize_map(step, in, out, share, shared);
        return;
    }
    float* map = shared + 2 * WARPS;
    for (int i = threadIdx.x; i < size; i += THREADS) {
        map[i] = in[i];
    }
    __syncthreads();
    resize_map(step, map, out, share, shared);
}
