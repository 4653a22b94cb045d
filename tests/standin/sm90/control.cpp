// Control flow: branches, convergence, barriers, fences, ends of threads.
#include <stdio.h>

#include <algorithm>

#include "decode.h"
#include "grid.h"
#include "lane_functions.h"

namespace standin::sm90 {

namespace {

// Groups that can go on at the same place become one.
void merge_runnable(Warp& w) {
    auto& g = w.groups;
    for (size_t a = 0; a < g.size(); ++a)
        for (size_t b = g.size(); b-- > a + 1;)
            if (g[a].wait == Wait::none && g[b].wait == Wait::none && g[a].at == g[b].at) {
                g[a].mask |= g[b].mask;
                g.erase(g.begin() + long(b));
            }
}

}  // namespace

void settle(Warp& w) {
    auto& groups = w.groups;
    Group running;
    if (w.current < groups.size()) running = groups[w.current];
    groups.erase(std::remove_if(groups.begin(), groups.end(), [](const Group& g) { return g.mask == 0; }), groups.end());
    if (groups.empty()) {
        w.done = true;
        w.current = 0;
        return;
    }
    bool released = false;
    for (size_t k = 0; k < groups.size(); ++k) {
        const Group g = groups[k];
        if (g.wait != Wait::reconvergence && g.wait != Wait::warp_sync) continue;
        u32 there = 0;
        auto meets = [&](const Group& other) {
            return other.wait == g.wait && other.partners == g.partners &&
                   (g.wait == Wait::warp_sync || other.at == g.at);
        };
        for (const Group& other : groups)
            if (meets(other)) there |= other.mask;
        if (there != (g.partners & w.live)) continue;
        for (Group& other : groups)
            if (meets(other)) other.wait = Wait::none;
        released = true;
    }
    if (released) merge_runnable(w);
    // The group that was running goes on if it can, otherwise the one with the lowest address.
    size_t best = groups.size();
    for (size_t k = 0; k < groups.size(); ++k) {
        if (groups[k].wait != Wait::none) continue;
        if ((groups[k].mask & running.mask) != 0 && running.wait == Wait::none) {
            best = k;
            break;
        }
        if (best == groups.size() || groups[k].at < groups[best].at) best = k;
    }
    w.current = best == groups.size() ? 0 : best;
}

void settle_barriers(Context& c, Block& b) {
    for (unsigned k = 0; k < 16; ++k) {
        Barrier& barrier = b.barrier[k];
        u32 expected = barrier.expected != 0 ? barrier.expected : b.live_threads;
        if (barrier.threads == 0 || barrier.threads < expected) continue;
        for (Warp& w : b.warps) {
            bool released = false;
            for (Group& g : w.groups)
                if (g.wait == Wait::barrier && g.barrier == k) {
                    g.wait = Wait::none;
                    released = true;
                }
            if (!released) continue;
            if (barrier.reduction != 0)
                w.barrier_result = barrier.reduction == 1   ? barrier.yes
                                   : barrier.reduction == 2 ? barrier.yes == barrier.threads
                                                            : barrier.yes != 0;
            merge_runnable(w);
            w.current = w.groups.size();
            settle(w);
            w.next = std::max(w.next, barrier.latest);
        }
        barrier = Barrier();
        c.released = true;
    }
}

namespace {

// Moves lanes of the current group to another place; the rest goes on behind it. Lower addresses first.
void jump(Context& c, u32 lanes_that_jump, u32 target) {
    c.access.jumped = true;
    Warp& w = *c.warp;
    Group& g = c.group();
    if (lanes_that_jump == g.mask) {
        g.at = target;
        return;
    }
    Group taken = g;
    taken.mask = lanes_that_jump;
    taken.at = target;
    g.mask &= ~lanes_that_jump;
    bool first = taken.at < g.at;
    w.groups.push_back(taken);
    if (first) w.current = w.groups.size() - 1;
}

void bra(Context& c, const Instruction& i, u32 mask) {
    u32 taken = mask & read(c, i.predicate[0]);
    if (taken != 0) jump(c, taken, i.target);
}
// Taken if lanes of the mask are elsewhere.
void bra_div(Context& c, const Instruction& i, u32 mask) {
    Row room;
    u32 wanted = read(c, i.source[0], room)[0] & c.warp->live;
    if ((c.group().mask & wanted) != wanted) jump(c, mask, i.target);
}
void decode_bra(Reader& r) {
    Instruction& i = r.out;
    i.unit = Unit::branch;
    i.run = bra;
    if (r.has("DIV")) {
        r.integer(0);
        i.run = bra_div;
    } else {
        r.choose({"U", "ANY"}, 0);
        if (!r.next_is_label()) r.predicate(0);
    }
    i.target = r.label();
}

// To a register's value, each lane for itself.
void jump_to_values(Context& c, u32 mask, const u32* address, u32 section_start, u32 section_end) {
    u32 left = mask;
    while (left != 0) {
        int l = __builtin_ctz(left);
        u32 same = 0;
        for (int k = 0; k < lanes; ++k) same |= u32((left >> k & 1) && address[k] == address[l]) << k;
        u32 index = section_start + address[l] / 16;
        if (address[l] % 16 != 0 || index >= section_end)
            throw Fault(Failure::trap, l, "a jump to an address that is no instruction");
        // The group of these lanes, wherever earlier jumps have left them.
        Warp& w = *c.warp;
        for (size_t k = 0; k < w.groups.size(); ++k)
            if (w.groups[k].mask >> l & 1) w.current = k;
        jump(c, same, index);
        left &= ~same;
    }
}

void brx(Context& c, const Instruction& i, u32 mask) {
    const u32* a = c.rows[i.source[0].row].lane;
    u32 address[lanes];
    for (int l = 0; l < lanes; ++l) address[l] = i.address + 16 + a[l] + u32(i.offset);
    jump_to_values(c, mask, address, i.value, i.target);
}
// BRX by a register, BRXU by a uniform one.
void decode_brx(Reader& r) {
    Instruction& i = r.out;
    std::string text = r.take();
    int number, used = 0;
    char sign;
    unsigned offset;
    const bool uniform = text[0] == 'U';
    if (sscanf(text.c_str() + uniform, "R%d %c0x%x%n", &number, &sign, &offset, &used) != 3 ||
        size_t(used) + uniform != text.size())
        r.unknown("target '" + text + "'");
    i.source[0].kind = Kind::row;
    i.source[0].row = u16((uniform ? uniform_row : register_row) + number);
    i.offset = sign == '-' ? -i64(offset) : i64(offset);
    r.section(&i.value, &i.target);
    i.unit = Unit::branch;
    i.delay = Delay::indirect_branch;
    i.run = brx;
}

void call(Context& c, const Instruction& i, u32 mask) { jump(c, mask, i.target); }
void decode_call(Reader& r) {
    if (!r.has("REL") || !r.has("NOINC")) r.unknown("a call that is not relative");
    r.out.target = r.label();
    r.out.unit = Unit::branch;
    r.out.run = call;
}

void ret(Context& c, const Instruction& i, u32 mask) {
    const u32* a = c.rows[i.source[0].row].lane;
    u32 address[lanes];
    for (int l = 0; l < lanes; ++l) address[l] = a[l] + u32(i.offset);
    jump_to_values(c, mask, address, i.value, i.target);
}
void decode_ret(Reader& r) {
    Instruction& i = r.out;
    if (!r.has("REL") || !r.has("NODEC")) r.unknown("a return that is not relative");
    std::string text = r.take();
    size_t space = text.find(' ');
    int number;
    if (space == std::string::npos || sscanf(text.c_str(), "R%d ", &number) != 1) r.unknown("target '" + text + "'");
    i.source[0].kind = Kind::row;
    i.source[0].row = u16(register_row + number);
    u32 base = r.label_of(text.substr(space + 1));
    r.section(&i.value, &i.target);
    if (base < i.value || base >= i.target) r.unknown("a return to another section");
    i.offset = i64(base - i.value) * 16;
    i.unit = Unit::branch;
    i.delay = Delay::indirect_branch;
    i.run = ret;
}

void exit_lanes(Context& c, const Instruction&, u32 mask) {
    Warp& w = *c.warp;
    w.live &= ~mask;
    c.group().mask &= ~mask;
    c.block->live_threads -= unsigned(__builtin_popcount(mask));
    // The next launch takes the end of this one for the end of all earlier ones.
    if (c.kernel->waits && (mask & ~w.waited) != 0)
        throw Fault(Failure::trap, __builtin_ctz(mask & ~w.waited), "ends without griddepcontrol.wait");
    settle(w);
    if (w.done) {
        --c.block->live_warps;
        w.end = c.now;
    }
    for (Barrier& barrier : c.block->barrier)
        if (barrier.threads != 0) barrier.latest = std::max(barrier.latest, c.now + c.barrier_latency);
    settle_barriers(c, *c.block);
}
void decode_exit(Reader& r) {
    r.out.unit = Unit::control;
    r.out.run = exit_lanes;
}

u8 convergence_barrier(Reader& r) {
    std::string name = r.take();
    int number = -1;
    if (sscanf(name.c_str(), "B%d", &number) != 1 || number < 0 || number > 15) r.unknown("'" + name + "'");
    return u8(number);
}

void bssy(Context& c, const Instruction& i, u32 mask) {
    u32 group = c.group().mask;
    u32* partners = c.warp->convergence[i.function];
    for (int l = 0; l < lanes; ++l) partners[l] = mask >> l & 1 ? group : partners[l];
}
void decode_bssy(Reader& r) {
    r.out.function = convergence_barrier(r);
    r.out.target = r.label();
    r.out.unit = Unit::control;
    r.out.run = bssy;
}

void bsync(Context& c, const Instruction& i, u32 mask) {
    Warp& w = *c.warp;
    const u32* partners = w.convergence[i.function];
    u32 left = mask;
    if ((partners[__builtin_ctz(mask)] & w.live) == mask && c.group().mask == mask) return;
    if (c.group().mask != mask) throw Fault(Failure::unsupported, -1, "BSYNC of a part of a group");
    Group whole = c.group();
    bool first = true;
    while (left != 0) {
        u32 wanted = partners[__builtin_ctz(left)], same = 0;
        for (int l = 0; l < lanes; ++l) same |= u32((left >> l & 1) && partners[l] == wanted) << l;
        Group g = whole;
        g.mask = same;
        g.wait = Wait::reconvergence;
        g.partners = wanted;
        if (first)
            c.group() = g;
        else
            w.groups.push_back(g);
        first = false;
        left &= ~same;
    }
    settle(w);
}
void decode_bsync(Reader& r) {
    r.has("RECONVERGENT");
    r.out.function = convergence_barrier(r);
    r.out.unit = Unit::control;
    r.out.run = bsync;
}

// The lanes do not meet there any more.
void break_(Context& c, const Instruction& i, u32 mask) {
    u32 leaving = mask & read(c, i.predicate[0]);
    Warp& w = *c.warp;
    for (u32& partners : w.convergence[i.function]) partners &= ~leaving;
    for (Group& g : w.groups)
        if (g.wait == Wait::reconvergence) g.partners &= ~(leaving & ~g.mask);
    settle(w);
}
void decode_break(Reader& r) {
    if (r.next_is_predicate()) r.predicate(0);
    r.out.function = convergence_barrier(r);
    r.out.unit = Unit::control;
    r.out.run = break_;
}

// Between a convergence barrier and a register.
void bmov(Context& c, const Instruction& i, u32 mask) {
    u32* barrier = c.warp->convergence[i.function];
    if (i.high) {
        Row room;
        const u32* a = read(c, i.source[0], room);
        for (int l = 0; l < lanes; ++l) barrier[l] = mask >> l & 1 ? a[l] : barrier[l];
        return;
    }
    Row out;
    for (int l = 0; l < lanes; ++l) out.lane[l] = barrier[l];
    write(c, i.target_row[0], out, mask);
    if (i.carry)
        for (int l = 0; l < lanes; ++l) barrier[l] = mask >> l & 1 ? 0 : barrier[l];
}
void decode_bmov(Reader& r) {
    Instruction& i = r.out;
    if (!r.has("32")) r.unknown("a width that is not known");
    i.carry = r.has("CLEAR");
    i.high = r.peek()[0] == 'B';
    if (i.high) {
        i.function = convergence_barrier(r);
        r.integer(0);
    } else {
        r.target();
        i.function = convergence_barrier(r);
    }
    i.unit = Unit::control;
    i.run = bmov;
}

void warpsync(Context& c, const Instruction& i, u32 mask) {
    Row room;
    u32 wanted = i.function == 1 ? all_lanes : read(c, i.source[0], room)[__builtin_ctz(mask)];
    Warp& w = *c.warp;
    if ((wanted & w.live) == c.group().mask) return;
    Group& g = c.group();
    if (g.mask != mask) throw Fault(Failure::unsupported, -1, "WARPSYNC of a part of a group");
    g.wait = Wait::warp_sync;
    g.partners = wanted;
    settle(w);
}
void decode_warpsync(Reader& r) {
    Instruction& i = r.out;
    i.function = r.has("ALL") ? 1 : 0;
    bool collective = r.has("COLLECTIVE");
    r.choose({"EXCLUSIVE"}, 0);
    if (i.function == 0) r.integer(0);
    if (collective) r.label();   // behind the ENDCOLLECTIVE that follows
    i.unit = Unit::control;
    i.run = warpsync;
}

void bar(Context& c, const Instruction& i, u32 mask) {
    Row room[2];
    u32 number = read(c, i.source[0], room[0])[__builtin_ctz(mask)];
    u32 expected = i.carry ? read(c, i.source[1], room[1])[__builtin_ctz(mask)] : 0;
    if (number > 15) throw Fault(Failure::trap, -1, "barrier " + std::to_string(number));
    Barrier& barrier = c.block->barrier[number];
    barrier.threads += unsigned(__builtin_popcount(mask));
    barrier.expected = expected;
    barrier.latest = std::max(barrier.latest, c.now + c.barrier_latency);
    if (i.high) {
        barrier.reduction = i.table[0];
        barrier.yes += unsigned(__builtin_popcount(read(c, i.predicate[0]) & mask));
    }
    if (i.function == 0) {
        Group& g = c.group();
        if (g.mask != mask) throw Fault(Failure::unsupported, -1, "a barrier of a part of a group");
        g.wait = Wait::barrier;
        g.barrier = u8(number);
        settle(*c.warp);
    }
    settle_barriers(c, *c.block);
}
void decode_bar(Reader& r) {
    Instruction& i = r.out;
    int how = r.choose({"SYNC", "ARV", "RED"}, -1);
    if (how < 0) r.unknown("no kind of barrier that is known");
    i.function = how == 1 ? 1 : 0;
    i.high = how == 2;
    i.table[0] = u8(1 + r.choose({"POPC", "AND", "OR"}, 0));
    r.has("DEFER_BLOCKING");
    r.integer(0);
    if (!i.high || !r.next_is_predicate()) {
        if (r.operands_left() > 0) {
            r.integer(1);
            i.carry = true;
        }
    }
    if (i.high) r.predicate(0);
    i.unit = Unit::barrier;
    i.run = bar;
}

void b2r(Context& c, const Instruction& i, u32 mask) {
    Row out;
    u32 result = c.warp->barrier_result;
    for (int l = 0; l < lanes; ++l) out.lane[l] = result;
    write(c, i.target_row[0], out, mask);
    write_predicate(c, i.target_predicate[0], result != 0 ? all_lanes : 0, mask);
}
void decode_b2r(Reader& r) {
    if (!r.has("RESULT")) r.unknown("a form that is not known");
    r.target();
    r.maybe_target_predicate(0);
    r.out.unit = Unit::special;
    r.out.run = b2r;
}

void nothing(Context&, const Instruction&, u32) {}

// Instructions whose only effect is time.
void decode_nothing(Reader& r) {
    r.out.unit = Unit::control;
    r.out.run = nothing;
}

void decode_membar(Reader& r) {
    int order = r.choose({"SC", "ALL"}, 0);
    int scope = r.choose({"CTA", "SM", "GPU", "VC", "SYS"}, 2);
    r.out.unit = Unit::fence;
    r.out.delay = scope < 2 ? Delay::fence_block : order == 0 ? Delay::fence_sc : Delay::fence_all;
    r.out.ordered = true;
    r.out.run = nothing;
}

void decode_cctl(Reader& r) {
    // CCTL: only the form that empties the first-level cache; the others are barriers for errors.
    r.out.function = r.has("IVALL") ? invalidates : 0;
    if (r.name() == "CCTL" && r.out.function == 0) r.unknown("a form that is not known");
    r.out.unit = Unit::fence;
    r.out.delay = Delay::cache_control;
    r.out.run = nothing;
}

void sleep(Context& c, const Instruction&, u32) {
    Warp& w = *c.warp;
    w.slept = true;
    // Another group of the warp goes first.
    for (size_t k = 1; k <= w.groups.size(); ++k) {
        size_t other = (w.current + k) % w.groups.size();
        if (w.groups[other].wait == Wait::none) {
            w.current = other;
            break;
        }
    }
}
void decode_nanosleep(Reader& r) {
    r.choose({"SYNCS"}, 0);
    while (r.operands_left() > 0) r.take();
    r.out.unit = Unit::control;
    r.out.delay = Delay::sleep;
    r.out.run = sleep;
}
void decode_yield(Reader& r) {
    r.out.unit = Unit::control;
    r.out.run = sleep;
}

// griddepcontrol.wait: memory accesses check that it came before them.
void wait_for_launches(Context& c, const Instruction&, u32 mask) { c.warp->waited |= mask; }
void decode_acqbulk(Reader& r) {
    r.out.unit = Unit::control;
    r.out.run = wait_for_launches;
}

void trap(Context&, const Instruction&, u32 mask) { throw Fault(Failure::trap, __builtin_ctz(mask), "trap"); }
void decode_bpt(Reader& r) {
    if (!r.has("TRAP")) r.unknown("a form that is not known");
    while (r.operands_left() > 0) r.take();
    r.out.unit = Unit::control;
    r.out.run = trap;
}

}  // namespace

void add_control(DecoderTable& t) {
    t["BRA"] = decode_bra;
    t["BRX"] = t["BRXU"] = decode_brx;
    t["CALL"] = decode_call;
    t["RET"] = decode_ret;
    t["EXIT"] = decode_exit;
    t["BSSY"] = decode_bssy;
    t["BSYNC"] = decode_bsync;
    t["BREAK"] = decode_break;
    t["BMOV"] = decode_bmov;
    t["WARPSYNC"] = decode_warpsync;
    t["BAR"] = decode_bar;
    t["B2R"] = decode_b2r;
    t["MEMBAR"] = decode_membar;
    t["CCTL"] = t["ERRBAR"] = t["CGAERRBAR"] = decode_cctl;
    t["NOP"] = t["ENDCOLLECTIVE"] = decode_nothing;
    // griddepcontrol.launch_dependents: launches do not overlap here.
    t["PREEXIT"] = decode_nothing;
    t["ACQBULK"] = decode_acqbulk;
    t["NANOSLEEP"] = decode_nanosleep;
    t["YIELD"] = decode_yield;
    t["BPT"] = decode_bpt;
}

}  // namespace standin::sm90
