// conv2d: convolution as an implicit matrix product, straight from the input's planes.
//
// The terms of a sum are numbered tap by tap, and channel by channel within a tap, so that the
// pixels a thread reads are found once a tap and then move from plane to plane. The order of
// addition is part of the definition, so that every way to share the work gives the same bits:
// slices of SLICE terms are summed term by term; the slices of a group of GROUP terms are added
// in order; the groups are added in order; then come bias and ReLU.
//
// Two ways to share. MODE_SPLIT is for few pixels (one image, small maps), where time is latency:
// a block owns a tile of 256 results and one group of terms, and each slice of the group goes to
// 8 threads of its own. No term is read twice, nothing passes through shared memory but the
// slices' sums, and no thread adds more than SLICE terms. Where a sum has several groups, the
// last block to finish a tile adds them. MODE_WHOLE is for many pixels: a warp owns 128 pixels by
// 8 channels and each thread sums 32 results alone. Both run the same inner loop.
//
// Maps smaller than a tile share it with the next images: a tile runs over (image, position).

#define SLICE 16
#define GROUP 512
#define SLICES (GROUP / SLICE)
#define PIXELS 4
#define CHANNELS 8
#define TILE 256
#define TILE_ROW (TILE + 8)

// What a thread knows about the pixels whose sums it makes.
struct Patch {
    unsigned int offset[PIXELS];
    // Input row and column under window tap (0, 0); a pixel that does not exist lies far outside.
    int row[PIXELS];
    int column[PIXELS];
};

// The window tap and channel of the next term.
struct Term {
    int u;
    int v;
    int channel;
};

__device__ __forceinline__ Term term_number(const Step& step, int number) {
    const int tap = number / step.in_c;
    Term term;
    term.channel = number - tap * step.in_c;
    term.u = tap / step.kernel_w;
    term.v = tap - term.u * step.kernel_w;
    return term;
}

// Pixel `number` of the run: image by image, position by position.
struct Pixel {
    unsigned int image;
    int row;
    int column;
};

__device__ __forceinline__ Pixel pixel_number(const Step& step, unsigned int number) {
    const unsigned int positions = step.rows * step.columns;
    Pixel pixel;
    pixel.image = number / positions;
    const int position = number - pixel.image * positions;
    pixel.row = position / step.columns;
    pixel.column = position - pixel.row * step.columns;
    return pixel;
}

// Sets pixel `j` of the patch to `pixel`, or to one far outside where there is none.
__device__ __forceinline__ void set_pixel(const Launch& launch, const Step& step, const Pixel& pixel,
                                          bool exists, Patch& patch, int j) {
    const int row = step.row_first + step.row_step * pixel.row;
    const int column = step.column_first + step.column_step * pixel.column;
    const unsigned int image = exists ? image_number(launch, pixel.image) : 0;
    patch.offset[j] = image * space_stride(launch, step.first_space) + step.first + row * step.in_w + column;
    patch.row[j] = exists ? row : -0x40000000;
    patch.column[j] = column;
}

__device__ __forceinline__ void next_pixel(const Step& step, Pixel& pixel) {
    if (++pixel.column == step.columns) {
        pixel.column = 0;
        if (++pixel.row == step.rows) {
            pixel.row = 0;
            pixel.image++;
        }
    }
}

// Adds COUNT terms of one tap to the sums.
template <int COUNT, bool VECTOR>
__device__ __forceinline__ void add_terms(const float* x, const unsigned int (&at)[PIXELS],
                                          const bool (&inside)[PIXELS], int size,
                                          const float* weight, int weight_row,
                                          float (&sum)[PIXELS][CHANNELS]) {
    float value[COUNT][PIXELS];
    float4 w[COUNT][CHANNELS / 4];
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        if (VECTOR) {
            const float4 four = inside[0] ? *(const float4*)(x + (at[0] + (unsigned int)(i * size)))
                                          : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            value[i][0] = four.x;
            value[i][1] = four.y;
            value[i][2] = four.z;
            value[i][3] = four.w;
        } else {
#pragma unroll
            for (int j = 0; j < PIXELS; j++) {
                value[i][j] = inside[j] ? x[at[j] + (unsigned int)(i * size)] : 0.0f;
            }
        }
#pragma unroll
        for (int n = 0; n < CHANNELS / 4; n++) {
            w[i][n] = __ldg((const float4*)(weight + i * weight_row) + n);
        }
    }
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
#pragma unroll
        for (int j = 0; j < PIXELS; j++) {
#pragma unroll
            for (int n = 0; n < CHANNELS / 4; n++) {
                sum[j][4 * n + 0] = fmaf(value[i][j], w[i][n].x, sum[j][4 * n + 0]);
                sum[j][4 * n + 1] = fmaf(value[i][j], w[i][n].y, sum[j][4 * n + 1]);
                sum[j][4 * n + 2] = fmaf(value[i][j], w[i][n].z, sum[j][4 * n + 2]);
                sum[j][4 * n + 3] = fmaf(value[i][j], w[i][n].w, sum[j][4 * n + 3]);
            }
        }
    }
}

