// The timing model.
#include "multiprocessor.h"

#include <math.h>

#include <algorithm>
#include <limits>

namespace standin::sm90 {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// The part of the 256 KiB that shared memory takes, in the sizes that the hardware offers.
size_t l1_bytes(const Latencies& l, const Grid& grid, unsigned resident) {
    size_t wanted = resident * (grid.kernel->cubin.shared_end + grid.request->dynamic_shared);
    for (size_t kib : {0, 8, 16, 32, 64, 100, 132, 164, 196, 228})
        if (kib * 1024 >= wanted) return size_t(l.l1_bytes) - kib * 1024;
    return size_t(l.l1_bytes) - 228 * 1024;
}

}  // namespace

Multiprocessor::Multiprocessor(const Grid& grid, const Latencies& latencies, unsigned resident, bool with_lines)
    : grid_(grid),
      code_(grid.module->code),
      l_(latencies),
      with_lines_(with_lines),
      blocks_(resident),
      l1_(l1_bytes(latencies, grid, resident)) {
    grid.enter(context);
    context.timed = true;
    context.multiprocessor = this;
    context.barrier_latency = l_.barrier;
    double sharing = std::min<double>(grid.blocks, l_.multiprocessors);
    l2_sector_ = std::max(l_.l2_sector, 32 * sharing / l_.l2_bytes_per_cycle_in_all);
    for (Scheduler& s : schedulers_) choose(s);
}

bool Multiprocessor::has_room() const {
    return std::any_of(blocks_.begin(), blocks_.end(), [](const Block& b) { return !b.used; });
}

void Multiprocessor::add(unsigned number, double time) {
    Block& b = *std::find_if(blocks_.begin(), blocks_.end(), [](const Block& b) { return !b.used; });
    grid_.start(b, number);
    b.start = time;
    for (Warp& w : b.warps) {
        w.next = w.last = time;
        if (with_lines_) w.cycles_at.assign(code_.instructions.size(), 0);
        // The scheduler with the fewest warps, the first of them.
        Scheduler* to = &schedulers_[0];
        for (Scheduler& s : schedulers_)
            if (s.warps.size() < to->warps.size()) to = &s;
        w.scheduler = unsigned(to - schedulers_);
        w.place = unsigned(to->warps.size());
        to->warps.push_back(&w);
        to->ready.push_back(never);
        refresh(w);
    }
}

double Multiprocessor::next() const {
    double t = never;
    for (const Scheduler& s : schedulers_) t = std::min(t, s.best);
    return t;
}

void Multiprocessor::choose(Scheduler& s) {
    s.best = never;
    for (size_t k = 0; k < s.ready.size(); ++k)
        if (s.ready[k] < s.best) s.best = s.ready[k], s.best_warp = k;
    s.best = std::max(s.best, s.free);
    if (s.warps.empty()) s.best = never;
}

// When the warp's next instruction can be issued.
void Multiprocessor::refresh(Warp& w) {
    double t = never;
    if (!w.done && !w.blocked()) {
        const Instruction& i = code_.instructions[w.groups[w.current].at];
        t = w.next;
        for (int k = 0; k < 6; ++k)
            if (i.wait_mask >> k & 1) t = std::max(t, w.scoreboard[k]);
    }
    Scheduler& s = schedulers_[w.scheduler];
    s.ready[w.place] = t;
    choose(s);
}

double Multiprocessor::pipe_cycles(Unit unit) const {
    switch (unit) {
        case Unit::fma: return l_.fma_pipe;
        case Unit::imad: return l_.imad_pipe;
        case Unit::alu: return l_.alu_pipe;
        case Unit::xu: return l_.xu_pipe;
        case Unit::convert: return l_.convert_pipe;
        case Unit::fp64: return l_.fp64_pipe;
        case Unit::uniform: return l_.uniform_pipe;
        default: return 1;
    }
}

