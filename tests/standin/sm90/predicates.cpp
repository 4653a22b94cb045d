// Comparisons, logic on predicates, and selection by them.
#include <math.h>

#include "decode.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

enum Compare : u8 { never, lt, eq, le, gt, ne, ge, ordered, unordered, ltu, equ, leu, gtu, neu, geu, always };

u8 comparison(Reader& r, bool floats) {
    static const std::initializer_list<const char*> names = {"F",   "LT",  "EQ",  "LE",  "GT",  "NE",  "GE",  "NUM",
                                                             "NAN", "LTU", "EQU", "LEU", "GTU", "NEU", "GEU", "T"};
    int k = r.choose(names, -1);
    if (k < 0 || (!floats && k > ge && k != always)) r.unknown("no comparison that is known");
    return u8(k);
}

// Of each lane, as 0 or 1.
template <class T>
void compare(u8 how, const T* a, const T* b, Row& out) {
    switch (how) {
        case never: for (int l = 0; l < lanes; ++l) out.lane[l] = 0; break;
        case lt: for (int l = 0; l < lanes; ++l) out.lane[l] = a[l] < b[l]; break;
        case eq: for (int l = 0; l < lanes; ++l) out.lane[l] = a[l] == b[l]; break;
        case le: for (int l = 0; l < lanes; ++l) out.lane[l] = a[l] <= b[l]; break;
        case gt: for (int l = 0; l < lanes; ++l) out.lane[l] = a[l] > b[l]; break;
        case ne: for (int l = 0; l < lanes; ++l) out.lane[l] = (a[l] < b[l]) | (a[l] > b[l]); break;
        case ge: for (int l = 0; l < lanes; ++l) out.lane[l] = a[l] >= b[l]; break;
        case ordered: for (int l = 0; l < lanes; ++l) out.lane[l] = (a[l] == a[l]) & (b[l] == b[l]); break;
        case unordered: for (int l = 0; l < lanes; ++l) out.lane[l] = (a[l] != a[l]) | (b[l] != b[l]); break;
        case ltu: for (int l = 0; l < lanes; ++l) out.lane[l] = !(a[l] >= b[l]); break;
        case equ: for (int l = 0; l < lanes; ++l) out.lane[l] = !((a[l] < b[l]) | (a[l] > b[l])); break;
        case leu: for (int l = 0; l < lanes; ++l) out.lane[l] = !(a[l] > b[l]); break;
        case gtu: for (int l = 0; l < lanes; ++l) out.lane[l] = !(a[l] <= b[l]); break;
        case neu: for (int l = 0; l < lanes; ++l) out.lane[l] = !(a[l] == b[l]); break;
        case geu: for (int l = 0; l < lanes; ++l) out.lane[l] = !(a[l] < b[l]); break;
        default: for (int l = 0; l < lanes; ++l) out.lane[l] = 1;
    }
}

u8 combination(Reader& r) { return u8(r.choose({"AND", "OR", "XOR"}, 0)); }

void finish_set(Context& c, const Instruction& i, u32 result, u32 mask) {
    u32 other = read(c, i.predicate[0]);
    write_predicate(c, i.target_predicate[0], combined(i.combine, result, other), mask);
    write_predicate(c, i.target_predicate[1], combined(i.combine, ~result, other), mask);
}

void isetp(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    if (i.is_signed)
        compare(i.compare, reinterpret_cast<const i32*>(a), reinterpret_cast<const i32*>(b), out);
    else
        compare(i.compare, a, b, out);
    u32 result = bits(out);
    if (i.carry) {
        // The upper halves of 64-bit values: where they are equal, the lower halves decide.
        Row equal;
        compare(eq, a, b, equal);
        u32 same = bits(equal), lower = read(c, i.predicate[1]);
        result = (result & ~same) | (lower & same);
    }
    finish_set(c, i, result, mask);
}
void decode_isetp(Reader& r) {
    Instruction& i = r.out;
    i.is_signed = !r.has("U32");
    r.has("S32");
    i.carry = r.has("EX");
    i.compare = comparison(r, false);
    i.combine = combination(r);
    r.target_predicate(0);
    r.target_predicate(1);
    r.integer(0);
    r.integer(1);
    r.predicate(0);
    if (i.carry) r.predicate(1);
    i.run = isetp;
}

