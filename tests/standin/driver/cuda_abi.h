// The part of the CUDA driver's binary interface that the stand-in implements:
// names, values and struct layouts as in the CUDA 12.8 headers.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st* CUcontext;
typedef struct CUmod_st* CUmodule;
typedef struct CUfunc_st* CUfunction;
typedef struct CUstream_st* CUstream;
typedef struct CUevent_st* CUevent;
typedef struct CUgraph_st* CUgraph;
typedef struct CUgraphExec_st* CUgraphExec;
typedef struct CUgraphNode_st* CUgraphNode;
typedef struct CUmemPoolHandle_st* CUmemoryPool;
typedef void (*CUhostFn)(void*);

// One list for the error codes and for cuGetErrorName.
#define STANDIN_ERRORS(X)                                                                  \
    X(CUDA_SUCCESS, 0, "no error")                                                         \
    X(CUDA_ERROR_INVALID_VALUE, 1, "invalid argument")                                     \
    X(CUDA_ERROR_OUT_OF_MEMORY, 2, "out of memory")                                        \
    X(CUDA_ERROR_NOT_INITIALIZED, 3, "initialization error")                               \
    X(CUDA_ERROR_NO_DEVICE, 100, "no CUDA-capable device is detected")                     \
    X(CUDA_ERROR_INVALID_DEVICE, 101, "invalid device ordinal")                            \
    X(CUDA_ERROR_INVALID_IMAGE, 200, "device kernel image is invalid")                     \
    X(CUDA_ERROR_INVALID_CONTEXT, 201, "invalid device context")                           \
    X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209, "no kernel image is available for execution on the device") \
    X(CUDA_ERROR_UNSUPPORTED_LIMIT, 215, "limit is not supported on this architecture")    \
    X(CUDA_ERROR_INVALID_PTX, 218, "a PTX JIT compilation failed")                         \
    X(CUDA_ERROR_FILE_NOT_FOUND, 301, "file not found")                                    \
    X(CUDA_ERROR_INVALID_HANDLE, 400, "invalid resource handle")                           \
    X(CUDA_ERROR_NOT_FOUND, 500, "named symbol not found")                                 \
    X(CUDA_ERROR_NOT_READY, 600, "device not ready")                                       \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, 700, "an illegal memory access was encountered")         \
    X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701, "too many resources requested for launch")  \
    X(CUDA_ERROR_LAUNCH_TIMEOUT, 702, "the launch timed out and was terminated")           \
    X(CUDA_ERROR_ASSERT, 710, "device-side assert triggered")                              \
    X(CUDA_ERROR_MISALIGNED_ADDRESS, 716, "misaligned address")                            \
    X(CUDA_ERROR_LAUNCH_FAILED, 719, "unspecified launch failure")                         \
    X(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, 720, "too many blocks in cooperative launch") \
    X(CUDA_ERROR_NOT_SUPPORTED, 801, "operation not supported")                            \
    X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900, "operation not permitted when stream is capturing") \
    X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901, "operation failed due to a previous error during capture") \
    X(CUDA_ERROR_STREAM_CAPTURE_MERGE, 902, "operation would result in a merge of separate capture sequences") \
    X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903, "capture was not ended in the same stream as it began") \
    X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904, "capturing stream has unjoined work")       \
    X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905, "dependency created on uncaptured work in another stream") \
    X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906, "operation would make the legacy stream depend on a capturing blocking stream") \
    X(CUDA_ERROR_CAPTURED_EVENT, 907, "operation not permitted on an event last recorded in a capturing stream") \
    X(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, 910, "the graph update was not performed because it included changes which violated constraints") \
    X(CUDA_ERROR_INVALID_CLUSTER_SIZE, 912, "cluster size is invalid")                     \
    X(CUDA_ERROR_UNKNOWN, 999, "unknown error")

enum {
#define X(name, number, text) name = number,
    STANDIN_ERRORS(X)
#undef X
};

struct CUDA_KERNEL_NODE_PARAMS {
    CUfunction func;
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    void** kernelParams;
    void** extra;
    void* kern;
    CUcontext ctx;
};

enum { CU_MEMORYTYPE_HOST = 1, CU_MEMORYTYPE_DEVICE = 2, CU_MEMORYTYPE_ARRAY = 3, CU_MEMORYTYPE_UNIFIED = 4 };

struct CUDA_MEMCPY2D {
    size_t srcXInBytes, srcY;
    unsigned srcMemoryType;
    const void* srcHost;
    CUdeviceptr srcDevice;
    void* srcArray;
    size_t srcPitch, dstXInBytes, dstY;
    unsigned dstMemoryType;
    void* dstHost;
    CUdeviceptr dstDevice;
    void* dstArray;
    size_t dstPitch, WidthInBytes, Height;
};

struct CUDA_MEMSET_NODE_PARAMS {
    CUdeviceptr dst;
    size_t pitch;
    unsigned value, elementSize;
    size_t width, height;
};

struct CUlaunchAttribute {
    unsigned id;
    char pad[4];
    union {
        char bytes[64];
        int cooperative;
        struct {
            unsigned x, y, z;
        } clusterDim;
    } value;
};
enum { CU_LAUNCH_ATTRIBUTE_COOPERATIVE = 2, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION = 4 };

struct CUlaunchConfig {
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    CUstream hStream;
    CUlaunchAttribute* attrs;
    unsigned numAttrs;
};

struct CUuuid {
    char bytes[16];
};

#define STANDIN_API extern "C" __attribute__((visibility("default"))) CUresult