// Sums `count` terms from `term` on, which moves on with them. `weight` is the first term's row.
template <int COUNT, bool VECTOR>
__device__ __forceinline__ void sum_slice(const Step& step, const float* x, const Patch& patch, Term& term,
                                          int count, const float* weight, float (&sum)[PIXELS][CHANNELS]) {
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
#pragma unroll
        for (int n = 0; n < CHANNELS; n++) {
            sum[j][n] = 0.0f;
        }
    }
    const int size = plane(step.in_h, step.in_w);
    while (count > 0) {
        const int down = step.row_turn * term.u, right = step.column_turn * term.v;
        const unsigned int tap = down * step.in_w + right + term.channel * size;
        unsigned int at[PIXELS];
        bool inside[PIXELS];
#pragma unroll
        for (int j = 0; j < PIXELS; j++) {
            at[j] = patch.offset[j] + tap;
            inside[j] = (unsigned int)(patch.row[j] + down) < (unsigned int)step.in_h &&
                        (unsigned int)(patch.column[j] + right) < (unsigned int)step.in_w;
        }
        int run = min(count, step.in_c - term.channel);
        count -= run;
        term.channel += run;
        for (; run >= COUNT; run -= COUNT) {
            add_terms<COUNT, VECTOR>(x, at, inside, size, weight, step.weight_row, sum);
            weight += COUNT * step.weight_row;
#pragma unroll
            for (int j = 0; j < PIXELS; j++) {
                at[j] += COUNT * size;
            }
        }
        for (; run > 0; run--) {
            add_terms<1, VECTOR>(x, at, inside, size, weight, step.weight_row, sum);
            weight += step.weight_row;
#pragma unroll
            for (int j = 0; j < PIXELS; j++) {
                at[j] += size;
            }
        }
        if (term.channel == step.in_c) {
            term.channel = 0;
            if (++term.v == step.kernel_w) {
                term.v = 0;
                term.u++;
            }
        }
    }
}

// Where one result goes, and what its sum meets on the way: a bias, or the value whose ReLU gates
// it. Found before the sum is there, so that nothing waits for it in the end.
struct Result {
    float* place;
    float bias_or_gate;
};

__device__ __forceinline__ Result find_result(const Launch& launch, const Step& step, const Pixel& pixel,
                                              int channel) {
    const unsigned int image = image_number(launch, pixel.image);
    const int row = step.out_row_first + step.out_row_step * pixel.row;
    const int column = step.out_column_first + step.out_column_step * pixel.column;
    const unsigned int place = (channel * step.out_h + row) * step.out_w + column;
    Result result;
    result.place = slot(launch, step.out_space, step.out, image) + place;
    result.bias_or_gate = step.op == OP_CONV2D ? __ldg(launch.weights + step.bias + channel)
                                               : conv2d_grad_gate(launch, step, image, place);
    return result;
}

__device__ __forceinline__ void write_result(const Step& step, const Result& result, float sum) {
    if (step.op == OP_CONV2D) {
        sum += result.bias_or_gate;
        *result.place = step.relu != RULE_NONE ? positive(sum) : sum;
    } else {
        *result.place = relu_gate(step.relu, sum, result.bias_or_gate);
    }
}

