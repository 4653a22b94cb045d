// Occupancy by registers, shared memory and threads.
#include "occupancy.h"

#include <algorithm>

#include "cubin.h"

namespace standin::sm90 {

int resident_blocks(const KernelFacts& kernel, unsigned threads, size_t dynamic_shared) {
    if (threads == 0 || threads > 1024) return 0;
    size_t warps = (threads + lanes - 1) / lanes;
    // A warp's registers come in units of 256; each of the four schedulers has a quarter of all.
    size_t registers = (kernel.registers * size_t(lanes) + 255) / 256 * 256;
    size_t warps_by_registers = 65536 / 4 / registers * 4;
    size_t shared = kernel.static_shared + dynamic_shared + reserved_shared;
    shared = (shared + 127) / 128 * 128;
    return int(std::min({warps_by_registers / warps, size_t(64) / warps, size_t(228) * 1024 / shared, size_t(32)}));
}

}  // namespace standin::sm90
