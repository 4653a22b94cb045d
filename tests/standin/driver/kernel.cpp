// Driver calls that launch kernels.
#include "counts.h"
#include "launch.h"
#include "state.h"
#include "stream.h"

using namespace standin;

namespace {

int launch(Launch l, CUstream stream, void** params, void** extra) {
    if (int code = prepare(&l, params, extra)) return code;
    bool captured = is_stream(stream) && stream_of(stream)->capture != nullptr;
    if (!captured) ++counts().kernel_launches;
    return submit(stream, std::move(l));
}

}  // namespace

STANDIN_API cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                           unsigned bz, unsigned shared, CUstream stream, void** params, void** extra) {
    ENTER();
    Launch l;
    l.function = function;
    l.grid = dim3(gx, gy, gz);
    l.block = dim3(bx, by, bz);
    l.shared = shared;
    return launch(std::move(l), stream, params, extra);
}

STANDIN_API cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                      unsigned by, unsigned bz, unsigned shared, CUstream stream, void** params) {
    ENTER();
    Launch l;
    l.function = function;
    l.grid = dim3(gx, gy, gz);
    l.block = dim3(bx, by, bz);
    l.shared = shared;
    l.cooperative = true;
    return launch(std::move(l), stream, params, nullptr);
}

STANDIN_API cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra) {
    ENTER();
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Launch l;
    l.function = function;
    l.grid = dim3(config->gridDimX, config->gridDimY, config->gridDimZ);
    l.block = dim3(config->blockDimX, config->blockDimY, config->blockDimZ);
    l.shared = config->sharedMemBytes;
    for (unsigned i = 0; i < config->numAttrs; ++i) {
        const CUlaunchAttribute& a = config->attrs[i];
        if (a.id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) l.cooperative = a.value.cooperative != 0;
        if (a.id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            l.cluster = dim3(a.value.clusterDim.x, a.value.clusterDim.y, a.value.clusterDim.z);
        // All others concern speed or overlap, which the stand-in does not model.
    }
    return launch(std::move(l), config->hStream, params, extra);
}
