// The interface between host and kernels, and the helpers that all kernels share.
//
// A launch runs one level of a plan: every job of the level, for every image of the batch. A
// block finds its job by its index, reads the job's steps from the table that the host uploaded
// with the plan, and runs them. The structures below are declared a second time in
// src/engine/cuda/abi.rs; a test compares the two texts.

#define THREADS 256
#define WARPS 8
#define MAX_JOBS 14

// Opcode of a step, in the order of `Opcode` in src/engine/cuda/abi.rs.
enum Op : unsigned int {
    OP_COPY,
    OP_SLICE_GRAD,
    OP_CHANNEL_SHUFFLE,
    OP_ADD,
    OP_MUL,
    OP_CHANNEL_DOT,
    OP_RELU,
    OP_RELU_GRAD,
    OP_ACTIVATION,
    OP_ACTIVATION_GRAD,
    OP_BATCH_NORM,
    OP_MAX_POOL,
    OP_MAX_POOL_GRAD,
    OP_AVG_POOL,
    OP_AVG_POOL_GRAD,
    OP_LRN,
    OP_LRN_GRAD,
    OP_RESIZE,
    OP_RESIZE_GRAD,
    OP_GROUPED_CONV2D,
    OP_GROUPED_CONV2D_GRAD,
    OP_LINEAR,
    OP_LINEAR_GRAD,
    OP_SOFTMAX,
    OP_SOFTMAX_GRAD,
    OP_ONE_HOT,
    OP_SPATIAL_MEAN,
    OP_POOLED_CONV2D_GRAD,
    OP_WEIGHTED_SUM,
    OP_RANGE,
    OP_CAM,
    OP_CLASSIFIER,
    OP_RESIZE_MIN_MAX,
};

// Kind of a job, in the order of `Mode` in src/engine/cuda/abi.rs.
enum Mode : unsigned int {
    MODE_CHAIN,       // steps of one image, one after another; the first may be spread over several blocks
    MODE_CONV_SMALL,  // a convolution in small tiles, whose sums are split among the threads of a block
    MODE_CONV_TILED,  // a convolution in large tiles that pass through shared memory
};

// ReLU rules: none, then those of `ReluRule` in src/engine/graph/ops/relu.rs.
#define RULE_NONE 0
#define RULE_PLAIN 1
#define RULE_GUIDED 2
#define RULE_DECONVNET 3

// The end of a convolution's sum: a gradient's gate, by one of the rules above; or a bias; or a bias and a ReLU, which the
// odd ones of these numbers have.
#define FINISH_BIAS 4
#define FINISH_BIAS_RELU 5
// The same with a residual, a map that is added behind the bias.
#define FINISH_RESIDUAL 6
#define FINISH_RESIDUAL_RELU 7

// Activations, in the order of `Activation` in src/engine/graph/ops/activation.rs.
#define ACTIVATION_SIGMOID 0
#define ACTIVATION_HARD_SIGMOID 1
#define ACTIVATION_HARD_SWISH 2
#define ACTIVATION_SILU 3
#define ACTIVATION_LEAKY_RELU 4

// A divisor and what the host made of it: n / divisor = (2 n multiplier) >> (32 + shift) for n < 2^31.
struct Divisor {
    unsigned int divisor;
    unsigned int multiplier;
    unsigned int shift;
};

// One step of the plan: a row of the step table, in memory of the device. `first`, `second` and `out` are element
// offsets in one of an image's three spaces.
struct __align__(16) Step {
    unsigned int op;
    unsigned int first_space;
    unsigned int first;
    unsigned int second_space;
    unsigned int second;
    unsigned int out_space;
    unsigned int out;
    // (C, H, W) of the first input and of the result.
    int in_c;
    int in_h;
    int in_w;
    int out_c;
    int out_h;
    int out_w;
    // Elements in a plane and in a row of the result.
    struct Divisor by_plane;
    struct Divisor by_row;
    // The window, rows first; of the padding that before the image.
    int kernel_h;
    int kernel_w;
    int stride_h;
    int stride_w;
    int padding_h;
    int padding_w;
    int dilation_h;
    int dilation_w;
    // Means over windows: rows and columns of padding that count as elements, before and after the image.
    int counted_top;
    int counted_left;
    int counted_bottom;
    int counted_right;
    // Element offsets in the weights: of the weight or an op's constants, and of the bias or shift.
    unsigned int weight;
    unsigned int bias;
    // The ReLU rule (gradients), or 1 where a ReLU follows (all other ops).
    unsigned int relu;
    // Upper bound of the ReLU.
    float relu_max;
    // ACTIVATION_...; groups of channels (convolutions, channel_shuffle); channels of a window (lrn); the first element
    // of the slice (slice_grad); 1 where the second input is a factor for each channel (mul).
    int detail;
    // Element offset in the tables: of positions of border classes, or of samples (resize).
    unsigned int table;
    // Pooled gradients (`by_row` divides by the gradient's positions): number of border classes, elements in a row of
    // the kernel sums (channels of the tap, rounded up to 16), and channels of the gradient that are summed at once.
    int classes;
    int weight_row;
    int chunk;
};

