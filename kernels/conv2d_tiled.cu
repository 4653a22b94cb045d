// conv2d_tiled: convolutions with many positions (large batches, large maps), where time is arithmetic.
//
// A block owns a tile of positions by channels, a thread 4 * QUADS positions by 4 channels of it. Slice after slice
// of inputs and weights passes through shared memory: while one is summed, the next is copied. In shared memory the
// values of four adjacent positions (or channels), a quad, and one slice are together, with padding between the
// quads: the inner loop has no address arithmetic and no bank conflicts.
//
// Where the launch would not fill the GPU, each group of slices is a block of its own, and the last one to
// finish a tile adds them.

// Flags of Conv::tiled: four adjacent positions are read, and written, as one vector; one or two quads a thread.
#define TILED_READS_VECTORS 1
#define TILED_WRITES_VECTORS 2
#define TILED_TWO_QUADS 4
// Channels of a thread.
#define TILED_CHANNELS 4
#define STAGES 2

// Floats from one quad to the next: four for each channel that a slice has at most, and padding that makes it an odd
// number of vectors.
__device__ __forceinline__ int quad_stride(const Conv& k) { return 4 * ((min(SLICE, k.in_c) + 3) & ~3) + 4; }

// A unit of pixels to copy, in shared memory: its element of the input under window tap (0, 0), where that is, and
// its place in a stage.
struct __align__(16) Source {
    int offset;
    int row;
    int column;
    int to;
};

__device__ __forceinline__ void write_sources(const Launch& launch, const Conv& k, unsigned int first_pixel, int quad,
                                              Source* sources) {
    const bool vectors = k.tiled & TILED_READS_VECTORS;
#pragma unroll 1
    for (unsigned int unit = threadIdx.x; unit < k.by_units.divisor; unit += THREADS) {
        const unsigned int number = first_pixel + (vectors ? 4 * unit : unit);
        const Position position = position_at(launch, k, number < k.pixels ? number : 0);
        const int row = k.row_first + k.row_step * position.row, column = k.column_first + k.column_step * position.column;
        Source source;
        source.offset = (int)(position.image * k.in_stride + row * k.in_w + column);
        source.row = number < k.pixels ? row : OUTSIDE;
        source.column = column;
        source.to = vectors ? unit * quad : unit / 4 * quad + unit % 4;
        sources[unit] = source;
    }
}

// The copies of a thread: each THREADS-th unit from `unit` on, and of its quarters of a slice each `parts`-th from `part`
// on, since two or four threads share a unit where there are few.
struct CopyShare {
    unsigned int unit;
    int part;
    int parts;
};

// Starts the copies of this thread's part of one unit of pixels: `terms` channels, or zeros.
template <int WIDTH>
__device__ __forceinline__ void copy_unit(const Conv& k, int part, int parts, float* to, const float* from, bool inside,
                                          int terms) {
    from = element(from, 4 * part, k.in_plane);
    to += 16 * part;
    int left = terms - 4 * part;
#pragma unroll 1
    for (; left >= 4; left -= 4 * parts) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            copy_async<WIDTH>(to + 4 * i, element(from, i, k.in_plane), inside);
        }
        from = element(from, 4 * parts, k.in_plane);
        to += 16 * parts;
    }
#pragma unroll 1
    for (; left > 0; left--) {
        copy_async<WIDTH>(to, from, inside);
        from = element(from, 1, k.in_plane);
        to += 4;
    }
}

// Starts the copies of one slice to a stage of shared memory: pixels, then weights.
__device__ __forceinline__ void copy_slice(const Conv& k, const Source* sources, const CopyShare& share, const Slice& slice,
                                           int first_channel, int pixel_lane, int channel_lane, int quad, float* pixels,
                                           float* weights) {
    const int terms = min(SLICE, k.in_c - slice.channel);
    const int down = k.row_turn * slice.u, right = k.column_turn * slice.v;
    const int first = down * k.in_w + right + slice.channel * k.in_plane;
#pragma unroll 1
    for (unsigned int unit = share.unit; unit < k.by_units.divisor; unit += THREADS) {
        const Source source = sources[unit];
        const bool inside = (unsigned int)(source.row + down) < (unsigned int)k.in_h &&
                            (unsigned int)(source.column + right) < (unsigned int)k.in_w;
        const float* from = k.input + (source.offset + first);
        if (k.tiled & TILED_READS_VECTORS) {
            copy_unit<4>(k, share.part, share.parts, pixels + source.to, from, inside, terms);
        } else {
            copy_unit<1>(k, share.part, share.parts, pixels + source.to, from, inside, terms);
        }
    }
    if (pixel_lane < terms) {
        const int channel = first_channel + TILED_CHANNELS * channel_lane;
        const int row = slice.tap * k.in_c + slice.channel + pixel_lane;
        copy_async<4>(weights + channel_lane * quad + 4 * pixel_lane, k.weight + (row * k.weight_row + channel),
                      channel < k.weight_row);
    }
    commit_copies();
}

