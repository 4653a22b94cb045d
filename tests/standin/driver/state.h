// Checks at the start of every driver call: the driver is initialized, the
// context has not failed, and the call is allowed during a capture.
#pragma once
#include <mutex>

#include "cuda_abi.h"

namespace standin {

struct State_ {
    std::recursive_mutex mutex;
    bool initialised = false;
    int sticky = 0;       // an error that all later calls return
};

State_& state();

// 0, or the error of the call. `needs_context`: also the sticky error.
int ready(bool needs_context);

CUcontext current_context();

// The name of a CUresult, null if unknown.
const char* error_name(int code);

}  // namespace standin

// Begins a driver call: one at a time, and none after a failure.
#define ENTER()                                                                 \
    std::lock_guard<std::recursive_mutex> standin_lock(::standin::state().mutex); \
    if (int standin_error = ::standin::ready(true)) return standin_error
#define ENTER_ANYWAY()                                                          \
    std::lock_guard<std::recursive_mutex> standin_lock(::standin::state().mutex); \
    if (int standin_error = ::standin::ready(false)) return standin_error