template <bool VECTOR>
__device__ __forceinline__ void conv2d_split(const Launch& launch, const Job& job, const Step& step,
                                             unsigned int block, float* shared) {
    // Tiles of 16 pixels by 16 channels, or 32 by 8 where there are no more channels.
    const int narrow = step.out_c <= CHANNELS;
    const int tile_pixels = narrow ? 32 : 16;
    const unsigned int group = block % job.groups, tile = block / job.groups;
    const int first_channel = tile % job.across * (TILE / tile_pixels);
    const unsigned int first_pixel = tile / job.across * tile_pixels;

    const int slice = threadIdx.x / 8, lane = threadIdx.x % 8;
    const int pixel_lane = narrow ? lane : lane % 4, channel_lane = narrow ? 0 : lane / 4;
    const unsigned int pixels = launch.images * step.rows * step.columns;

    const int result_channel = first_channel + threadIdx.x / tile_pixels;
    const unsigned int result_pixel = first_pixel + threadIdx.x % tile_pixels;
    const bool exists = result_channel < step.out_c && result_pixel < pixels;
    Result result = {nullptr, 0.0f};
    if (exists) {
        result = find_result(launch, step, pixel_number(step, result_pixel), result_channel);
    }

    const int first_term = group * GROUP + slice * SLICE;
    const int terms = min(SLICE, step.terms - first_term);
    const int channel = first_channel + channel_lane * CHANNELS;
    if (terms > 0 && channel < step.weight_row) {
        Patch patch;
        Pixel pixel = pixel_number(step, first_pixel + pixel_lane * PIXELS);
#pragma unroll
        for (int j = 0; j < PIXELS; j++) {
            set_pixel(launch, step, pixel, first_pixel + pixel_lane * PIXELS + j < pixels, patch, j);
            next_pixel(step, pixel);
        }
        // A vector's window is one pixel, its taps are its channels.
        Term term = {0, 0, first_term};
        if (!VECTOR) {
            term = term_number(step, first_term);
        }
        const float* weight = launch.weights + step.weight + (size_t)first_term * step.weight_row + channel;
        float sum[PIXELS][CHANNELS];
        sum_slice<4, VECTOR>(step, space_start(launch, step.first_space), patch, term, terms, weight, sum);
        float* mine = shared + slice * TILE_ROW + channel_lane * CHANNELS * tile_pixels + pixel_lane * PIXELS;
#pragma unroll
        for (int n = 0; n < CHANNELS; n++) {
            *(float4*)(mine + n * tile_pixels) = make_float4(sum[0][n], sum[1][n], sum[2][n], sum[3][n]);
        }
    }
    __syncthreads();

    const int slices = (min(GROUP, step.terms - (int)group * GROUP) + SLICE - 1) / SLICE;
    float sum = 0.0f;
    if (exists) {
#pragma unroll 8
        for (int s = 0; s < slices; s++) {
            sum += shared[s * TILE_ROW + threadIdx.x];
        }
    }
    if (job.groups > 1) {
        float* partial = launch.scratch + job.scratch + (size_t)tile * job.groups * TILE + threadIdx.x;
        __stcg(partial + group * TILE, sum);
        if (!last_block(launch.counters + job.counter + tile, job.groups)) {
            return;
        }
        sum = 0.0f;
        for (unsigned int g = 0; g < job.groups; g++) {
            sum += __ldcg(partial + g * TILE);
        }
    }
    if (exists) {
        write_result(step, result, sum);
    }
}

__device__ __forceinline__ void conv2d_whole(const Launch& launch, const Job& job, const Step& step,
                                             unsigned int block, float* shared) {
    const unsigned int tile = block * WARPS + threadIdx.x / 32;
    const int channel = tile % job.across * CHANNELS;
    const unsigned int pixels = launch.images * step.rows * step.columns;
    const unsigned int first_pixel = tile / job.across * (32 * PIXELS) + threadIdx.x % 32;
    if (first_pixel - threadIdx.x % 32 >= pixels) {
        return;
    }
    Patch patch;
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        const unsigned int number = first_pixel + 32 * j;
        set_pixel(launch, step, pixel_number(step, number), number < pixels, patch, j);
    }
    const float* x = space_start(launch, step.first_space);
    const float* weight = launch.weights + step.weight + channel;
    // Sums of groups wait in shared memory, each thread's in a column of its own.
    float* total = shared + threadIdx.x;
    Term term = term_number(step, 0);
    float sum[PIXELS][CHANNELS], group[PIXELS][CHANNELS];
    int first_term = 0;
    do {
#pragma unroll
        for (int j = 0; j < PIXELS; j++) {
#pragma unroll
            for (int n = 0; n < CHANNELS; n++) {
                group[j][n] = 0.0f;
            }
        }
        const int group_end = min(first_term + GROUP, step.terms);
        const bool several = step.terms > GROUP, first = first_term == 0;
        for (; first_term < group_end; first_term += SLICE) {
            const int terms = min(SLICE, group_end - first_term);
            sum_slice<2, false>(step, x, patch, term, terms, weight, sum);
            weight += terms * step.weight_row;
#pragma unroll
            for (int j = 0; j < PIXELS; j++) {
#pragma unroll
                for (int n = 0; n < CHANNELS; n++) {
                    group[j][n] += sum[j][n];
                }
            }
        }
        if (several) {
#pragma unroll
            for (int j = 0; j < PIXELS; j++) {
#pragma unroll
                for (int n = 0; n < CHANNELS; n++) {
                    float* mine = total + (j * CHANNELS + n) * THREADS;
                    const float before = first ? 0.0f : *mine;
                    group[j][n] = before + group[j][n];
                    *mine = group[j][n];
                }
            }
        }
    } while (first_term < step.terms);
#pragma unroll
    for (int j = 0; j < PIXELS; j++) {
        const unsigned int number = first_pixel + 32 * j;
        if (number < pixels) {
            const Pixel pixel = pixel_number(step, number);
#pragma unroll
            for (int n = 0; n < CHANNELS; n++) {
                if (channel + n < step.out_c) {
                    write_result(step, find_result(launch, step, pixel, channel + n), group[j][n]);
                }
            }
        }
    }
}
