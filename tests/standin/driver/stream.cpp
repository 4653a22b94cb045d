#include "stream.h"

#include <string.h>

#include <deque>
#include <set>
#include <thread>

#include "counts.h"
#include "memory.h"
#include "settings.h"
#include "state.h"

using namespace standin;

namespace {

constexpr unsigned non_blocking = 1;

CUstream_st legacy, per_thread;

std::set<CUstream>& streams() {
    static auto* set = new std::set<CUstream>;
    return *set;
}

std::deque<Operation>& queue() {
    static auto* queue = new std::deque<Operation>;
    return *queue;
}

// Captures that forbid unsafe calls, with the thread that began each.
std::set<std::pair<Capture*, std::thread::id>>& strict_captures() {
    static auto* set = new std::set<std::pair<Capture*, std::thread::id>>;
    return *set;
}

uint64_t next_capture = 1;

// An operation that is not allowed in a capture also invalidates it.
int broken(CUstream_st* stream, int code) {
    if (stream->capture != nullptr) stream->capture->broken = true;
    return code;
}

}  // namespace

namespace standin {

bool is_stream(CUstream handle) {
    return handle == nullptr || handle == reinterpret_cast<CUstream>(1) || handle == reinterpret_cast<CUstream>(2) ||
           streams().count(handle) != 0;
}

CUstream_st* stream_of(CUstream handle) {
    if (handle == nullptr || handle == reinterpret_cast<CUstream>(1)) return &legacy;
    if (handle == reinterpret_cast<CUstream>(2)) return &per_thread;
    return handle;
}

int forbidden_by_capture() {
    for (const auto& [capture, thread] : strict_captures())
        if (capture->mode == 0 || thread == std::this_thread::get_id()) {
            capture->broken = true;
            say("a call that a stream capture in progress does not allow");
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    return CUDA_SUCCESS;
}

int submit(CUstream handle, Operation operation) {
    if (!is_stream(handle)) return CUDA_ERROR_INVALID_HANDLE;
    CUstream_st* stream = stream_of(handle);
    if (stream->capture != nullptr) {
        Capture& capture = *stream->capture;
        if (capture.broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        if (std::holds_alternative<Free>(operation)) {
            say("memory freed on a capturing stream: not supported by the stand-in");
            return broken(stream, CUDA_ERROR_NOT_SUPPORTED);
        }
        ++stream->serial;
        stream->joined = stream == capture.origin;
        auto node = std::make_unique<CUgraphNode_st>();
        node->operation = std::move(operation);
        node->graph = capture.graph.get();
        node->index = capture.graph->nodes.size();
        node->after = std::move(stream->tail);
        stream->tail = {node->index};
        if (Copy* copy = std::get_if<Copy>(&node->operation)) copy->staged.reset();
        capture.graph->nodes.push_back(std::move(node));
        return CUDA_SUCCESS;
    }
    if (stream == &legacy)
        for (CUstream other : streams())
            if (other->capture != nullptr && (other->flags & non_blocking) == 0)
                return broken(other, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    if (settings().lazy) {
        queue().push_back(std::move(operation));
        return CUDA_SUCCESS;
    }
    perform(operation);
    // Like a real launch, it returns before the kernel runs: a failure is
    // reported by the next call.
    return CUDA_SUCCESS;
}

int flush_queue() {
    while (!queue().empty()) {
        Operation next = std::move(queue().front());
        queue().pop_front();
        if (state().sticky == 0) perform(next);
    }
    return state().sticky;
}

}  // namespace standin

STANDIN_API cuStreamCreateWithPriority(CUstream* stream, unsigned flags, int priority) {
    ENTER();
    if (stream == nullptr || flags > non_blocking) return CUDA_ERROR_INVALID_VALUE;
    *stream = new CUstream_st;
    (*stream)->flags = flags;
    (*stream)->priority = priority;
    streams().insert(*stream);
    return CUDA_SUCCESS;
}
STANDIN_API cuStreamCreate(CUstream* stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }

STANDIN_API cuStreamDestroy_v2(CUstream stream) {
    ENTER();
    if (streams().count(stream) == 0) return CUDA_ERROR_INVALID_HANDLE;
    flush_queue();
    streams().erase(stream);
    delete stream;
    return state().sticky;
}

STANDIN_API cuStreamSynchronize(CUstream stream) {
    ENTER();
    if (!is_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (stream_of(stream)->capture != nullptr)
        return broken(stream_of(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    ++counts().synchronizations;
    if (flush_queue() == CUDA_SUCCESS && !check_fences("synchronisation")) state().sticky = CUDA_ERROR_ILLEGAL_ADDRESS;
    return state().sticky;
}

STANDIN_API cuCtxSynchronize() {
    ENTER();
    if (int code = forbidden_by_capture()) return code;
    return cuStreamSynchronize(nullptr);
}

STANDIN_API cuStreamQuery(CUstream stream) {
    ENTER();
    if (!is_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (stream_of(stream)->capture != nullptr)
        return broken(stream_of(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    return flush_queue();
}

STANDIN_API cuStreamGetFlags(CUstream stream, unsigned* flags) {
    ENTER();
    if (flags == nullptr || !is_stream(stream)) return CUDA_ERROR_INVALID_VALUE;
    *flags = stream_of(stream)->flags;
    return CUDA_SUCCESS;
}
STANDIN_API cuStreamGetPriority(CUstream stream, int* priority) {
    ENTER();
    if (priority == nullptr || !is_stream(stream)) return CUDA_ERROR_INVALID_VALUE;
    *priority = stream_of(stream)->priority;
    return CUDA_SUCCESS;
}
STANDIN_API cuStreamGetCtx(CUstream stream, CUcontext* context) {
    ENTER();
    if (context == nullptr || !is_stream(stream)) return CUDA_ERROR_INVALID_VALUE;
    *context = current_context();
    return CUDA_SUCCESS;
}

STANDIN_API cuStreamAttachMemAsync(CUstream, CUdeviceptr, size_t, unsigned) {
    ENTER();
    return CUDA_SUCCESS;
}

STANDIN_API cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
    ENTER();
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, HostCall{function, data});
}

STANDIN_API cuStreamBeginCapture_v2(CUstream handle, unsigned mode) {
    ENTER();
    if (!is_stream(handle) || mode > 2) return CUDA_ERROR_INVALID_VALUE;
    CUstream_st* stream = stream_of(handle);
    if (stream == &legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture != nullptr) return broken(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    auto capture = std::make_shared<Capture>();
    capture->graph = std::make_unique<CUgraph_st>();
    capture->origin = stream;
    capture->mode = mode;
    capture->id = next_capture++;
    capture->streams.push_back(stream);
    stream->capture = capture;
    stream->serial = 0;
    stream->tail.clear();
    stream->joined = true;
    if (mode != 2) strict_captures().insert({capture.get(), std::this_thread::get_id()});
    return CUDA_SUCCESS;
}

STANDIN_API cuStreamEndCapture(CUstream handle, CUgraph* graph) {
    ENTER();
    if (!is_stream(handle) || graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUstream_st* stream = stream_of(handle);
    *graph = nullptr;
    if (stream->capture == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Capture> capture = stream->capture;
    if (capture->origin != stream) return broken(stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    capture->active = false;
    bool joined = true;
    for (CUstream_st* other : capture->streams) {
        joined = joined && other->joined;
        other->capture.reset();
    }
    for (auto it = strict_captures().begin(); it != strict_captures().end();)
        it = it->first == capture.get() ? strict_captures().erase(it) : std::next(it);
    if (capture->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!joined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    *graph = capture->graph.release();
    return CUDA_SUCCESS;
}

STANDIN_API cuStreamIsCapturing(CUstream handle, unsigned* status) {
    ENTER();
    if (!is_stream(handle) || status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto& capture = stream_of(handle)->capture;
    *status = capture == nullptr ? 0 : capture->broken ? 2 : 1;
    return CUDA_SUCCESS;
}

STANDIN_API cuStreamGetCaptureInfo_v2(CUstream handle, unsigned* status, uint64_t* id, CUgraph* graph, void** nodes,
                                      size_t* count) {
    int code = cuStreamIsCapturing(handle, status);
    if (code != CUDA_SUCCESS) return code;
    const auto& capture = stream_of(handle)->capture;
    if (id != nullptr) *id = capture == nullptr ? 0 : capture->id;
    if (graph != nullptr) *graph = capture == nullptr ? nullptr : capture->graph.get();
    if (nodes != nullptr) *nodes = nullptr;
    if (count != nullptr) *count = 0;
    return CUDA_SUCCESS;
}

STANDIN_API cuThreadExchangeStreamCaptureMode(unsigned* mode) {
    static thread_local unsigned current = 0;
    if (mode == nullptr || *mode > 2) return CUDA_ERROR_INVALID_VALUE;
    std::swap(*mode, current);
    return CUDA_SUCCESS;
}
