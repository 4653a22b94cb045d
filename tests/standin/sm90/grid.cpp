// Starting blocks, and one step of a warp.
#include "grid.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>

namespace standin::sm90 {

Grid::Grid(const LaunchRequest& r) : request(&r), module(r.module), kernel(&r.module->kernels[r.kernel]) {
    threads = r.block[0] * r.block[1] * r.block[2];
    blocks = r.grid[0] * r.grid[1] * r.grid[2];
    warps = (threads + lanes - 1) / lanes;
    const CubinKernel& k = kernel->cubin;
    bank0.resize(std::max<size_t>(k.param_offset + k.param_bytes, 0x210));
    for (size_t at = 0; at + 4 <= bank0.size(); at += 4) memcpy(&bank0[at], &r.poison, 4);
    // What the driver puts before the parameters, as far as it is known.
    const u32 dimensions[6] = {r.block[0], r.block[1], r.block[2], r.grid[0], r.grid[1], r.grid[2]};
    memcpy(&bank0[0], dimensions, sizeof(dimensions));
    memcpy(&bank0[0x28], &k.facts.local_bytes, 4);   // the top of a thread's stack
    memset(&bank0[0x208], 0, 8);                     // the descriptor of global memory
    memcpy(&bank0[k.param_offset], r.params, k.param_bytes);
}

void Grid::start(Block& b, unsigned number) const {
    b.number = number;
    b.index[0] = number % request->grid[0];
    b.index[1] = number / request->grid[0] % request->grid[1];
    b.index[2] = number / request->grid[0] / request->grid[1];
    b.shared.resize(kernel->cubin.shared_end + request->dynamic_shared);
    for (size_t at = 0; at + 4 <= b.shared.size(); at += 4) memcpy(&b.shared[at], &request->poison, 4);
    b.local.resize(size_t(threads) * kernel->cubin.facts.local_bytes);
    for (size_t at = 0; at + 4 <= b.local.size(); at += 4) memcpy(&b.local[at], &request->poison, 4);
    for (Barrier& barrier : b.barrier) barrier = Barrier();
    b.live_threads = threads;
    b.live_warps = warps;
    b.used = true;
    b.warps.resize(warps);
    for (unsigned n = 0; n < warps; ++n) {
        Warp& w = b.warps[n];
        w.rows.resize(kernel->rows);
        for (size_t row = 0; row < w.rows.size(); ++row)
            for (u32& x : w.rows[row].lane) x = row < discard_row ? 0 : request->poison;
        for (u32& p : w.predicate) p = 0;
        w.predicate[true_predicate] = w.predicate[uniform_true] = all_lanes;
        memset(w.convergence, 0, sizeof(w.convergence));
        unsigned count = std::min<unsigned>(lanes, threads - n * lanes);
        w.live = count == lanes ? all_lanes : (1u << count) - 1;
        w.groups.assign(1, Group());
        w.groups[0].mask = w.live;
        w.groups[0].at = kernel->entry;
        w.current = 0;
        w.block = &b;
        w.number = n;
        w.copies.clear();
        w.committed.clear();
        w.committed_arrive.clear();
        w.copies_arrive = 0;
        w.barrier_result = 0;
        w.waited = 0;
        w.done = w.slept = false;
        w.next = w.last = w.end = 0;
        for (double& s : w.scoreboard) s = 0;
        w.instructions = w.ffma = 0;
        w.cycles_at.clear();
    }
}

void Grid::enter(Context& c) const {
    c.kernel = kernel;
    c.grid = this;
    c.bank[0] = bank0.data();
    c.bank_bytes[0] = u32(bank0.size());
    for (unsigned k = 1; k < 8; ++k) {
        c.bank[k] = kernel->cubin.bank[k].data();
        c.bank_bytes[k] = u32(kernel->cubin.bank[k].size());
    }
}

const MemoryRange* Grid::range_of(u64 address) const {
    const MemoryRange *first = request->memory, *last = first + request->memory_count;
    const MemoryRange* next =
        std::upper_bound(first, last, address, [](u64 a, const MemoryRange& r) { return a < u64(uintptr_t(r.start)); });
    if (next == first) return nullptr;
    --next;
    return address - u64(uintptr_t(next->start)) < next->bytes ? next : nullptr;
}

const Instruction& step(Context& c, const Code& code) {
    Warp& w = *c.warp;
    Group& g = w.groups[w.current];
    const Instruction& i = code.instructions[g.at];
    u32 guard = w.predicate[i.guard.index] ^ i.guard.flip;
    u32 mask = i.is_uniform ? (guard & g.mask ? all_lanes : 0) : guard & g.mask;
    ++g.at;
    c.executed = mask != 0;
    if (mask != 0) i.run(c, i, mask);
    return i;
}

std::string place_of(const Grid& grid, const Context& c, const Instruction& i, int lane) {
    char text[512];
    const Code& code = grid.module->code;
    unsigned thread = c.warp->number * lanes + unsigned(std::max(lane, 0));
    const unsigned* d = grid.request->block;
    const SourceLine& line = code.lines[i.line];
    std::string source = i.line == 0 ? "" : ", " + line.file + ":" + std::to_string(line.line);
    int used = snprintf(text, sizeof(text), "block (%u,%u,%u) ", c.block->index[0], c.block->index[1], c.block->index[2]);
    if (lane >= 0)
        used += snprintf(text + used, sizeof(text) - size_t(used), "thread (%u,%u,%u)", thread % d[0], thread / d[0] % d[1],
                         thread / d[0] / d[1]);
    else
        used += snprintf(text + used, sizeof(text) - size_t(used), "warp %u", c.warp->number);
    snprintf(text + used, sizeof(text) - size_t(used), ": instruction 0x%x (%s%s)", i.address, code.texts[i.text].c_str(),
             source.c_str());
    return text;
}

}  // namespace standin::sm90
