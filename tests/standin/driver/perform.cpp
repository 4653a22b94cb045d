// Execution of one operation of a stream or of a graph.
#include <string.h>
#include <time.h>

#include "counts.h"
#include "memory.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

namespace standin {
namespace {

void copy(const Copy& c) {
    const char* from = c.staged != nullptr ? c.staged->data() : c.from;
    size_t from_pitch = c.staged != nullptr ? c.width : c.from_pitch;
    for (size_t row = 0; row < c.height; ++row) memmove(c.to + row * c.to_pitch, from + row * from_pitch, c.width);
    Traffic& traffic = c.to_host ? counts().device_to_host
                       : c.from_host ? counts().host_to_device
                                     : counts().device_to_device;
    ++traffic.count;
    traffic.bytes += c.width * c.height;
}

void set(const Fill& f) {
    for (size_t row = 0; row < f.height; ++row) {
        char* to = f.to + row * f.pitch;
        if (f.element == 1)
            memset(to, int(f.value), f.width);
        else
            for (size_t i = 0; i < f.width; ++i) memcpy(to + i * f.element, &f.value, f.element);
    }
    ++counts().memset.count;
    counts().memset.bytes += f.width * f.element * f.height;
}

int check_memory(const char* what, const char* address, size_t pitch, size_t width, size_t height) {
    size_t bytes = height == 0 || width == 0 ? 0 : (height - 1) * pitch + width;
    if (find_range(address, bytes, nullptr)) return CUDA_SUCCESS;
    say("%s: %zu bytes at %p are not all in one live allocation", what, bytes, (const void*)address);
    return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

int check(const Operation& operation) {
    if (const auto* c = std::get_if<Copy>(&operation)) {
        if (c->width > c->to_pitch || c->width > c->from_pitch) return CUDA_ERROR_INVALID_VALUE;
        if (!c->to_host)
            if (int code = check_memory("copy to the device", c->to, c->to_pitch, c->width, c->height)) return code;
        if (!c->from_host)
            return check_memory("copy from the device", c->from, c->from_pitch, c->width, c->height);
    } else if (const auto* f = std::get_if<Fill>(&operation)) {
        return check_memory("memset", f->to, f->pitch, f->width * f->element, f->height);
    } else if (const auto* launch = std::get_if<Launch>(&operation)) {
        if (!is_function(launch->function)) {
            say("launch of a kernel whose module is gone");
            return CUDA_ERROR_INVALID_HANDLE;
        }
        return check_pointers(*launch);
    }
    return CUDA_SUCCESS;
}

int perform(const Operation& operation) {
    int code = CUDA_SUCCESS;
    if (const auto* launch = std::get_if<Launch>(&operation)) {
        code = run(*launch);
    } else if (const auto* c = std::get_if<Copy>(&operation)) {
        copy(*c);
    } else if (const auto* f = std::get_if<Fill>(&operation)) {
        set(*f);
    } else if (const auto* call = std::get_if<HostCall>(&operation)) {
        call->function(call->data);
    } else if (const auto* stamp = std::get_if<Stamp>(&operation)) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        stamp->event->time = double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
        stamp->event->recorded = true;
    } else if (const auto* memory = std::get_if<Free>(&operation)) {
        code = release(memory->start, Kind::device);
    }
    if (code != CUDA_SUCCESS && state().sticky == 0) state().sticky = code;
    return code;
}

}  // namespace standin