__device__ __forceinline__ void next_slice(const Conv& k, Slice& slice) {
    slice.channel += SLICE;
    if (slice.channel >= k.in_c) {
        slice.channel = 0;
        slice.tap++;
        if (++slice.v == (int)k.by_width.divisor) {
            slice.v = 0;
            slice.u++;
        }
    }
}

// What a thread sums: channels of quads.
template <int QUADS>
struct Sums {
    float at[QUADS][TILED_CHANNELS][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
#pragma unroll
                for (int p = 0; p < 4; p++) {
                    at[q][n][p] = 0.0f;
                }
            }
        }
    }

    __device__ __forceinline__ void add(const Sums& other) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
#pragma unroll
                for (int p = 0; p < 4; p++) {
                    at[q][n][p] += other.at[q][n][p];
                }
            }
        }
    }

    // Adds one term: the values of this thread's first quad, those of the second `apart` floats away, and its weights.
    __device__ __forceinline__ void add_term(const float* x, int apart, const float* w) {
        const float4 four = *(const float4*)w;
        const float weight[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            const float4 pixel = *(const float4*)(x + q * apart);
            const float value[4] = {pixel.x, pixel.y, pixel.z, pixel.w};
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
#pragma unroll
                for (int p = 0; p < 4; p++) {
                    at[q][n][p] = fmaf(value[p], weight[n], at[q][n][p]);
                }
            }
        }
    }

    // Adds the sums to those in `column`, a vector of every THREADS, or writes them where they are the first. Clears them.
    __device__ __forceinline__ void move_to(float4* column, bool first) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                float(&sum)[4] = at[q][n];
                float4& all = column[(q * TILED_CHANNELS + n) * THREADS];
                const float4 before = first ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : all;
                all = make_float4(before.x + sum[0], before.y + sum[1], before.z + sum[2], before.w + sum[3]);
            }
        }
        clear();
    }

    // The sums of `column`, and these added to them.
    __device__ __forceinline__ void add_to(const float4* column) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                float(&sum)[4] = at[q][n];
                const float4 before = column[(q * TILED_CHANNELS + n) * THREADS];
                sum[0] = before.x + sum[0];
                sum[1] = before.y + sum[1];
                sum[2] = before.z + sum[2];
                sum[3] = before.w + sum[3];
            }
        }
    }
};

// Finishes one channel of four adjacent positions.
__device__ __forceinline__ void write_vector(const Conv& k, const Finish& finish, int channel, const float (&sum)[4]) {
    const float* from = element(finish.extra, channel, k.extra_plane);
    float4 extra, four;
    if (k.extra_step == 0) {
        const float bias = __ldg(from);
        extra = make_float4(bias, bias, bias, bias);
    } else {
        extra = *(const float4*)from;
    }
    four.x = finish_sum(k, channel, extra.x, sum[0]);
    four.y = finish_sum(k, channel, extra.y, sum[1]);
    four.z = finish_sum(k, channel, extra.z, sum[2]);
    four.w = finish_sum(k, channel, extra.w, sum[3]);
    *(float4*)element(finish.out, channel, k.out_plane) = four;
}

