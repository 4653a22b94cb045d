// Instructions that pass values between the lanes of a warp, and special registers.
#include <algorithm>

#include "decode.h"
#include "grid.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

void shfl(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]), *limits = read(c, i.source[2], room[2]);
    u32 inside = 0;
    for (int l = 0; l < lanes; ++l) {
        int by = int(b[l] & 31), clamp = int(limits[l] & 31), segment = int(limits[l] >> 8 & 31);
        int last = (l & segment) | (clamp & ~segment), first = l & segment;
        int from = 0;
        bool good = false;
        switch (i.function) {
            case 0: from = first | (by & ~segment), good = from <= last; break;
            case 1: from = l - by, good = from >= last; break;
            case 2: from = l + by, good = from <= last; break;
            default: from = l ^ by, good = from <= last;
        }
        if (!good) from = l;
        inside |= u32(good) << l;
        out.lane[l] = mask >> (from & 31) & 1 ? a[from & 31] : poison;
    }
    write(c, i.target_row[0], out, mask);
    write_predicate(c, i.target_predicate[0], inside, mask);
}
void decode_shfl(Reader& r) {
    int how = r.choose({"IDX", "UP", "DOWN", "BFLY"}, -1);
    if (how < 0) r.unknown("no kind of shuffle that is known");
    r.out.function = u8(how);
    r.target_predicate(0);
    r.target();
    for (int k = 0; k < 3; ++k) r.integer(k);
    r.out.unit = Unit::shuffle;
    r.out.run = shfl;
}

// The lanes whose predicate is true, and whether all, some, or equally many are.
void vote(Context& c, const Instruction& i, u32) {
    // Lanes that the guard excludes do not take part.
    u32 part = c.group().mask & (c.warp->predicate[i.guard.index] ^ i.guard.flip);
    u32 yes = read(c, i.predicate[0]) & part;
    bool result = i.function == 0 ? yes == part : i.function == 1 ? yes != 0 : yes == 0 || yes == part;
    Row out;
    for (int l = 0; l < lanes; ++l) out.lane[l] = yes;
    u32 writes = i.is_uniform ? all_lanes : part;
    write(c, i.target_row[0], out, writes);
    write_predicate(c, i.target_predicate[0], result ? all_lanes : 0, writes);
}
void decode_vote(Reader& r) {
    int how = r.choose({"ALL", "ANY", "EQ"}, -1);
    if (how < 0) r.unknown("no kind of vote that is known");
    r.out.function = u8(how);
    if (r.next_is_register()) r.target();
    r.target_predicate(0);
    r.predicate(0);
    if (r.name() == "VOTEU") r.out.is_uniform = true;
    r.out.unit = Unit::alu;
    r.out.run = vote;
}

void match(Context& c, const Instruction& i, u32 mask) {
    Row out;
    Row64 a;
    if (i.width == 8) {
        read64(c, i.source[0], a);
    } else {
        Row room;
        const u32* p = read(c, i.source[0], room);
        for (int l = 0; l < lanes; ++l) a.lane[l] = p[l];
    }
    u32 all = 0;
    for (int l = 0; l < lanes; ++l) {
        u32 equal = 0;
        for (int k = 0; k < lanes; ++k) equal |= u32((mask >> k & 1) && a.lane[k] == a.lane[l]) << k;
        bool whole = equal == mask;
        all |= u32(whole) << l;
        out.lane[l] = i.function == 0 ? equal : whole ? mask : 0;
    }
    write(c, i.target_row[0], out, mask);
    write_predicate(c, i.target_predicate[0], all, mask);
}
void decode_match(Reader& r) {
    int how = r.choose({"ANY", "ALL"}, -1);
    if (how < 0) r.unknown("no kind of match that is known");
    r.out.function = u8(how);
    r.out.width = r.has("U64") ? 8 : 4;
    r.maybe_target_predicate(0);
    r.target();
    if (r.out.width == 8)
        r.integer64(0);
    else
        r.integer(0);
    r.out.unit = Unit::shuffle;
    r.out.run = match;
}

