// Initialization, the device and its attributes, contexts, occupancy.
#include "device.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "counts.h"
#include "machine_code.h"
#include "memory.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

struct CUctx_st {
    CUdevice device = 0;
    unsigned flags = 0;
};

using namespace standin;

namespace {

constexpr int shared_per_block = 48 * 1024, shared_per_block_optin = 227 * 1024, shared_per_multiprocessor = 228 * 1024,
              shared_reserved = 1024, threads_per_multiprocessor = 2048, blocks_per_multiprocessor_limit = 32;

CUctx_st primary;
int primary_users = 0;
thread_local CUcontext current = nullptr;

int attribute(int number) {
    const Settings& s = settings();
    switch (number) {
        case 1: case 2: case 3: return 1024;               // threads per block; block x, y
        case 4: return 64;                                 // block z
        case 5: return INT_MAX;                            // grid x
        case 6: case 7: return 65535;                      // grid y, z
        case 8: return shared_per_block;
        case 9: return 65536;                              // constant memory
        case 10: return 32;                                // warp
        case 11: return INT_MAX;                           // pitch
        case 12: case 82: return 65536;                    // registers per block, per multiprocessor
        case 13: return 1980000;                           // clock, kHz
        case 14: return 512;                               // texture alignment
        case 15: case 19: case 31: case 41: case 78: case 79: case 80: return 1;
        case 16: return s.multiprocessors;
        case 36: return 3201000;                           // memory clock, kHz
        case 37: return 6144;                              // memory bus, bits
        case 38: return 60 << 20;                          // L2
        case 39: return threads_per_multiprocessor;
        case 40: return 3;                                 // copy engines
        case 51: return 32;                                // texture pitch alignment
        case 75: return s.major;
        case 76: return s.minor;
        case 81: return shared_per_multiprocessor;
        case 83: return 1;                                 // managed memory
        case 90: case 95: case 99: case 115: return 1;     // preemption, cooperative, host register, pools
        case 97: return shared_per_block_optin;
        case 106: return blocks_per_multiprocessor_limit;
        case 111: return shared_reserved;
        case 120: return s.major >= 9;                     // clusters
        default: return 0;
    }
}

}  // namespace

namespace standin {

State_& state() {
    static auto* state = new State_;
    return *state;
}

int ready(bool needs_context) {
    if (!state().initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (!needs_context) return CUDA_SUCCESS;
    if (state().sticky != 0) return state().sticky;
    return current == nullptr ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

CUcontext current_context() { return current; }

const char* error_name(int code) {
    switch (code) {
#define X(name, number, text) \
    case number:              \
        return #name;
        STANDIN_ERRORS(X)
#undef X
        default: return nullptr;
    }
}

int multiprocessors() { return settings().multiprocessors; }

int blocks_per_multiprocessor(const CUfunc_st& function, size_t threads, size_t dynamic_shared) {
    if (threads == 0 || threads > 1024) return 0;
    if (function.facts != nullptr) return blocks_per_multiprocessor_of(function, threads, dynamic_shared);
    size_t warps = (threads + 31) / 32;
    size_t by_threads = threads_per_multiprocessor / 32 / warps;
    size_t shared = dynamic_shared + function.static_shared + shared_reserved;
    size_t by_shared = shared_per_multiprocessor / shared;
    return int(std::min({by_threads, by_shared, size_t(blocks_per_multiprocessor_limit)}));
}

}  // namespace standin

STANDIN_API cuInit(unsigned flags) {
    std::lock_guard<std::recursive_mutex> lock(state().mutex);
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (settings().devices == 0) return CUDA_ERROR_NO_DEVICE;
    state().initialised = true;
    write_counts_at_exit();
    return CUDA_SUCCESS;
}

STANDIN_API cuDriverGetVersion(int* version) {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = 12080;
    return CUDA_SUCCESS;
}

STANDIN_API cuGetErrorName(CUresult code, const char** name) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = error_name(code);
    return *name == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

STANDIN_API cuGetErrorString(CUresult code, const char** text) {
    if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
    switch (code) {
#define X(name, number, words) \
    case number:               \
        *text = words;         \
        return CUDA_SUCCESS;
        STANDIN_ERRORS(X)
#undef X
        default: *text = nullptr; return CUDA_ERROR_INVALID_VALUE;
    }
}

STANDIN_API cuDeviceGetCount(int* count) {
    ENTER_ANYWAY();
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = settings().devices;
    return CUDA_SUCCESS;
}

STANDIN_API cuDeviceGet(CUdevice* device, int ordinal) {
    ENTER_ANYWAY();
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || ordinal >= settings().devices) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

STANDIN_API cuDeviceGetName(char* name, int room, CUdevice) {
    ENTER_ANYWAY();
    if (name == nullptr || room <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, size_t(room), "Stand-in device (CPU)");
    return CUDA_SUCCESS;
}

STANDIN_API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
    ENTER_ANYWAY();
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    memset(uuid, 0, sizeof(*uuid));
    memcpy(uuid->bytes, "stand-in", 8);
    uuid->bytes[15] = char(device);
    return CUDA_SUCCESS;
}
STANDIN_API cuDeviceGetUuid(CUuuid* uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

STANDIN_API cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
    ENTER_ANYWAY();
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *bytes = settings().memory;
    return CUDA_SUCCESS;
}

STANDIN_API cuDeviceGetAttribute(int* value, int number, CUdevice device) {
    ENTER_ANYWAY();
    if (value == nullptr || number <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (device < 0 || device >= settings().devices) return CUDA_ERROR_INVALID_DEVICE;
    *value = attribute(number);
    return CUDA_SUCCESS;
}

STANDIN_API cuDeviceComputeCapability(int* major, int* minor, CUdevice) {
    ENTER_ANYWAY();
    *major = settings().major;
    *minor = settings().minor;
    return CUDA_SUCCESS;
}

STANDIN_API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    ENTER_ANYWAY();
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device < 0 || device >= settings().devices) return CUDA_ERROR_INVALID_DEVICE;
    ++primary_users;
    *context = &primary;
    return CUDA_SUCCESS;
}