// A convolution or the gradient of one, cut into blocks for the launch's number of images.
struct Conv {
    // Of image 0: the input, the packed weight, the first result, and what finishes it: bias or gate.
    const float* input;
    const float* weight;
    float* out;
    const float* extra;
    // The bias where a residual finishes it.
    const float* bias;
    // Partial sums and counters of tiles that several blocks share.
    float* scratch;
    unsigned int* counters;
    // From one image to the next.
    unsigned int in_stride;
    unsigned int out_stride;
    unsigned int extra_stride;
    // From one place of the result to the next in `extra`, and from one channel to the next: 1 and a plane for a
    // gate, 0 and 1 for a bias.
    unsigned int extra_step;
    unsigned int extra_plane;
    // How a sum is finished: FINISH_...
    unsigned int finish;
    // Upper bound of the ReLU.
    float relu_max;
    // Fills the structure to a multiple of eight bytes.
    unsigned int unused;
    // (C, H, W) of the input, and elements in its plane.
    int in_c;
    int in_h;
    int in_w;
    int in_plane;
    // Output position i reads rows row_first + row_step * i + row_turn * u for window rows u; columns likewise.
    int row_first;
    int row_step;
    int row_turn;
    int column_first;
    int column_step;
    int column_turn;
    // Channels of the result, elements in its plane, and from a position to the next row's and the next.
    int out_c;
    int out_plane;
    int out_row;
    int out_column;
    // Elements in a row of the packed weight: output channels, rounded up to 8.
    int weight_row;
    // Positions of the run: image by image, row by row.
    unsigned int pixels;
    // Slices of each sum, and of a group: see conv2d.cu.
    unsigned int slices;
    unsigned int group;
    // Large tiles: how they are read and written, TILED_...
    unsigned int tiled;
    // Threads along pixels and along channels, and 2^16 / threads, rounded up, to divide a thread's index.
    unsigned int pixel_lanes;
    unsigned int by_pixel_lanes;
    unsigned int channel_lanes;
    unsigned int by_channel_lanes;
    // Large tiles: units of pixels that are copied at once.
    struct Divisor by_units;
    // A block's index is (tile row, tile column along the channels, group of slices).
    struct Divisor by_groups;
    struct Divisor by_across;
    // Positions of an image and of a row; slices of a tap; taps in a window row.
    struct Divisor by_positions;
    struct Divisor by_columns;
    struct Divisor by_chunks;
    struct Divisor by_width;
};

// Steps of one image, one after another.
struct Chain {
    unsigned int first_step;
    unsigned int steps;
    // Blocks that share an image's first step.
    struct Divisor by_across;
    // Element offset in the scratch memory, index of the first counter.
    unsigned int scratch;
    unsigned int counter;
};

// One job of a level.
struct Job {
    unsigned int mode;
    unsigned int unused;
    union {
        struct Chain chain;
        struct Conv conv;
    };
};

// The one argument of a launch.
struct Launch {
    // The spaces of image 0: input, work and output.
    float* space[3];
    const float* weights;
    const unsigned int* tables;
    const struct Step* steps;
    float* scratch;
    unsigned int* counters;
    // Indices in memory of the launch's images; null: the first `images` ones.
    const unsigned int* active;
    // Elements from one image to the next, for each space.
    unsigned int stride[3];
    unsigned int images;
    // The first block of each job; the largest number for a job that does not exist.
    unsigned int first_block[MAX_JOBS];
    struct Job job[MAX_JOBS];
};

// The slot at `offset` of the space of image `image`.
__device__ __forceinline__ float* slot(const Launch& launch, unsigned int space, unsigned int offset,
                                       unsigned int image) {
    return launch.space[space] + ((size_t)image * launch.stride[space] + offset);
}

// Index in memory of the launch's image `i`: `i` itself, or an entry of the list of images that have
// not exited yet.
__device__ __forceinline__ unsigned int image_at(const Launch& launch, unsigned int i) {
    return launch.active == nullptr ? i : launch.active[i];
}

__device__ __forceinline__ int plane(int h, int w) { return h * w; }

// n / divisor, for n < 2^31.
__device__ __forceinline__ unsigned int divide(unsigned int n, const Divisor& by) {
    return __umulhi(2 * n, by.multiplier) >> by.shift;
}

// The element that is `i` times `stride` elements behind `start`, in one instruction.
__device__ __forceinline__ const float* element(const float* start, unsigned int i, unsigned int stride) {
    return (const float*)((const char*)start + (unsigned long long)(4 * stride) * i);
}

__device__ __forceinline__ float* element(float* start, unsigned int i, unsigned int stride) {
    return (float*)((char*)start + (unsigned long long)(4 * stride) * i);
}

