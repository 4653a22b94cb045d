// conv2d_small: convolutions with few positions (one image, small maps), where time is latency.
//
// A thread sums one slice of one position by SMALL_CHANNELS channels, with all its loads in flight at once. A
// block's threads are divided among positions, groups of channels and the slices of one group, by powers of
// two that the host chose; the slices' sums pass through shared memory. Where a sum has several groups, each
// is a block of its own, and the last one to finish a tile adds them.

#define SMALL_CHANNELS 8
// Slices' sums of a tile, a row for each slice and padding between the rows.
#define SMALL_SUMS (SMALL_CHANNELS * THREADS + 8 * GROUP)

// Finishes RESULTS results of one position, `apart` channels from each other.
template <int RESULTS>
__device__ __forceinline__ void write_results(const Conv& k, const Finish& finish, int channel, int apart,
                                              const float (&extra)[RESULTS], const float (&sum)[RESULTS]) {
#pragma unroll
    for (int n = 0; n < RESULTS; n++) {
        if (channel + n * apart < k.out_c) {
            finish.out[(channel + n * apart) * finish.out_plane] = finish_sum(k, extra[n], sum[n]);
        }
    }
}

// The values that finish RESULTS results, read before their sums are known.
template <int RESULTS>
__device__ __forceinline__ void read_extra(const Conv& k, const Finish& finish, int channel, int apart, bool exists,
                                           float (&extra)[RESULTS]) {
#pragma unroll
    for (int n = 0; n < RESULTS; n++) {
        const bool wanted = exists && channel + n * apart < k.out_c && reads_extra(k);
        extra[n] = wanted ? __ldg(finish.extra + (channel + n * apart) * finish.extra_plane) : 0.0f;
    }
}

// The tile's sums where a group has at most four slices: 8 / SLICES results a thread.
template <int SLICES>
__device__ __forceinline__ void add_few(const Conv& k, const Finish& finish, int channel, int apart, bool exists,
                                        const float* sums, unsigned int row,
                                        const float (&extra)[SMALL_CHANNELS / SLICES]) {
    float total[SMALL_CHANNELS / SLICES];
#pragma unroll
    for (int n = 0; n < SMALL_CHANNELS / SLICES; n++) {
        total[n] = 0.0f;
#pragma unroll
        for (int s = 0; s < SLICES; s++) {
            total[n] += sums[s * row + n * THREADS];
        }
    }
    if (exists) {
        write_results<SMALL_CHANNELS / SLICES>(k, finish, channel, apart, extra, total);
    }
}