void Multiprocessor::advance(double limit, bool blocks_wait) {
    for (;;) {
        Scheduler* s = &schedulers_[0];
        for (Scheduler& other : schedulers_)
            if (other.best < s->best) s = &other;
        double t = s->best;
        if (t == never) return;
        Warp& w = *s->warps[s->best_warp];
        const Instruction& i = code_.instructions[w.groups[w.current].at];
        double busy = s->pipe[size_t(i.unit)];
        if (busy > t) {
            s->ready[s->best_warp] = busy;
            choose(*s);
            continue;
        }
        bool ends = blocks_wait && i.unit == Unit::control && w.block->live_warps == 1;
        if ((i.ordered || ends) && t > limit) return;
        size_t before = finished.size();
        issue(*s, s->best_warp, t);
        if (finished.size() != before && blocks_wait) return;
    }
}

// First use of a constant's line on this multiprocessor.
double Multiprocessor::constant_delay(const Instruction& i) {
    double delay = 0;
    for (const Operand& o : i.source)
        if (o.kind == Kind::constant && constants_.insert(u32(o.bank) << 26 | o.offset / 64).second) {
            ++traffic.constant_misses;
            delay = l_.constant_miss;
        }
    return delay;
}

// When the load-store unit and the second-level cache are done with what the instruction accesses.
double Multiprocessor::memory_time(double t, bool load, bool strong) {
    Access& a = context.access;
    double waves = std::max({1.0, ceil(a.lines / l_.lines_per_wavefront), ceil(a.sectors / l_.sectors_per_wavefront)});
    double start = std::max(t, lsu_);
    lsu_ = start + waves;
    unsigned misses = 0;
    for (unsigned k = 0; k < a.sectors; ++k) {
        bool hit = !strong && l1_.touch(a.sector[k]);
        if (!hit || !load) ++misses;
        if (load) ++(hit ? traffic.l1_hits : traffic.l1_misses);
    }
    if (misses == 0) return start + waves - 1 + l_.global_l1;
    l2_ = std::max(start, l2_) + misses * l2_sector_;
    return l2_ + waves - 1 + l_.global_l2;
}

