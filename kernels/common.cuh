// The interface between host and kernels, and the helpers that all kernels share.
//
// A launch runs one level of a plan: every job of the level, for every image of the batch. A
// block finds its job by its index, reads the job's steps from the table that the host uploaded
// with the plan, and runs them. The structures below are declared a second time in
// src/engine/cuda/abi.rs; a test compares the two texts.

#define THREADS 256
#define WARPS 8
#define MAX_JOBS 16
#define MAX_STEPS 16
#define SHARED_FLOATS 8448

// Opcode of a step, in the order of `Opcode` in src/engine/cuda/abi.rs.
enum Op : unsigned int {
    OP_COPY,
    OP_ADD,
    OP_RELU,
    OP_RELU_GRAD,
    OP_BATCH_NORM,
    OP_MAX_POOL,
    OP_MAX_POOL_GRAD,
    OP_AVG_POOL,
    OP_AVG_POOL_GRAD,
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
    OP_RESIZE_MIN_MAX,
    OP_CONV2D,
    OP_CONV2D_GRAD,
};

// Distribution of a job over blocks, in the order of `Mode` in src/engine/cuda/abi.rs.
enum Mode : unsigned int {
    MODE_CHAIN,   // one block per image, step after step
    MODE_SPREAD,  // one step with independent elements: several blocks per image
    MODE_CAM,     // several blocks per image compute the map; the last one finishes it and runs the rest
    MODE_SPLIT,   // a convolution in small tiles, whose sums are split among the threads of a block
    MODE_WHOLE,   // a convolution in large tiles, each element summed by one thread
};

// ReLU rules: none, then those of `ReluRule` in src/engine/graph/ops/relu.rs.
#define RULE_NONE 0
#define RULE_PLAIN 1
#define RULE_GUIDED 2
#define RULE_DECONVNET 3

// One step of the plan. `first`, `second` and `out` are element offsets in one of an image's three
// spaces.
struct Step {
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
    // Height and width of the window, rows first.
    int kernel_h;
    int kernel_w;
    int stride_h;
    int stride_w;
    int padding_h;
    int padding_w;
    // Element offsets in the weights: of the weight, and of the bias or shift.
    unsigned int weight;
    unsigned int bias;
    // The ReLU rule (gradients), or 1 where a ReLU follows (all other ops).
    unsigned int relu;
    // Convolutions, forward and gradient: output position i reads rows
    // row_first + row_step * i + row_turn * u for window rows u, and writes row
    // out_row_first + out_row_step * i; columns likewise.
    int rows;
    int columns;
    int row_first;
    int row_step;
    int row_turn;
    int column_first;
    int column_step;
    int column_turn;
    int out_row_first;
    int out_row_step;
    int out_column_first;
    int out_column_step;
    // Terms of each sum: window taps times input channels.
    int terms;
    // Elements in a row of the packed weight: output channels, rounded up to 8.
    int weight_row;
    // 1 where four adjacent pixels can be read and written as one vector.
    unsigned int vector;
    // Pooled gradients: number of border classes, and offset in the tables of each position's class.
    int classes;
    unsigned int class_table;
};

// One job of a level, cut into blocks for the launch's number of images.
struct Job {
    unsigned int first_block;
    unsigned int first_step;
    unsigned int steps;
    unsigned int mode;
    // Blocks per image (spread, cam), or tiles along the channels (convolutions).
    unsigned int across;
    // Blocks that share one sum (split).
    unsigned int groups;
    // Element offset in the scratch memory, index of the first counter.
    unsigned int scratch;
    unsigned int counter;
};

// The one argument of a launch.
struct Launch {
    float* input;
    float* work;
    float* output;
    const float* weights;
    const unsigned int* tables;
    const struct Step* steps;
    float* scratch;
    unsigned int* counters;
    // Indices in memory of the launch's images; null: the first `images` ones.
    const unsigned int* active;
    // Elements from one image to the next, for each space.
    unsigned int input_stride;
    unsigned int work_stride;
    unsigned int output_stride;
    unsigned int images;
    unsigned int jobs;
    unsigned int unused;
    struct Job job[MAX_JOBS];
};

#define SPACE_INPUT 0
#define SPACE_WORK 1
#define SPACE_OUTPUT 2

// Start of a space: that of image 0.
__device__ __forceinline__ float* space_start(const Launch& launch, unsigned int space) {
    return space == SPACE_INPUT ? launch.input : space == SPACE_WORK ? launch.work : launch.output;
}

__device__ __forceinline__ unsigned int space_stride(const Launch& launch, unsigned int space) {
    return space == SPACE_INPUT ? launch.input_stride
         : space == SPACE_WORK  ? launch.work_stride
                                : launch.output_stride;
}

// The slot at `offset` of the space of image `image`.
__device__ __forceinline__ float* slot(const Launch& launch, unsigned int space, unsigned int offset,
                                       unsigned int image) {
    return space_start(launch, space) + (size_t)image * space_stride(launch, space) + offset;
}

// Index in memory of the launch's image `i`: `i` itself, or an entry of the list of images that have
// not exited yet.
__device__ __forceinline__ unsigned int image_at(const Launch& launch, unsigned int i) {
    return launch.active == nullptr ? i : launch.active[i];
}

__device__ __forceinline__ int plane(int h, int w) { return h * w; }

// Gradient `g` of a ReLU under a rule, where the ReLU's result was `y`.
__device__ __forceinline__ float relu_gate(unsigned int rule, float g, float y) {
    const bool open = rule == RULE_PLAIN    ? y > 0.0f
                    : rule == RULE_GUIDED   ? y > 0.0f && g > 0.0f
                    : rule == RULE_DECONVNET ? g > 0.0f
                                            : true;
    return open ? g : 0.0f;
}

// max(x, 0) that propagates NaN.
__device__ __forceinline__ float positive(float x) { return x < 0.0f ? 0.0f : x; }

#define INFINITE __int_as_float(0x7f800000)

// Minimum and maximum of two values; NaN if one of them is.
__device__ __forceinline__ float min_nan(float a, float b) { return b < a || b != b ? b : a; }
__device__ __forceinline__ float max_nan(float a, float b) { return b > a || b != b ? b : a; }

// Minimum and maximum over a block, returned to all of its threads. `shared` has room for two floats
// per warp, and a barrier has passed since its last use.
__device__ __forceinline__ void block_range(float* shared, float& minimum, float& maximum) {
    for (int half = 16; half > 0; half /= 2) {
        minimum = min_nan(minimum, __shfl_xor_sync(0xffffffffu, minimum, half));
        maximum = max_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, half));
    }
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = minimum;
        shared[WARPS + threadIdx.x / 32] = maximum;
    }
    __syncthreads();
    for (int warp = 0; warp < WARPS; warp++) {
        minimum = min_nan(minimum, shared[warp]);
        maximum = max_nan(maximum, shared[WARPS + warp]);
    }
    __syncthreads();
}

// Whether this block is the last of `blocks` to arrive here; the counter starts and ends at zero.
// All writes that the other blocks made before are then visible to every thread of the last one.
__device__ __forceinline__ bool last_block(unsigned int* counter, unsigned int blocks) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(counter, 1u) == blocks - 1;
        if (last) {
            *counter = 0;
        }
    }
    __syncthreads();
    __threadfence();
    return last;
}

// The elements of a step that one thread computes: `first`, `first + stride`, ...
struct Share {
    int first;
    int stride;
};
