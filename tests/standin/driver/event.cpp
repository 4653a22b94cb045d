// Events: time stamps, and dependencies between the streams of a capture.
#include <time.h>

#include <algorithm>
#include <set>

#include "counts.h"
#include "memory.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

using namespace standin;

namespace {

constexpr unsigned disable_timing = 2;

std::set<CUevent>& events() {
    static auto* set = new std::set<CUevent>;
    return *set;
}

}  // namespace

STANDIN_API cuEventCreate(CUevent* event, unsigned flags) {
    ENTER();
    if (event == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *event = new CUevent_st;
    (*event)->flags = flags;
    events().insert(*event);
    return CUDA_SUCCESS;
}

STANDIN_API cuEventDestroy_v2(CUevent event) {
    ENTER();
    if (events().count(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
    flush_queue();
    events().erase(event);
    delete event;
    return CUDA_SUCCESS;
}

STANDIN_API cuEventRecord(CUevent event, CUstream handle) {
    ENTER();
    if (events().count(event) == 0 || !is_stream(handle)) return CUDA_ERROR_INVALID_HANDLE;
    CUstream_st* stream = stream_of(handle);
    if (stream->capture != nullptr) {
        if (stream->capture->broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        event->capture = stream->capture;
        event->captured_in = stream;
        event->captured_serial = stream->serial;
        event->tail = stream->tail;
        return CUDA_SUCCESS;
    }
    event->capture.reset();
    event->recorded = false;
    return submit(handle, Stamp{event});
}

STANDIN_API cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned) { return cuEventRecord(event, stream); }

STANDIN_API cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    ENTER();
    if (events().count(event) == 0 || !is_stream(handle)) return CUDA_ERROR_INVALID_HANDLE;
    CUstream_st* stream = stream_of(handle);
    bool captured = event->capture != nullptr && event->capture->active;
    if (captured) {
        if (stream->capture != nullptr && stream->capture != event->capture) return CUDA_ERROR_STREAM_CAPTURE_MERGE;
        if (stream->capture == nullptr) {
            if (handle == nullptr) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
            stream->capture = event->capture;
            stream->serial = 0;
            stream->tail.clear();
            event->capture->streams.push_back(stream);
        }
        stream->joined = stream == event->capture->origin;
        for (size_t node : event->tail)
            if (std::find(stream->tail.begin(), stream->tail.end(), node) == stream->tail.end()) stream->tail.push_back(node);
        CUstream_st* from = event->captured_in;
        if (from != stream && from->serial == event->captured_serial) from->joined = true;
        return CUDA_SUCCESS;
    }
    // An event recorded outside the capture cannot become part of a graph. An
    // event that was never recorded is not a dependency.
    if (stream->capture != nullptr && event->recorded) {
        stream->capture->broken = true;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    return CUDA_SUCCESS;   // operations run in the order in which they are submitted
}

STANDIN_API cuEventSynchronize(CUevent event) {
    ENTER();
    if (events().count(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (event->capture != nullptr && event->capture->active) return CUDA_ERROR_CAPTURED_EVENT;
    ++counts().synchronizations;
    if (flush_queue() == CUDA_SUCCESS && !check_fences("synchronisation")) state().sticky = CUDA_ERROR_ILLEGAL_ADDRESS;
    return state().sticky;
}

STANDIN_API cuEventQuery(CUevent event) {
    ENTER();
    if (events().count(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (event->capture != nullptr && event->capture->active) return CUDA_ERROR_CAPTURED_EVENT;
    return flush_queue();
}

STANDIN_API cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    ENTER();
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (CUevent event : {start, end})
        if (events().count(event) == 0 || !event->recorded || (event->flags & disable_timing) != 0)
            return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = float((end->time - start->time) * 1e3);
    return CUDA_SUCCESS;
}
STANDIN_API cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime(milliseconds, start, end);
}
