// How many blocks of a kernel a multiprocessor holds.
#pragma once
#include "engine.h"

namespace standin::sm90 {

int resident_blocks(const KernelFacts& kernel, unsigned threads, size_t dynamic_shared);

}  // namespace standin::sm90
