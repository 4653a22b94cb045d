// conv2d_small: convolutions with few positions (one image, small maps), where time is latency.
//
// A thread sums one slice of one position by SMALL_CHANNELS channels, with all its loads in flight at once. The
// host divides a block's threads among positions, groups of channels and the slices of one group; the
// slices' sums pass through shared memory. Where a sum has several groups, each is a block of its own, and the
// last one to finish a tile adds them.

#define SMALL_CHANNELS 8
// Sums of a block: a row for each slice, and padding between the rows.
#define SMALL_SUMS (SMALL_CHANNELS * THREADS + 8 * MAX_GROUP)

// The results of a tile that one thread finishes: of its own position, every `apart`-th channel from `channel` on.
struct Own {
    Finish finish;
    int channel;
    int apart;
    // One past the last channel.
    int end;
};

template <int RESULTS>
__device__ __forceinline__ void read_extra(const Conv& k, const Own& own, float (&extra)[RESULTS]) {
#pragma unroll
    for (int n = 0; n < RESULTS; n++) {
        const int channel = own.channel + n * own.apart;
        extra[n] = channel < own.end ? __ldg(element(own.finish.extra, channel, k.extra_plane)) : 0.0f;
    }
}

template <int RESULTS>
__device__ __forceinline__ void write_results(const Conv& k, const Own& own, const float (&extra)[RESULTS],
                                              const float (&sum)[RESULTS]) {
#pragma unroll
    for (int n = 0; n < RESULTS; n++) {
        const int channel = own.channel + n * own.apart;
        if (channel < own.end) {
            *element(own.finish.out, channel, k.out_plane) = finish_sum(k.finish, extra[n], sum[n]);
        }
    }
}

// Adds the slices' sums and writes the results, where one block has all of them: RESULTS results of a thread, of at
// most BATCH slices at once.
template <int RESULTS, int BATCH>
__device__ __forceinline__ void add_slices(const Conv& k, const Own& own, const float* sums, unsigned int row,
                                           unsigned int apart, unsigned int slices, const float (&extra)[RESULTS]) {
    float total[RESULTS];
#pragma unroll
    for (int n = 0; n < RESULTS; n++) {
        total[n] = add_in_order<BATCH, false>(sums + n * apart, row, slices);
    }
    write_results<RESULTS>(k, own, extra, total);
}

__device__ __forceinline__ void conv2d_small(const Launch& launch, const Conv& k, unsigned int block, float* shared) {
    const unsigned int tile = divide(block, k.by_groups), group = block - tile * k.by_groups.divisor;
    const unsigned int tile_row = divide(tile, k.by_across);
    const int first_channel = (tile - tile_row * k.by_across.divisor) * (SMALL_CHANNELS * k.channel_lanes);

    // Lanes along pixels, then channels, then slices.
    const unsigned int row_of_lanes = threadIdx.x * k.by_pixel_lanes >> 16;
    const unsigned int pixel_lane = threadIdx.x - row_of_lanes * k.pixel_lanes;
    const unsigned int slice_lane = row_of_lanes * k.by_channel_lanes >> 16;
    const unsigned int channel_lane = row_of_lanes - slice_lane * k.channel_lanes;
    const unsigned int number = tile_row * k.pixel_lanes + pixel_lane;
    // At least one, also where a sum has no terms.
    const unsigned int lanes = k.group;
    const bool exists = number < k.pixels && slice_lane < lanes;
    const Position position = position_at(launch, k, exists ? number : 0);

    // The terms of this thread's slice.
    const unsigned int slice_number = group * k.group + slice_lane;
    const Slice slice = slice_at(k, slice_number);
    const int row = k.row_first + k.row_step * position.row + k.row_turn * slice.u;
    const int column = k.column_first + k.column_step * position.column + k.column_turn * slice.v;
    const int channel = first_channel + SMALL_CHANNELS * channel_lane;
    const int terms = exists && slice_number < k.slices && channel < k.weight_row ? min(SLICE, k.in_c - slice.channel) : 0;
    const bool inside = (unsigned int)row < (unsigned int)k.in_h && (unsigned int)column < (unsigned int)k.in_w;
    const int values = inside ? terms : 0;
    const float* in = k.input + (unsigned int)(position.image * k.in_stride + slice.channel * k.in_plane + row * k.in_w + column);
    const float* weight = k.weight + (unsigned int)((slice.tap * k.in_c + slice.channel) * k.weight_row + channel);
    float value[SLICE];
    float4 w[SLICE][SMALL_CHANNELS / 4];
#pragma unroll
    for (int i = 0; i < SLICE; i++) {
        value[i] = i < values ? *element(in, i, k.in_plane) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < SLICE; i++) {
        const float4* from = (const float4*)element(weight, i, k.weight_row);
        const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        w[i][0] = i < terms ? __ldg(from) : zero;
        w[i][1] = i < terms ? __ldg(from + 1) : zero;
    }
    Own own;
    own.finish = finish_of(k, position);
    own.channel = first_channel + row_of_lanes;
    own.apart = k.channel_lanes * lanes;
    own.end = exists ? min(k.out_c, first_channel + SMALL_CHANNELS * (int)k.channel_lanes) : 0;
    float extra1[1], extra2[2], extra3[3], extra4[4], extra8[8];
    if (lanes >= 8) {
        read_extra<1>(k, own, extra1);
    } else if (lanes >= 4) {
        read_extra<2>(k, own, extra2);
    } else if (lanes == 3) {
        read_extra<3>(k, own, extra3);
    } else if (lanes == 2) {
        read_extra<4>(k, own, extra4);
    } else {
        read_extra<8>(k, own, extra8);
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
    const unsigned int columns = k.pixel_lanes * k.channel_lanes;
    const unsigned int results = SMALL_CHANNELS * columns, sums_row = results + 8;
    if (slice_lane < lanes) {
        float* mine = shared + slice_lane * sums_row + channel_lane * k.pixel_lanes * SMALL_CHANNELS + pixel_lane;
#pragma unroll
        for (int n = 0; n < SMALL_CHANNELS; n++) {
            mine[n * k.pixel_lanes] = sum[n];
        }
    }
    __syncthreads();

    const float* sums = shared + threadIdx.x;
    const unsigned int apart = columns * lanes;
    if (lanes < 8) {
        if (lanes >= 4) {
            add_slices<2, 7>(k, own, sums, sums_row, apart, lanes, extra2);
        } else if (lanes == 3) {
            add_slices<3, 3>(k, own, sums, sums_row, apart, lanes, extra3);
        } else if (lanes == 2) {
            add_slices<4, 2>(k, own, sums, sums_row, apart, lanes, extra4);
        } else {
            add_slices<8, 1>(k, own, sums, sums_row, apart, lanes, extra8);
        }
        return;
    }
    float total[1] = {0.0f};
    if (own.channel < own.end) {
        total[0] = add_in_order<8, false>(sums, sums_row, lanes);
    }
    const unsigned int groups = k.by_groups.divisor;
    if (groups > 1) {
        // A thread has one result at most.
        float* partial = k.scratch + (size_t)tile * groups * results + threadIdx.x;
        if (own.channel < own.end) {
            __stcg(partial + group * results, total[0]);
        }
        if (!last_block(k.counters + tile, groups)) {
            return;
        }
        if (own.channel < own.end) {
            total[0] = add_in_order<8, true>(partial, results, groups);
        }
    }
    write_results<1>(k, own, extra1, total);
}