void redux(Context& c, const Instruction& i, u32) {
    u32 part = c.group().mask & (c.warp->predicate[i.guard.index] ^ i.guard.flip);
    Row room, out;
    const u32* a = read(c, i.source[0], room);
    bool first = true;
    u32 x = 0;
    for (int l = 0; l < lanes; ++l) {
        if (!(part >> l & 1)) continue;
        u32 y = a[l];
        if (first)
            x = y;
        else
            switch (i.function) {
                case 0: x += y; break;
                case 1: x = i.is_signed ? u32(std::min(i32(x), i32(y))) : std::min(x, y); break;
                case 2: x = i.is_signed ? u32(std::max(i32(x), i32(y))) : std::max(x, y); break;
                case 3: x &= y; break;
                case 4: x |= y; break;
                default: x ^= y;
            }
        first = false;
    }
    for (int l = 0; l < lanes; ++l) out.lane[l] = x;
    write(c, i.target_row[0], out, all_lanes);
}
void decode_redux(Reader& r) {
    int how = r.choose({"SUM", "MIN", "MAX", "AND", "OR", "XOR"}, 3);
    r.out.function = u8(how);
    r.out.is_signed = r.has("S32");
    r.target();
    r.integer(0);
    r.out.is_uniform = true;
    r.out.unit = Unit::shuffle;
    r.out.delay = Delay::redux;
    r.out.run = redux;
}

enum Special : u8 { zero, tid_x, tid_y, tid_z, ctaid_x, ctaid_y, ctaid_z, lane_id, warp_id, cga_cta, clock, clock_high,
                    lanes_eq, lanes_lt, lanes_le, lanes_gt, lanes_ge, multiprocessor_id, shared_high };

int special(const std::string& name) {
    static const std::map<std::string, int> all = {
        {"SRZ", zero}, {"SR_TID.X", tid_x}, {"SR_TID.Y", tid_y}, {"SR_TID.Z", tid_z}, {"SR_CTAID.X", ctaid_x},
        {"SR_CTAID.Y", ctaid_y}, {"SR_CTAID.Z", ctaid_z}, {"SR_LANEID", lane_id},
        {"SR_CgaCtaId", cga_cta}, {"SR_CLOCKLO", clock}, {"SR_CLOCKHI", clock_high}, {"SR_EQMASK", lanes_eq},
        {"SR_LTMASK", lanes_lt}, {"SR_LEMASK", lanes_le}, {"SR_GTMASK", lanes_gt}, {"SR_GEMASK", lanes_ge},
        {"SR_VIRTUALSMID", multiprocessor_id}, {"SR_SWINHI", shared_high},
    };
    auto found = all.find(name);
    return found == all.end() ? -1 : found->second;
}

u32 special_value(const Context& c, u8 which, int l) {
    const unsigned* d = c.grid->request->block;
    unsigned thread = c.warp->number * lanes + unsigned(l);
    switch (which) {
        case tid_x: return thread % d[0];
        case tid_y: return thread / d[0] % d[1];
        case tid_z: return thread / d[0] / d[1];
        case ctaid_x: return c.block->index[0];
        case ctaid_y: return c.block->index[1];
        case ctaid_z: return c.block->index[2];
        case lane_id: return u32(l);
        case clock: return u32(u64(c.warp->last));
        case clock_high: return u32(u64(c.warp->last) >> 32);
        case lanes_eq: return 1u << l;
        case lanes_lt: return (1u << l) - 1;
        case lanes_le: return (2u << l) - 1;
        case lanes_gt: return ~((2u << l) - 1);
        case lanes_ge: return ~((1u << l) - 1);
        case multiprocessor_id: return c.block->number % 132;
        case shared_high: return shared_window;
        default: return 0;
    }
}

void s2r(Context& c, const Instruction& i, u32 mask) {
    Row out, high;
    for (int l = 0; l < lanes; ++l) {
        out.lane[l] = special_value(c, i.function, i.is_uniform ? 0 : l);
        high.lane[l] = i.function == clock ? special_value(c, clock_high, l) : 0;
    }
    write(c, i.target_row[0], out, mask);
    if (i.width == 8) write(c, u16(i.target_row[0] + 1), high, mask);
}
void decode_s2r(Reader& r) {
    Instruction& i = r.out;
    bool paired = r.name() == "CS2R";
    i.width = paired && !r.has("32") ? 8 : 4;
    r.target();
    std::string name = r.take();
    int which = special(name);
    if (which < 0) r.unknown("special register " + name);
    i.function = u8(which);
    i.unit = paired ? Unit::alu : Unit::special;
    i.run = s2r;
}

}  // namespace

void add_warp_wide(DecoderTable& t) {
    t["SHFL"] = decode_shfl;
    t["VOTE"] = t["VOTEU"] = decode_vote;
    t["MATCH"] = decode_match;
    t["REDUX"] = decode_redux;
    t["S2R"] = t["S2UR"] = t["CS2R"] = decode_s2r;
}

}  // namespace standin::sm90
