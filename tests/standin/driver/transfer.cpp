// Driver calls that copy and set memory.
#include <string.h>

#include "memory.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

using namespace standin;

namespace {

char* pointer(CUdeviceptr address) { return reinterpret_cast<char*>(address); }
char* pointer(const void* address) { return static_cast<char*>(const_cast<void*>(address)); }

bool known(const char* address) { return find_range(address, 0, nullptr); }

int queue(CUstream stream, Copy copy, bool synchronous) {
    if (synchronous)
        if (int code = forbidden_by_capture()) return code;
    if (copy.width == 0 || copy.height == 0) return is_stream(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    if ((copy.from_host && copy.from == nullptr) || (copy.to_host && copy.to == nullptr))
        return CUDA_ERROR_INVALID_VALUE;
    if (int code = check(copy)) return code;
    // Pageable host memory is read before the call returns, pinned memory when
    // the copy is executed: this detects overwriting it too early.
    bool pageable_source = copy.from_host && !known(copy.from);
    bool pageable_target = copy.to_host && !known(copy.to);
    if (settings().lazy && pageable_source) {
        auto staged = std::make_shared<std::vector<char>>(copy.width * copy.height);
        for (size_t row = 0; row < copy.height; ++row)
            memcpy(staged->data() + row * copy.width, copy.from + row * copy.from_pitch, copy.width);
        copy.staged = std::move(staged);
    }
    bool capturing = is_stream(stream) && stream_of(stream)->capture != nullptr;
    if (int code = submit(stream, copy)) return code;
    if (!capturing && (synchronous || pageable_target)) return flush_queue();
    return CUDA_SUCCESS;
}

Copy line(char* to, const char* from, size_t bytes, bool to_host, bool from_host) {
    return Copy{to, from, bytes, bytes, bytes, 1, to_host, from_host, nullptr};
}

bool plane(const CUDA_MEMCPY2D* p, Copy* out) {
    if (p == nullptr || p->srcMemoryType == CU_MEMORYTYPE_ARRAY || p->dstMemoryType == CU_MEMORYTYPE_ARRAY) return false;
    out->from_host = p->srcMemoryType == CU_MEMORYTYPE_HOST;
    out->to_host = p->dstMemoryType == CU_MEMORYTYPE_HOST;
    out->width = p->WidthInBytes;
    out->height = p->Height;
    out->from_pitch = p->srcPitch != 0 ? p->srcPitch : p->WidthInBytes;
    out->to_pitch = p->dstPitch != 0 ? p->dstPitch : p->WidthInBytes;
    const char* from = out->from_host ? pointer(p->srcHost) : pointer(p->srcDevice);
    char* to = out->to_host ? pointer(p->dstHost) : pointer(p->dstDevice);
    out->from = from + p->srcY * out->from_pitch + p->srcXInBytes;
    out->to = to + p->dstY * out->to_pitch + p->dstXInBytes;
    return true;
}

int fill(CUdeviceptr to, size_t pitch, unsigned value, unsigned element, size_t width, size_t height, CUstream stream,
         bool synchronous) {
    if (synchronous)
        if (int code = forbidden_by_capture()) return code;
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    if (to % element != 0) return CUDA_ERROR_INVALID_VALUE;
    Fill f{pointer(to), height == 1 ? width * element : pitch, value, element, width, height};
    if (int code = check(f)) return code;
    return submit(stream, f);
}

}  // namespace

STANDIN_API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    ENTER();
    return queue(nullptr, line(pointer(to), pointer(from), bytes, false, true), true);
}
STANDIN_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
    ENTER();
    return queue(stream, line(pointer(to), pointer(from), bytes, false, true), false);
}
STANDIN_API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    ENTER();
    return queue(nullptr, line(pointer(to), pointer(from), bytes, true, false), true);
}
STANDIN_API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER();
    return queue(stream, line(pointer(to), pointer(from), bytes, true, false), false);
}
STANDIN_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    ENTER();
    return queue(nullptr, line(pointer(to), pointer(from), bytes, false, false), true);
}
STANDIN_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER();
    return queue(stream, line(pointer(to), pointer(from), bytes, false, false), false);
}
STANDIN_API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes, CUstream stream) {
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
STANDIN_API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER();
    bool to_host = !known(pointer(to)), from_host = !known(pointer(from));
    return queue(stream, line(pointer(to), pointer(from), bytes, to_host, from_host), false);
}
STANDIN_API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    ENTER();
    bool to_host = !known(pointer(to)), from_host = !known(pointer(from));
    return queue(nullptr, line(pointer(to), pointer(from), bytes, to_host, from_host), true);
}
STANDIN_API cuMemcpy2D_v2(const CUDA_MEMCPY2D* p) {
    ENTER();
    Copy copy;
    if (!plane(p, &copy)) return CUDA_ERROR_NOT_SUPPORTED;
    return queue(nullptr, copy, true);
}
STANDIN_API cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* p) { return cuMemcpy2D_v2(p); }
STANDIN_API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* p, CUstream stream) {
    ENTER();
    Copy copy;
    if (!plane(p, &copy)) return CUDA_ERROR_NOT_SUPPORTED;
    return queue(stream, copy, false);
}

#define STANDIN_MEMSET(bits, element, type)                                                                         \
    STANDIN_API cuMemsetD##bits##_v2(CUdeviceptr to, type value, size_t count) {                                    \
        ENTER();                                                                                                    \
        return fill(to, 0, value, element, count, 1, nullptr, true);                                                \
    }                                                                                                               \
    STANDIN_API cuMemsetD##bits##Async(CUdeviceptr to, type value, size_t count, CUstream stream) {                 \
        ENTER();                                                                                                    \
        return fill(to, 0, value, element, count, 1, stream, false);                                                \
    }                                                                                                               \
    STANDIN_API cuMemsetD2D##bits##_v2(CUdeviceptr to, size_t pitch, type value, size_t width, size_t height) {     \
        ENTER();                                                                                                    \
        return fill(to, pitch, value, element, width, height, nullptr, true);                                       \
    }                                                                                                               \
    STANDIN_API cuMemsetD2D##bits##Async(CUdeviceptr to, size_t pitch, type value, size_t width, size_t height,     \
                                         CUstream stream) {                                                         \
        ENTER();                                                                                                    \
        return fill(to, pitch, value, element, width, height, stream, false);                                       \
    }
STANDIN_MEMSET(8, 1, unsigned char)
STANDIN_MEMSET(16, 2, unsigned short)
STANDIN_MEMSET(32, 4, unsigned)
