// Driver calls that allocate and free memory.
#include <string.h>

#include "counts.h"
#include "memory.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

using namespace standin;

struct CUmemPoolHandle_st {
    int unused = 0;
};

namespace {

CUmemPoolHandle_st pool;

char* pointer(CUdeviceptr address) { return reinterpret_cast<char*>(address); }

int give(CUdeviceptr* out, size_t bytes) {
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    char* start = allocate(bytes, Kind::device);
    if (start == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = reinterpret_cast<CUdeviceptr>(start);
    return CUDA_SUCCESS;
}

}  // namespace

STANDIN_API cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
    ENTER();
    if (int code = forbidden_by_capture()) return code;
    return give(out, bytes);
}

STANDIN_API cuMemAllocAsync(CUdeviceptr* out, size_t bytes, CUstream stream) {
    ENTER();
    if (!is_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (stream_of(stream)->capture != nullptr) {
        stream_of(stream)->capture->broken = true;
        say("cuMemAllocAsync on a capturing stream: not supported by the stand-in");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    return give(out, bytes);
}
STANDIN_API cuMemAllocFromPoolAsync(CUdeviceptr* out, size_t bytes, CUmemoryPool, CUstream stream) {
    return cuMemAllocAsync(out, bytes, stream);
}
STANDIN_API cuMemAllocManaged(CUdeviceptr* out, size_t bytes, unsigned) { return cuMemAlloc_v2(out, bytes); }

STANDIN_API cuMemAllocPitch_v2(CUdeviceptr* out, size_t* pitch, size_t width, size_t height, unsigned) {
    ENTER();
    if (int code = forbidden_by_capture()) return code;
    if (pitch == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pitch = (width + 511) / 512 * 512;
    return give(out, *pitch * height);
}

STANDIN_API cuMemFree_v2(CUdeviceptr address) {
    ENTER();
    if (address == 0) return CUDA_SUCCESS;
    if (int code = forbidden_by_capture()) return code;
    if (flush_queue() != CUDA_SUCCESS) return state().sticky;
    int code = release(pointer(address), Kind::device);
    if (code == CUDA_ERROR_ILLEGAL_ADDRESS) state().sticky = code;
    return code;
}

STANDIN_API cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    ENTER();
    Range range;
    if (!find_range(pointer(address), 0, &range) || range.start != pointer(address) || range.kind != Kind::device) {
        say("cuMemFreeAsync of %p, which is no live device allocation", (void*)pointer(address));
        return CUDA_ERROR_INVALID_VALUE;
    }
    return submit(stream, Free{range.start});
}

STANDIN_API cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    ENTER();
    if (int code = forbidden_by_capture()) return code;
    if (out == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    *out = allocate(bytes, Kind::host);
    if (*out == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    ++counts().host_allocations;
    return CUDA_SUCCESS;
}
STANDIN_API cuMemAllocHost_v2(void** out, size_t bytes) { return cuMemHostAlloc(out, bytes, 0); }

STANDIN_API cuMemFreeHost(void* start) {
    ENTER();
    if (int code = forbidden_by_capture()) return code;
    if (flush_queue() != CUDA_SUCCESS) return state().sticky;
    return release(static_cast<char*>(start), Kind::host);
}

STANDIN_API cuMemHostRegister_v2(void* start, size_t bytes, unsigned) {
    ENTER();
    if (start == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (find_range(start, 1, nullptr)) return 712;   // HOST_MEMORY_ALREADY_REGISTERED
    add_range(static_cast<char*>(start), bytes, Kind::registered);
    return CUDA_SUCCESS;
}

STANDIN_API cuMemHostUnregister(void* start) {
    ENTER();
    if (flush_queue() != CUDA_SUCCESS) return state().sticky;
    return remove_range(static_cast<char*>(start)) ? CUDA_SUCCESS : 713;   // HOST_MEMORY_NOT_REGISTERED
}

STANDIN_API cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* address, unsigned) {
    ENTER();
    if (out == nullptr || !find_range(address, 0, nullptr)) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUdeviceptr>(address);
    return CUDA_SUCCESS;
}

STANDIN_API cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER();
    if (total != nullptr) *total = settings().memory;
    if (free != nullptr) *free = settings().memory - memory_used();
    return CUDA_SUCCESS;
}

STANDIN_API cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
    ENTER();
    Range range;
    if (!find_range(pointer(address), 0, &range)) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = reinterpret_cast<CUdeviceptr>(range.start);
    if (bytes != nullptr) *bytes = range.bytes;
    return CUDA_SUCCESS;
}

STANDIN_API cuPointerGetAttribute(void* data, int attribute, CUdeviceptr address) {
    ENTER();
    Range range;
    if (data == nullptr || !find_range(pointer(address), 1, &range)) return CUDA_ERROR_INVALID_VALUE;
    bool host = range.kind == Kind::host || range.kind == Kind::registered;
    CUcontext context = current_context();
    int ordinal = 0;
    unsigned type = host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    switch (attribute) {
        case 1: memcpy(data, &context, sizeof(context)); break;
        case 2: memcpy(data, &type, sizeof(type)); break;
        case 3: memcpy(data, &address, sizeof(address)); break;
        case 4:
            if (!host) return CUDA_ERROR_INVALID_VALUE;
            memcpy(data, &address, sizeof(address));
            break;
        case 8: memset(data, 0, sizeof(bool)); break;
        case 9: memcpy(data, &ordinal, sizeof(ordinal)); break;
        case 11: memcpy(data, &range.start, sizeof(range.start)); break;
        case 12: memcpy(data, &range.bytes, sizeof(range.bytes)); break;
        default: return CUDA_ERROR_NOT_SUPPORTED;
    }
    return CUDA_SUCCESS;
}

STANDIN_API cuDeviceGetDefaultMemPool(CUmemoryPool* out, CUdevice) {
    ENTER_ANYWAY();
    *out = &pool;
    return CUDA_SUCCESS;
}
STANDIN_API cuDeviceGetMemPool(CUmemoryPool* out, CUdevice device) { return cuDeviceGetDefaultMemPool(out, device); }
STANDIN_API cuDeviceSetMemPool(CUdevice, CUmemoryPool) {
    ENTER_ANYWAY();
    return CUDA_SUCCESS;
}
STANDIN_API cuMemPoolSetAttribute(CUmemoryPool, int, void*) {
    ENTER();
    return CUDA_SUCCESS;
}
STANDIN_API cuMemPoolTrimTo(CUmemoryPool, size_t) {
    ENTER();
    return CUDA_SUCCESS;
}
