// Function attributes and occupancy.
#include <algorithm>

#include "device.h"
#include "launch.h"
#include "settings.h"
#include "state.h"

using namespace standin;

namespace {

enum {
    max_threads_per_block = 0,
    shared_size_bytes = 1,
    num_regs = 4,
    ptx_version = 5,
    binary_version = 6,
    max_dynamic_shared_size_bytes = 8,
    preferred_carveout = 9,
    non_portable_cluster_size_allowed = 14,
};
constexpr size_t shared_per_block_optin = 227 * 1024;

size_t cluster_blocks(const CUlaunchConfig* config) {
    for (unsigned i = 0; i < config->numAttrs; ++i)
        if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
            const auto& c = config->attrs[i].value.clusterDim;
            return size_t(c.x) * c.y * c.z;
        }
    return 1;
}

}  // namespace

STANDIN_API cuFuncGetAttribute(int* value, int attribute, CUfunction function) {
    ENTER();
    if (value == nullptr || !is_function(function)) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
        case max_threads_per_block:
            *value = function->kernel->max_threads != 0 ? int(function->kernel->max_threads) : 1024;
            break;
        case shared_size_bytes: *value = int(function->static_shared); break;
        case num_regs: *value = function->facts != nullptr ? int(function->facts->registers) : 32; break;
        case ptx_version:
        case binary_version: *value = settings().major * 10 + settings().minor; break;
        case max_dynamic_shared_size_bytes: *value = int(function->dynamic_shared_limit); break;
        case preferred_carveout: *value = function->carveout; break;
        case non_portable_cluster_size_allowed: *value = function->non_portable_cluster; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

STANDIN_API cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    ENTER();
    if (!is_function(function)) return CUDA_ERROR_INVALID_HANDLE;
    switch (attribute) {
        case max_dynamic_shared_size_bytes:
            if (value < 0 || size_t(value) + function->static_shared > shared_per_block_optin)
                return CUDA_ERROR_INVALID_VALUE;
            function->dynamic_shared_limit = size_t(value);
            return CUDA_SUCCESS;
        case preferred_carveout: function->carveout = value; return CUDA_SUCCESS;
        case non_portable_cluster_size_allowed: function->non_portable_cluster = value; return CUDA_SUCCESS;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
}

STANDIN_API cuFuncSetCacheConfig(CUfunction function, unsigned) {
    ENTER();
    return is_function(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

STANDIN_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads, size_t shared) {
    ENTER();
    if (blocks == nullptr || !is_function(function) || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    *blocks = blocks_per_multiprocessor(*function, size_t(threads), shared);
    return CUDA_SUCCESS;
}
STANDIN_API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int threads,
                                                                 size_t shared, unsigned) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}

STANDIN_API cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function, size_t (*shared_of)(int),
                                             size_t shared, int limit) {
    ENTER();
    if (grid == nullptr || block == nullptr || !is_function(function)) return CUDA_ERROR_INVALID_VALUE;
    int most = function->kernel->max_threads != 0 ? int(function->kernel->max_threads) : 1024;
    if (limit > 0) most = std::min(most, limit);
    int best = 0, best_blocks = 0;
    for (int threads = most / 32 * 32; threads > 0; threads -= 32) {
        size_t bytes = shared_of != nullptr ? shared_of(threads) : shared;
        int blocks = blocks_per_multiprocessor(*function, size_t(threads), bytes);
        if (blocks * threads > best_blocks * best) best = threads, best_blocks = blocks;
    }
    *block = best == 0 ? most : best;
    *grid = best_blocks * multiprocessors();
    return CUDA_SUCCESS;
}
STANDIN_API cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction function,
                                                      size_t (*shared_of)(int), size_t shared, int limit, unsigned) {
    return cuOccupancyMaxPotentialBlockSize(grid, block, function, shared_of, shared, limit);
}

STANDIN_API cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction function, int blocks, int threads) {
    ENTER();
    if (bytes == nullptr || !is_function(function) || blocks <= 0 || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    size_t each = size_t(228) * 1024 / size_t(blocks);
    size_t taken = function->static_shared + 1024;
    *bytes = each <= taken ? 0 : std::min(each - taken, shared_per_block_optin - function->static_shared);
    return CUDA_SUCCESS;
}

STANDIN_API cuOccupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config) {
    ENTER();
    if (clusters == nullptr || config == nullptr || !is_function(function)) return CUDA_ERROR_INVALID_VALUE;
    size_t threads = size_t(config->blockDimX) * config->blockDimY * config->blockDimZ;
    int each = blocks_per_multiprocessor(*function, threads, config->sharedMemBytes);
    // Graphics processing clusters of 16 multiprocessors, as on Hopper.
    size_t cluster = std::max<size_t>(1, cluster_blocks(config));
    *clusters = cluster > 16 ? 0 : int(size_t(each) * 16 / cluster * size_t(multiprocessors() / 16));
    return CUDA_SUCCESS;
}

STANDIN_API cuOccupancyMaxPotentialClusterSize(int* size, CUfunction function, const CUlaunchConfig*) {
    ENTER();
    if (size == nullptr || !is_function(function)) return CUDA_ERROR_INVALID_VALUE;
    *size = function->non_portable_cluster != 0 ? 16 : 8;
    return CUDA_SUCCESS;
}