void flush(const u32* from, Row& room) {
    for (int l = 0; l < lanes; ++l) room.lane[l] = (from[l] & 0x7f800000u) == 0 ? from[l] & 0x80000000u : from[l];
}

void fsetp(Context& c, const Instruction& i, u32 mask) {
    Row room[4], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    if (i.flush) {
        flush(a, room[2]);
        flush(b, room[3]);
        a = room[2].lane, b = room[3].lane;
    }
    compare(i.compare, reinterpret_cast<const float*>(a), reinterpret_cast<const float*>(b), out);
    if (i.function == 0) {
        finish_set(c, i, bits(out), mask);
        return;
    }
    u32 result = combined(i.combine, bits(out), read(c, i.predicate[0]));
    const u32 one = i.function == 1 ? 0x3f800000u : ~0u;
    for (int l = 0; l < lanes; ++l) out.lane[l] = result >> l & 1 ? one : 0;
    write(c, i.target_row[0], out, mask);
}
void decode_fsetp(Reader& r) {
    Instruction& i = r.out;
    i.flush = r.has("FTZ");
    i.compare = comparison(r, true);
    i.combine = combination(r);
    r.target_predicate(0);
    r.target_predicate(1);
    r.floating(0);
    r.floating(1);
    r.predicate(0);
    i.run = fsetp;
}
void decode_fset(Reader& r) {
    Instruction& i = r.out;
    i.flush = r.has("FTZ");
    i.function = r.has("BF") ? 1 : 2;
    i.compare = comparison(r, true);
    i.combine = combination(r);
    r.target();
    r.floating(0);
    r.floating(1);
    r.predicate(0);
    i.run = fsetp;
}

void dsetp(Context& c, const Instruction& i, u32 mask) {
    Row64 a, b;
    Row out;
    read64(c, i.source[0], a);
    read64(c, i.source[1], b);
    double x[lanes], y[lanes];
    memcpy(x, a.lane, sizeof(x));
    memcpy(y, b.lane, sizeof(y));
    compare(i.compare, x, y, out);
    finish_set(c, i, bits(out), mask);
}
void decode_dsetp(Reader& r) {
    Instruction& i = r.out;
    i.compare = comparison(r, true);
    i.combine = combination(r);
    r.target_predicate(0);
    r.target_predicate(1);
    r.double_precision(0);
    r.double_precision(1);
    r.predicate(0);
    i.unit = Unit::fp64;
    i.run = dsetp;
}

// Whether a division of floats needs the slow path. The hardware's rule is not documented; this one covers
// every quotient whose fast path could overflow, underflow or lose bits.
void fchk(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    for (int l = 0; l < lanes; ++l) {
        int x = int(a[l] >> 23 & 255), y = int(b[l] >> 23 & 255);
        out.lane[l] = x == 255 || y == 255 || y == 0 || y >= 253 || x - y >= 126 || x - y <= -125 || x <= 24;
    }
    write_predicate(c, i.target_predicate[0], bits(out), mask);
}
void decode_fchk(Reader& r) {
    r.has("DIVIDE");
    r.target_predicate(0);
    r.floating(0);
    r.floating(1);
    r.out.unit = Unit::xu;
    r.out.run = fchk;
}

