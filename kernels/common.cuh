// What the host and the kernels agree on, and what all kernels share.
//
// A launch runs one level of a plan: every job of the level, for every image of the batch. A
// block finds its job by its number, reads the job's steps from the table that the host uploaded
// with the plan, and runs them. The structures below are declared a second time in
// src/engine/cuda/abi.rs; a test compares the two texts.

#define THREADS 256
#define WARPS 8
#define MAX_JOBS 16
#define MAX_STEPS 16
#define SHARED_FLOATS 8448

// What a step computes. The order is that of `OPS` in src/engine/cuda/abi.rs.
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
    OP_SEED,
    OP_SPATIAL_MEAN,
    OP_POOLED_CONV2D_GRAD,
    OP_WEIGHTED_SUM,
    OP_RANGE,
    OP_CAM,
    OP_HEAT,
    OP_CONV2D,
    OP_CONV2D_GRAD,
};

// How a job's blocks share its work. The order is that of `Mode` in src/engine/cuda/abi.rs.
enum Mode : unsigned int {
    MODE_CHAIN,   // one block an image, step after step
    MODE_SPREAD,  // one step whose numbers do not need each other: some blocks an image
    MODE_CAM,     // some blocks an image make the map; the last one finishes it and runs the rest
    MODE_SPLIT,   // a convolution in small tiles, whose sums are split among a block's threads
    MODE_WHOLE,   // a convolution in large tiles, each number summed by one thread
};

// ReLU rules, as `ReluRule` in src/engine/graph/ops/relu.rs, behind "no ReLU".
#define RULE_NONE 0
#define RULE_PLAIN 1
#define RULE_GUIDED 2
#define RULE_DECONVNET 3

// One step of the plan. Places are numbers from the start of one of an image's three spaces.
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
    // First number in the weights: of the weight, and of the bias or shift.
    unsigned int weight;
    unsigned int bias;
    // The ReLU rule (gradients), or 1 where a ReLU follows (all others).
    unsigned int relu;
    // Convolutions, both ways: one output position reads rows
    // row_first + row_step * i + row_turn * u for window rows u, and writes row
    // out_row_first + out_row_step * i; columns alike.
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
    // Numbers in a row of the packed weight: output channels, rounded up to 8.
    int weight_row;
    // 1 where four neighbouring pixels can be read, and written, at once.
    unsigned int vector;
    // Pooled gradients: border classes, and where the class of each position is in the tables.
    int classes;
    unsigned int class_table;
};

// One job of a level, as a launch for a number of images sees it.
struct Job {
    unsigned int first_block;
    unsigned int first_step;
    unsigned int steps;
    unsigned int mode;
    // Blocks an image (spread, cam), tiles beside each other along the channels (convolutions).
    unsigned int across;
    // Blocks that share one sum (split).
    unsigned int groups;
    // First number in the scratch, first counter.
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
    // The images of this launch, by their number in the memory; null: the first ones.
    const unsigned int* active;
    // Numbers between two images, for each space.
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

// The space that a place counts from.
__device__ __forceinline__ float* space_start(const Launch& launch, unsigned int space) {
    return space == SPACE_INPUT ? launch.input : space == SPACE_WORK ? launch.work : launch.output;
}

__device__ __forceinline__ unsigned int space_stride(const Launch& launch, unsigned int space) {
    return space == SPACE_INPUT ? launch.input_stride
         : space == SPACE_WORK  ? launch.work_stride
                                : launch.output_stride;
}

// The slot of image number `image` of the memory.
__device__ __forceinline__ float* slot(const Launch& launch, unsigned int space, unsigned int place,
                                       unsigned int image) {
    return space_start(launch, space) + (size_t)image * space_stride(launch, space) + place;
}

// The images of a run are all of them, or those in the list that still need an answer.
__device__ __forceinline__ unsigned int image_number(const Launch& launch, unsigned int i) {
    return launch.active == nullptr ? i : launch.active[i];
}

__device__ __forceinline__ int plane(int h, int w) { return h * w; }

// What a ReLU's rule lets through of gradient `g` where its result was `y`.
__device__ __forceinline__ float relu_gate(unsigned int rule, float g, float y) {
    const bool open = rule == RULE_PLAIN    ? y > 0.0f
                    : rule == RULE_GUIDED   ? y > 0.0f && g > 0.0f
                    : rule == RULE_DECONVNET ? g > 0.0f
                                            : true;
    return open ? g : 0.0f;
}

// max(x, 0) that keeps NaN.
__device__ __forceinline__ float positive(float x) { return x < 0.0f ? 0.0f : x; }

#define INFINITE __int_as_float(0x7f800000)

// The smaller or the larger of two numbers, NaN if one is.
__device__ __forceinline__ float smaller(float a, float b) { return b < a || b != b ? b : a; }
__device__ __forceinline__ float larger(float a, float b) { return b > a || b != b ? b : a; }

// Smallest and largest of what a block's threads hold, known to all of them. `shared` holds two
// numbers a warp; a barrier has passed since it was last used.
__device__ __forceinline__ void block_range(float* shared, float& least, float& most) {
    for (int half = 16; half > 0; half /= 2) {
        least = smaller(least, __shfl_xor_sync(0xffffffffu, least, half));
        most = larger(most, __shfl_xor_sync(0xffffffffu, most, half));
    }
    if (threadIdx.x % 32 == 0) {
        shared[threadIdx.x / 32] = least;
        shared[WARPS + threadIdx.x / 32] = most;
    }
    __syncthreads();
    for (int warp = 0; warp < WARPS; warp++) {
        least = smaller(least, shared[warp]);
        most = larger(most, shared[WARPS + warp]);
    }
    __syncthreads();
}

// Whether this block is the last of `blocks` to come here; the counter starts and ends at zero.
// What the others wrote before is then visible to all threads of the last one.
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

// The numbers of one image's step: element `i` of many, taken by `first`, `first + stride`, ...
struct Share {
    int first;
    int stride;
};