STANDIN_API cuDevicePrimaryCtxRelease_v2(CUdevice) {
    ENTER_ANYWAY();
    if (primary_users == 0) return CUDA_ERROR_INVALID_CONTEXT;
    flush_queue();
    --primary_users;
    return state().sticky;
}

STANDIN_API cuDevicePrimaryCtxReset_v2(CUdevice) {
    ENTER_ANYWAY();
    state().sticky = 0;
    return CUDA_SUCCESS;
}

STANDIN_API cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) {
    ENTER_ANYWAY();
    if (flags != nullptr) *flags = primary.flags;
    if (active != nullptr) *active = primary_users > 0;
    return CUDA_SUCCESS;
}

STANDIN_API cuDevicePrimaryCtxSetFlags_v2(CUdevice, unsigned flags) {
    ENTER_ANYWAY();
    primary.flags = flags;
    return CUDA_SUCCESS;
}

STANDIN_API cuCtxCreate_v2(CUcontext* context, unsigned flags, CUdevice device) {
    ENTER_ANYWAY();
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = new CUctx_st{device, flags};
    current = *context;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxCreate_v4(CUcontext* context, void*, unsigned flags, CUdevice device) {
    return cuCtxCreate_v2(context, flags, device);
}
STANDIN_API cuCtxDestroy_v2(CUcontext context) {
    ENTER_ANYWAY();
    flush_queue();
    if (context == nullptr || context == &primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (current == context) current = nullptr;
    delete context;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxSetCurrent(CUcontext context) {
    ENTER_ANYWAY();
    current = context;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetCurrent(CUcontext* context) {
    ENTER_ANYWAY();
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = current;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxPushCurrent_v2(CUcontext context) { return cuCtxSetCurrent(context); }
STANDIN_API cuCtxPopCurrent_v2(CUcontext* context) {
    ENTER_ANYWAY();
    if (context != nullptr) *context = current;
    current = nullptr;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetDevice(CUdevice* device) {
    ENTER();
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = current->device;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetFlags(unsigned* flags) {
    ENTER();
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = current->flags;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxSetFlags(unsigned flags) {
    ENTER();
    current->flags = flags;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetApiVersion(CUcontext, unsigned* version) {
    ENTER_ANYWAY();
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = 12080;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetLimit(size_t* value, unsigned limit) {
    ENTER();
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *value = limit == 0 ? stack_bytes : limit == 2 ? size_t(8) << 20 : size_t(1) << 20;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxSetLimit(unsigned, size_t) {
    ENTER();
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetCacheConfig(unsigned* config) {
    ENTER();
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *config = 0;
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxSetCacheConfig(unsigned) {
    ENTER();
    return CUDA_SUCCESS;
}
STANDIN_API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    ENTER();
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CUDA_SUCCESS;
}
STANDIN_API cuProfilerStart() { return CUDA_SUCCESS; }
STANDIN_API cuProfilerStop() { return CUDA_SUCCESS; }

// Weak stubs count as found: a call to one prints its name.
STANDIN_API cuGetProcAddress_v2(const char* symbol, void** function, int, uint64_t, int* status) {
    if (symbol == nullptr || function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Dl_info self;
    *function = nullptr;
    if (dladdr(reinterpret_cast<void*>(&cuGetProcAddress_v2), &self) != 0)
        if (void* library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD)) {
            // The plain name of a call means its newest version.
            for (const char* suffix : {"_v3", "_v2", ""}) {
                std::string name = std::string(symbol) + suffix;
                *function = dlsym(library, name.c_str());
                if (*function != nullptr) break;
            }
            dlclose(library);
        }
    if (status != nullptr) *status = *function == nullptr ? 1 : 0;
    return *function == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}
