// heat: a map resized to the image and scaled to [0, 1].
//
// Bilinear with half-pixel centres and repeated edges, as PyTorch's `interpolate` with
// `align_corners=False`; then the minimum is subtracted and the result divided by the maximum. A
// map that is the same everywhere becomes zero. A thread scales the numbers it made itself, so
// only the range crosses threads.

struct Tap {
    int low;
    int high;
    float share;
};

__device__ __forceinline__ Tap bilinear_tap(int i, int from, int to) {
    const float centre = fmaxf(((float)i + 0.5f) * ((float)from / (float)to) - 0.5f, 0.0f);
    Tap tap;
    tap.low = min((int)centre, from - 1);
    tap.high = min(tap.low + 1, from - 1);
    tap.share = centre - (float)tap.low;
    return tap;
}

__device__ void heat(const Step& step, const float* in, float* out, float* shared) {
    const int count = plane(step.out_h, step.out_w);
    float least = INFINITE, most = -INFINITE;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const Tap y = bilinear_tap(i / step.out_w, step.in_h, step.out_h);
        const Tap x = bilinear_tap(i % step.out_w, step.in_w, step.out_w);
        const float* top = in + y.low * step.in_w;
        const float* bottom = in + y.high * step.in_w;
        const float above = (1.0f - x.share) * top[x.low] + x.share * top[x.high];
        const float below = (1.0f - x.share) * bottom[x.low] + x.share * bottom[x.high];
        const float mixed = (1.0f - y.share) * above + y.share * below;
        out[i] = mixed;
        least = smaller(least, mixed);
        most = larger(most, mixed);
    }
    block_range(shared, least, most);
    const float scale = most > least ? 1.0f / (most - least) : 0.0f;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        out[i] = (out[i] - least) * scale;
    }
}
