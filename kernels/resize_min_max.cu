// resize_min_max: a map resized to the image and scaled to [0, 1] by its minimum and maximum.
//
// Bilinear with half-pixel centers and repeated edges, as PyTorch's `interpolate` with
// `align_corners=False`; then the minimum is subtracted and the result divided by the range. A
// constant map becomes zero. Each thread scales the elements that it interpolated itself, so only the
// range crosses threads. Each element is divided: the reciprocal of a tiny range would be infinite.

// The two neighbors that an output position interpolates, and the weight of the second one.
struct Sample {
    int low;
    int high;
    float weight;
};

__device__ __forceinline__ Sample bilinear_sample(int i, int from, int to) {
    const float center = fmaxf(((float)i + 0.5f) * ((float)from / (float)to) - 0.5f, 0.0f);
    Sample sample;
    sample.low = min((int)center, from - 1);
    sample.high = min(sample.low + 1, from - 1);
    sample.weight = center - (float)sample.low;
    return sample;
}

// Linear interpolation that is exactly `a` where `a` equals `b`: a constant map stays constant, instead
// of becoming rounding noise that scaling to [0, 1] would amplify.
__device__ __forceinline__ float mix(float a, float b, float weight) { return fmaf(weight, b - a, a); }

__device__ void resize_min_max(const Step& step, const float* in, float* out, float* shared) {
    const int count = plane(step.out_h, step.out_w);
    float minimum = INFINITE, maximum = -INFINITE;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const Sample y = bilinear_sample(i / step.out_w, step.in_h, step.out_h);
        const Sample x = bilinear_sample(i % step.out_w, step.in_w, step.out_w);
        const float* top = in + y.low * step.in_w;
        const float* bottom = in + y.high * step.in_w;
        const float above = mix(top[x.low], top[x.high], x.weight);
        const float below = mix(bottom[x.low], bottom[x.high], x.weight);
        const float mixed = mix(above, below, y.weight);
        out[i] = mixed;
        minimum = min_nan(minimum, mixed);
        maximum = max_nan(maximum, mixed);
    }
    block_range(shared, minimum, maximum);
    const float range = maximum > minimum ? maximum - minimum : 1.0f;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        out[i] = (out[i] - minimum) / range;
    }
}