__device__ __forceinline__ void conv2d_small(const Launch& launch, const Job& job, unsigned int block, float* shared) {
    const Conv& k = job.conv;
    const unsigned int pixel_shift = k.shape & 15, channel_shift = k.shape >> 4 & 15, slice_shift = k.shape >> 8 & 15;
    const unsigned int tile = divide(block, k.by_groups), group = block - tile * k.by_groups.divisor;
    const unsigned int tile_row = divide(tile, k.by_across);
    const int first_channel = (tile - tile_row * k.by_across.divisor) * (SMALL_CHANNELS << channel_shift);

    const unsigned int pixel_lane = threadIdx.x & ((1u << pixel_shift) - 1);
    const unsigned int channel_lane = threadIdx.x >> pixel_shift & ((1u << channel_shift) - 1);
    const unsigned int slice_lane = threadIdx.x >> (pixel_shift + channel_shift);
    const unsigned int number = (tile_row << pixel_shift) + pixel_lane;
    const bool exists = number < k.pixels;
    const Position position = position_at(launch, k, exists ? number : 0);
    const Finish finish = finish_of(launch, k, position);

    // The terms of this thread's slice.
    const unsigned int slice_number = group * GROUP + slice_lane;
    const Slice slice = slice_at(k, slice_number);
    const int row = k.row_first + k.row_step * position.row + k.row_turn * slice.u;
    const int column = k.column_first + k.column_step * position.column + k.column_turn * slice.v;
    const int channel = first_channel + SMALL_CHANNELS * channel_lane;
    const int terms = slice_number < k.slices && channel < k.weight_row ? min(SLICE, k.in_c - slice.channel) : 0;
    const bool inside = exists && (unsigned int)row < (unsigned int)k.in_h && (unsigned int)column < (unsigned int)k.in_w;
    const float* in = slot(launch, k.in_space, k.input, position.image) + slice.channel * k.in_plane + row * k.in_w + column;
    const float* weight = launch.weights + (k.weight + weight_row_of(k, slice) * k.weight_row + channel);
    float value[SLICE];
    float4 w[SLICE][SMALL_CHANNELS / 4];
#pragma unroll
    for (int i = 0; i < SLICE; i++) {
        value[i] = inside && i < terms ? in[i * k.in_plane] : 0.0f;
#pragma unroll
        for (int n = 0; n < SMALL_CHANNELS / 4; n++) {
            w[i][n] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (i < terms) {
                w[i][n] = __ldg((const float4*)(weight + i * k.weight_row) + n);
            }
        }
    }
    // The results that this thread finishes: of its own position.
    const int apart = THREADS >> pixel_shift, own = first_channel + (threadIdx.x >> pixel_shift);
    float extra1[1], extra2[2], extra4[4], extra8[8];
    if (slice_shift >= 3) {
        read_extra<1>(k, finish, own, apart, exists, extra1);
    } else if (slice_shift == 2) {
        read_extra<2>(k, finish, own, apart, exists, extra2);
    } else if (slice_shift == 1) {
        read_extra<4>(k, finish, own, apart, exists, extra4);
    } else {
        read_extra<8>(k, finish, own, apart, exists, extra8);
    }
    float sum[SMALL_CHANNELS];
#pragma unroll
    for (int n = 0; n < SMALL_CHANNELS; n++) {
        sum[n] = 0.0f;
    }
    if (terms > 0) {
#pragma unroll
        for (int i = 0; i < SLICE; i++) {
#pragma unroll
            for (int n = 0; n < SMALL_CHANNELS / 4; n++) {
                sum[4 * n + 0] = fmaf(value[i], w[i][n].x, sum[4 * n + 0]);
                sum[4 * n + 1] = fmaf(value[i], w[i][n].y, sum[4 * n + 1]);
                sum[4 * n + 2] = fmaf(value[i], w[i][n].z, sum[4 * n + 2]);
                sum[4 * n + 3] = fmaf(value[i], w[i][n].w, sum[4 * n + 3]);
            }
        }
    }
    // Results of the tile in shared memory: channels by positions, positions fastest.
    const unsigned int results = SMALL_CHANNELS << (pixel_shift + channel_shift), sums_row = results + 8;
    float* mine = shared + slice_lane * sums_row + (channel_lane << pixel_shift) * SMALL_CHANNELS + pixel_lane;
#pragma unroll
    for (int n = 0; n < SMALL_CHANNELS; n++) {
        mine[n << pixel_shift] = sum[n];
    }
    __syncthreads();

    const float* sums = shared + threadIdx.x;
    if (slice_shift == 2) {
        add_few<4>(k, finish, own, apart, exists, sums, sums_row, extra2);
        return;
    }
    if (slice_shift == 1) {
        add_few<2>(k, finish, own, apart, exists, sums, sums_row, extra4);
        return;
    }
    if (slice_shift == 0) {
        add_few<1>(k, finish, own, apart, exists, sums, sums_row, extra8);
        return;
    }
    float total[1] = {0.0f};
    const bool finishes = threadIdx.x < results;
    if (finishes) {
        total[0] = add_in_order<8, false>(sums, sums_row, 1u << slice_shift);
    }
    const unsigned int groups = k.by_groups.divisor;
    if (groups > 1) {
        // Several groups have GROUP slices each: a thread has one result at most.
        float* partial = launch.scratch + job.scratch + (size_t)tile * groups * results + threadIdx.x;
        if (finishes) {
            __stcg(partial + group * results, total[0]);
        }
        if (!last_block(launch.counters + job.counter + tile, groups)) {
            return;
        }
        if (finishes) {
            total[0] = add_in_order<8, true>(partial, results, groups);
        }
    }
    if (finishes && exists) {
        write_results<1>(k, finish, own, apart, extra1, total);
    }
}
