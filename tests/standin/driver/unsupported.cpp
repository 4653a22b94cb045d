// Stubs for every call of the bindings that is not implemented. The run script
// generates the list from driver_symbols.txt; an implementation takes
// precedence over these weak definitions.
#include "cuda_abi.h"
#include "settings.h"

namespace {
CUresult unsupported(const char* call) {
    standin::say("%s is not supported by the stand-in", call);
    return CUDA_ERROR_NOT_SUPPORTED;
}
}  // namespace

#define STANDIN_SYMBOL(name)                                                              \
    extern "C" __attribute__((weak, visibility("default"))) CUresult name() {             \
        return unsupported(#name);                                                        \
    }
#include "driver_symbols.inc"