u32 looked_up(u8 table, u32 a, u32 b, u32 d) {
    u32 out = 0;
    for (int k = 0; k < 8; ++k)
        if (table >> k & 1) out |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? d : ~d);
    return out;
}
void plop3(Context& c, const Instruction& i, u32 mask) {
    u32 a = read(c, i.predicate[0]), b = read(c, i.predicate[1]), d = read(c, i.predicate[2]);
    write_predicate(c, i.target_predicate[0], looked_up(i.table[0], a, b, d), mask);
    write_predicate(c, i.target_predicate[1], looked_up(i.table[1], a, b, d), mask);
}
void decode_plop3(Reader& r) {
    r.has("LUT");
    r.target_predicate(0);
    r.target_predicate(1);
    for (int k = 0; k < 3; ++k) r.predicate(k);
    r.out.table[0] = u8(r.number());
    r.out.table[1] = u8(r.number());
    r.out.run = plop3;
}

void select(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    u32 which = read(c, i.predicate[0]);
    for (int l = 0; l < lanes; ++l) out.lane[l] = which >> l & 1 ? a[l] : b[l];
    write(c, i.target_row[0], out, mask);
}
void decode_sel(Reader& r) {
    r.target();
    r.integer(0);
    r.integer(1);
    r.predicate(0);
    r.out.run = select;
}
void decode_fsel(Reader& r) {
    r.has("FTZ");
    r.target();
    r.floating(0);
    r.floating(1);
    r.predicate(0);
    r.out.run = select;
}

// The predicates of each lane as a number, in the bits of a mask.
void p2r(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out;
    const u32 *a = read(c, i.source[0], room[0]), *select = read(c, i.source[1], room[1]);
    const u8 first = i.function;
    for (int l = 0; l < lanes; ++l) {
        u32 x = 0;
        for (u8 k = 0; k < 7; ++k) x |= (c.warp->predicate[first + k] >> l & 1) << k;
        out.lane[l] = (a[l] & ~(select[l] << i.scale)) | (x & select[l]) << i.scale;
    }
    write(c, i.target_row[0], out, mask);
}
void decode_p2r(Reader& r) {
    r.out.scale = u8(8 * r.choose({"B0", "B1", "B2", "B3"}, 0));
    r.target();
    std::string all = r.take();
    if (all != "PR" && all != "UPR") r.unknown("'" + all + "'");
    r.out.function = all == "UPR" ? uniform_predicate : 0;
    r.integer(0);
    r.integer(1);
    r.out.run = p2r;
}
void r2p(Context& c, const Instruction& i, u32 mask) {
    Row room[2];
    const u32 *a = read(c, i.source[0], room[0]), *select = read(c, i.source[1], room[1]);
    for (u8 k = 0; k < 7; ++k) {
        u32 value = 0, chosen = 0;
        for (int l = 0; l < lanes; ++l) {
            value |= (a[l] >> (i.scale + k) & 1) << l;
            chosen |= (select[l] >> k & 1) << l;
        }
        write_predicate(c, u8(i.function + k), value, mask & chosen);
    }
}
void decode_r2p(Reader& r) {
    r.out.scale = u8(8 * r.choose({"B0", "B1", "B2", "B3"}, 0));
    std::string all = r.take();
    if (all != "PR" && all != "UPR") r.unknown("'" + all + "'");
    r.out.function = all == "UPR" ? uniform_predicate : 0;
    r.integer(0);
    r.integer(1);
    r.out.run = r2p;
}

}  // namespace

void add_predicates(DecoderTable& t) {
    t["ISETP"] = decode_isetp;
    t["UISETP"] = uniform<decode_isetp>;
    t["FSETP"] = decode_fsetp;
    t["FSET"] = decode_fset;
    t["DSETP"] = decode_dsetp;
    t["FCHK"] = decode_fchk;
    t["PLOP3"] = decode_plop3;
    t["UPLOP3"] = uniform<decode_plop3>;
    t["SEL"] = decode_sel;
    t["USEL"] = uniform<decode_sel>;
    t["FSEL"] = decode_fsel;
    t["P2R"] = decode_p2r;
    t["UP2UR"] = uniform<decode_p2r>;
    t["R2P"] = decode_r2p;
    t["UR2UP"] = uniform<decode_r2p>;
}

}  // namespace standin::sm90