void Multiprocessor::issue(Scheduler& s, size_t index, double t) {
    Warp& w = *s.warps[index];
    Block& b = *w.block;
    Context& c = context;
    const u32 at = w.groups[w.current].at;
    const Instruction& i = code_.instructions[at];
    if (i.constant_operand) t += constant_delay(i);
    c.warp = &w;
    c.block = &b;
    c.rows = w.rows.data();
    c.now = t;
    c.executed = c.released = false;
    Access& a = c.access;
    a.sectors = a.lines = 0;
    a.wavefronts = 1;
    a.constant_line = ~0u;
    a.jumped = false;
    if (with_lines_) w.cycles_at[at] += t - w.last;
    w.last = t;
    ++w.instructions;
    w.ffma += i.is_ffma;
    step(c, code_);

    double hold = i.stall, arrives = t + l_.predicated_off, released = t + l_.source_release;
    auto shared = [&](double latency) {
        double start = std::max(t, lsu_);
        lsu_ = start + a.wavefronts;
        traffic.shared_conflicts += a.wavefronts - 1;
        released = start + a.wavefronts - 1 + l_.source_release;
        return start + a.wavefronts - 1 + latency;
    };
    if (c.executed) switch (i.unit) {
            case Unit::fma: case Unit::alu: case Unit::imad: case Unit::uniform:
                arrives = t + (i.delay == Delay::uniform_register ? l_.uniform_register : l_.imad_wide);
                break;
            case Unit::xu: arrives = t + l_.xu; break;
            case Unit::convert: arrives = t + l_.convert; break;
            case Unit::fp64: arrives = t + l_.fp64; break;
            case Unit::shuffle: arrives = shared(i.delay == Delay::redux ? l_.redux : l_.shuffle); break;
            case Unit::special: arrives = t + l_.special_register; break;
            case Unit::branch:
                if (a.jumped) hold = std::max(hold, i.delay == Delay::indirect_branch ? l_.indirect_branch : l_.branch);
                break;
            case Unit::global_load: arrives = memory_time(t, true, i.strong); break;
            case Unit::global_store:
                memory_time(t, false, i.strong);
                released = std::max(t, lsu_ - 1) + l_.source_release;
                break;
            case Unit::atomic: {
                double before = memory_time(t, false, true);
                arrives = before - l_.global_l2 + l_.atomic;
                break;
            }
            case Unit::async_copy: {
                double arrival = memory_time(t, true, i.strong);
                released = std::max(t, lsu_ - 1) + l_.source_release;
                lsu_ = std::max(lsu_, arrival - l_.global_l2);
                w.copies_arrive = std::max(w.copies_arrive, arrival);
                arrives = arrival;
                break;
            }
            case Unit::shared_load: arrives = shared(i.delay == Delay::shared_atomic ? l_.shared_atomic : l_.shared); break;
            case Unit::shared_store: shared(0); break;
            case Unit::constant_load: {
                bool miss = constants_.insert(a.constant_line).second;
                traffic.constant_misses += miss;
                arrives = t + (i.delay == Delay::uniform_constant ? l_.uniform_constant : l_.constant) + (miss ? l_.constant_miss : 0);
                break;
            }
            case Unit::barrier: break;
            case Unit::fence:
                if (i.function == invalidates) l1_.clear();
                hold = std::max(hold, i.delay == Delay::fence_block ? l_.fence_block
                                      : i.delay == Delay::fence_sc  ? l_.fence_sc
                                      : i.delay == Delay::fence_all ? l_.fence_all
                                                                    : l_.cache_control);
                arrives = t + hold;
                break;
            case Unit::control:
                if (i.delay == Delay::sleep) hold = std::max(hold, l_.sleep);
                break;
            default: break;
        }
    if (i.write_barrier < 6) w.scoreboard[i.write_barrier] = std::max(w.scoreboard[i.write_barrier], arrives);
    if (i.read_barrier < 6) w.scoreboard[i.read_barrier] = std::max(w.scoreboard[i.read_barrier], released);
    w.next = std::max(w.next, t + hold);
    s.free = t + 1;
    s.pipe[size_t(i.unit)] = t + pipe_cycles(i.unit);
    if (c.released)
        for (Warp& other : b.warps)
            if (&other != &w) refresh(other);
    refresh(w);
    if (b.live_warps == 0) finish(b);
}

void Multiprocessor::finish(Block& b) {
    BlockTime time{b.number, b.start, 0, 0, 0, 0, {}};
    Warp* last = &b.warps[0];
    for (Warp& w : b.warps) {
        time.end = std::max(time.end, w.end);
        time.instructions += w.instructions;
        time.ffma += w.ffma;
        time.longest_warp = std::max(time.longest_warp, w.instructions);
        if (w.end > last->end) last = &w;
    }
    time.cycles_at = std::move(last->cycles_at);
    finished.push_back(std::move(time));
    for (Scheduler& s : schedulers_) {
        for (size_t k = s.warps.size(); k-- > 0;)
            if (s.warps[k]->block == &b) {
                s.warps.erase(s.warps.begin() + long(k));
                s.ready.erase(s.ready.begin() + long(k));
            }
        for (size_t k = 0; k < s.warps.size(); ++k) s.warps[k]->place = unsigned(k);
        choose(s);
    }
    b.used = false;
}

bool Multiprocessor::deadlocked() const {
    return next() == never && std::any_of(blocks_.begin(), blocks_.end(), [](const Block& b) { return b.used; });
}

std::string Multiprocessor::waiting() {
    for (Block& b : blocks_) {
        if (!b.used) continue;
        for (Warp& w : b.warps) {
            if (w.done) continue;
            context.warp = &w;
            context.block = &b;
            return place_of(grid_, context, code_.instructions[w.groups[w.current].at - 1], -1) + " waits for ever";
        }
    }
    return "";
}

}  // namespace standin::sm90
