// What every driver call asks first: is the driver initialised, has the
// context failed for good, may this be done while a stream is captured.
#pragma once
#include <mutex>

#include "cuda_abi.h"

namespace standin {

struct State_ {
    std::recursive_mutex mutex;
    bool initialised = false;
    int sticky = 0;       // an error that no later call gets rid of
};

State_& state();

// 0, or why the call cannot be done. `needs_context`: also the sticky error.
int ready(bool needs_context);

CUcontext current_context();

// "NAME (text)" is not needed: just the name of a CUresult, null if unknown.
const char* error_name(int code);

}  // namespace standin

// Opens a driver call: one at a time, and none after a failure.
#define ENTER()                                                                 \
    std::lock_guard<std::recursive_mutex> standin_lock(::standin::state().mutex); \
    if (int standin_error = ::standin::ready(true)) return standin_error
#define ENTER_ANYWAY()                                                          \
    std::lock_guard<std::recursive_mutex> standin_lock(::standin::state().mutex); \
    if (int standin_error = ::standin::ready(false)) return standin_error