template <int QUADS>
__device__ __forceinline__ void conv2d_tiled(const Launch& launch, const Conv& conv, unsigned int block, float* shared) {
    // In registers: a copy to shared memory may change all memory, as far as the compiler knows.
    const Conv k = conv;
    wait_for_earlier_levels();
    const unsigned int blocks_of_tile = k.by_groups.divisor;
    const unsigned int tile = divide(block, k.by_groups), group = block - tile * blocks_of_tile;
    const unsigned int tile_row = divide(tile, k.by_across);
    // Lanes along channels, then pixels.
    const int pixel_lanes = k.pixel_lanes, channel_lanes = k.channel_lanes;
    const int pixel_lane = threadIdx.x * k.by_channel_lanes >> 16, channel_lane = threadIdx.x - pixel_lane * channel_lanes;
    const int first_channel = (tile - tile_row * k.by_across.divisor) * (TILED_CHANNELS * channel_lanes);
    const unsigned int first_pixel = tile_row * (4 * QUADS * pixel_lanes);
    const bool works = pixel_lane < pixel_lanes;

    const unsigned int first = group * k.group, end = blocks_of_tile > 1 ? min(first + k.group, k.slices) : k.slices;
    const int quad = quad_stride(k);
    const int pixels_stage = QUADS * pixel_lanes * quad, stage = pixels_stage + channel_lanes * quad;
    Source* sources = (Source*)(shared + STAGES * stage);
    write_sources(launch, k, first_pixel, quad, sources);
    const unsigned int units = k.by_units.divisor;
    CopyShare share;
    share.parts = units <= THREADS / 4 ? 4 : units <= THREADS / 2 ? 2 : 1;
    share.part = divide(threadIdx.x, k.by_units);
    share.unit = share.part < share.parts ? threadIdx.x - share.part * units : units;
    __syncthreads();
    Slice slice = slice_at(k, first);
    // The chunk of channels of the next slice that is summed.
    int summed = slice.channel / SLICE;
    // Sums of the groups before the last of this block.
    float4* groups = (float4*)(sources + units) + threadIdx.x;
    Sums<QUADS> sum;
    sum.clear();
    unsigned int group_end = first + k.group;
    int at = 0;
    if (first < end) {
        copy_slice(k, sources, share, slice, first_channel, pixel_lane, channel_lane, quad, shared, shared + pixels_stage);
    }
    for (unsigned int s = first; s < end; s++) {
        wait_for_copies<0>();
        __syncthreads();
        const float* x = shared + at + (works ? pixel_lane : 0) * quad;
        const float* w = shared + at + pixels_stage + channel_lane * quad;
        at = stage - at;
        if (s + 1 < end) {
            next_slice(k, slice);
            copy_slice(k, sources, share, slice, first_channel, pixel_lane, channel_lane, quad, shared + at,
                       shared + at + pixels_stage);
        }
        if (s == group_end) {
            sum.move_to(groups, group_end == first + k.group);
            group_end += k.group;
        }
        const int terms = min(SLICE, k.in_c - summed * SLICE);
        summed = summed + 1 == (int)k.by_chunks.divisor ? 0 : summed + 1;
        Sums<QUADS> part;
        part.clear();
        if (terms == SLICE) {
#pragma unroll
            for (int i = 0; i < SLICE; i++) {
                part.add_term(x + 4 * i, pixel_lanes * quad, w + 4 * i);
            }
        } else {
#pragma unroll 4
            for (int i = 0; i < terms; i++) {
                part.add_term(x + 4 * i, pixel_lanes * quad, w + 4 * i);
            }
        }
        sum.add(part);
    }
    if (end - first > k.group) {
        sum.add_to(groups);
    }
    if (blocks_of_tile > 1) {
        const unsigned int results = 4 * QUADS * TILED_CHANNELS * THREADS;
        float* partial = k.scratch + (size_t)tile * blocks_of_tile * results + 4 * threadIdx.x;
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                const float4 four = make_float4(sum.at[q][n][0], sum.at[q][n][1], sum.at[q][n][2], sum.at[q][n][3]);
                __stcg((float4*)(partial + group * results + (q * TILED_CHANNELS + n) * 4 * THREADS), four);
            }
        }
        if (!last_block(k.counters + tile, blocks_of_tile)) {
            return;
        }
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                float4 all = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
                for (unsigned int g = 0; g < blocks_of_tile; g++) {
                    const float4 four = __ldcg((const float4*)(partial + g * results + (q * TILED_CHANNELS + n) * 4 * THREADS));
                    all.x += four.x;
                    all.y += four.y;
                    all.z += four.z;
                    all.w += four.w;
                }
                sum.at[q][n][0] = all.x;
                sum.at[q][n][1] = all.y;
                sum.at[q][n][2] = all.z;
                sum.at[q][n][3] = all.w;
            }
        }
    }
    if (!works) {
        return;
    }
    const int channel = first_channel + TILED_CHANNELS * channel_lane;
    const int channels = min(TILED_CHANNELS, k.out_c - channel);
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const unsigned int number = first_pixel + 4 * (pixel_lane + q * pixel_lanes);
        if (k.tiled & TILED_WRITES_VECTORS) {
            if (number < k.pixels) {
                const Finish finish = finish_of(k, position_at(launch, k, number));
#pragma unroll
                for (int n = 0; n < TILED_CHANNELS; n++) {
                    if (n < channels) {
                        write_vector(k, finish, channel + n, sum.at[q][n]);
                    }
                }
            }
        } else {
#pragma unroll
            for (int p = 0; p < 4; p++) {
                if (number + p < k.pixels) {
                    const Finish finish = finish_of(k, position_at(launch, k, number + p));
#pragma unroll
                    for (int n = 0; n < TILED_CHANNELS; n++) {
                        if (n < channels) {
                            const float extra = *element(finish.extra, channel + n, k.extra_plane);
                            *element(finish.out, channel + n, k.out_plane) = finish_sum(k, channel + n, extra, sum.at[q][n][p]);
                        }
                    }
                }
            }
        }
    }
}