// Gradient `g` of a ReLU bounded by `max` under a rule, where the ReLU's result was `y`.
__device__ __forceinline__ float relu_gate(unsigned int rule, float max, float g, float y) {
    const bool open = rule == RULE_PLAIN    ? y > 0.0f
                    : rule == RULE_GUIDED   ? y > 0.0f && g > 0.0f
                    : rule == RULE_DECONVNET ? g > 0.0f
                                            : true;
    return open && (rule == RULE_NONE || y < max) ? g : 0.0f;
}

// max(x, 0) that propagates NaN, and min(max(x, 0), max).
__device__ __forceinline__ float positive(float x) { return x < 0.0f ? 0.0f : x; }
__device__ __forceinline__ float clipped(float x, float max) { return x < 0.0f ? 0.0f : x > max ? max : x; }

#define INFINITE __int_as_float(0x7f800000)

// Minimum and maximum of two values; NaN if one of them is.
#if defined(MSDCAM_STANDIN) || __CUDA_ARCH__ < 800
__device__ __forceinline__ float min_nan(float a, float b) { return b < a || b != b ? b : a; }
__device__ __forceinline__ float max_nan(float a, float b) { return b > a || b != b ? b : a; }
#else
__device__ __forceinline__ float min_nan(float a, float b) {
    float result;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}
__device__ __forceinline__ float max_nan(float a, float b) {
    float result;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}
#endif

// Waits for the levels before this one, then lets the next one's blocks start as soon as there is room for them: not
// earlier, since they would take the room of other branches' blocks while they wait. Until then a block reads only what no
// level writes: its launch, weights, tables and steps. Every thread must wait before it ends, since the next level takes
// the end of this one for the end of all earlier ones.
__device__ __forceinline__ void wait_for_earlier_levels() {
#if !defined(MSDCAM_STANDIN) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Copies WIDTH floats (1 or 4, aligned) from global to shared memory without waiting, or zeros where they are
// not `wanted`.
template <int WIDTH>
__device__ __forceinline__ void copy_async(float* shared, const float* global, bool wanted) {
#ifdef MSDCAM_STANDIN
    for (int i = 0; i < WIDTH; i++) {
        shared[i] = wanted ? global[i] : 0.0f;
    }
#else
    const unsigned int to = (unsigned int)__cvta_generic_to_shared(shared);
    const int bytes = wanted ? 4 * WIDTH : 0;
    if (WIDTH == 4) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
    }
#endif
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void commit_copies() {
#ifndef MSDCAM_STANDIN
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most PENDING groups of this thread's copies are under way.
template <int PENDING>
__device__ __forceinline__ void wait_for_copies() {
#ifndef MSDCAM_STANDIN
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

// Sum over a warp, returned to all of its lanes.
__device__ __forceinline__ float warp_sum(float mine) {
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        mine += __shfl_xor_sync(0xffffffffu, mine, half);
    }
    return mine;
}

// Minimum and maximum over a block, returned to all of its threads. `shared` has room for two floats
// per warp, and a barrier has passed since its last use.
__device__ __forceinline__ void block_range(float* shared, float& minimum, float& maximum) {
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        minimum = min_nan(minimum, __shfl_xor_sync(0xffffffffu, minimum, half));
        maximum = max_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, half));
    }
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = minimum;
        shared[WARPS + threadIdx.x / 32] = maximum;
    }
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) {
        minimum = min_nan(minimum, shared[warp]);
        maximum = max_nan(maximum, shared[WARPS + warp]);
    }
    __syncthreads();
}

// One more arrival at `counter`, whose count before it is returned. What this thread's block wrote before the
// last barrier is visible to the blocks that arrive later, and what earlier ones wrote is visible after the next.
__device__ __forceinline__ unsigned int arrive(unsigned int* counter) {
#ifdef MSDCAM_STANDIN
    return atomicAdd(counter, 1u);
#else
    unsigned int before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    return before;
#endif
}

// Whether this block is the last of `blocks` to arrive here; the counter starts and ends at zero.
// All writes that the other blocks made before are then visible to every thread of the last one.
__device__ __forceinline__ bool last_block(unsigned int* counter, unsigned int blocks) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        last = arrive(counter) == blocks - 1;
        if (last) {
            *counter = 0;
        }
    }
    __syncthreads();
    return last;
}

// `count` numbers that are `apart` from each other, added in order, with BATCH loads in flight. CROSSES: other
// blocks of this launch wrote them.
template <int BATCH, bool CROSSES>
__device__ __forceinline__ float add_in_order(const float* from, unsigned int apart, unsigned int count) {
    float total = 0.0f;
#pragma unroll 1
    for (int left = count; left > 0; left -= BATCH) {
        float part[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const float* place = from + i * apart;
            part[i] = i >= left ? 0.0f : CROSSES ? __ldcg(place) : *place;
        }
        from += BATCH * apart;
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            total += part[i];
        }
    }
    return total;
}

// The part of a step's elements that a block computes: part `part` of `parts`.
struct Share {
    unsigned int part;
    unsigned int parts;

    // A thread's elements are `first()`, `first() + stride()`, ...
    __device__ __forceinline__ int first() const { return part * THREADS + threadIdx.x; }
    __device__ __forceinline__ int stride() const { return parts * THREADS; }
};
