// Integer instructions: arithmetic, logic, shifts, selection of bytes and bits.
#include <algorithm>

#include "decode.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

// A sum of three with carries. A negated term contributes its complement and one, so that the carry of a
// difference means "no borrow"; with .X it contributes its complement only.
void iadd3(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out, carry1, carry2;
    const u32* x[3];
    u64 ones = 0;
    for (int k = 0; k < 3; ++k) x[k] = read(c, i.source[k], room[k]);
    ones = i.value;
    u32 in = i.carry ? read(c, i.predicate[0]) : 0, in2 = i.carry ? read(c, i.predicate[1]) : 0;
    for (int l = 0; l < lanes; ++l) {
        u64 sum = u64(x[0][l]) + x[1][l] + x[2][l] + ones + (in >> l & 1) + (in2 >> l & 1);
        out.lane[l] = u32(sum);
        carry1.lane[l] = u32(sum >> 32);
        carry2.lane[l] = u32(sum >> 33);
    }
    write(c, i.target_row[0], out, mask);
    write_predicate(c, i.target_predicate[0], bits(carry1), mask);
    write_predicate(c, i.target_predicate[1], bits(carry2), mask);
}

void decode_iadd3(Reader& r) {
    Instruction& i = r.out;
    i.carry = r.has("X");
    r.target();
    r.maybe_target_predicate(0);
    r.maybe_target_predicate(1);
    for (int k = 0; k < 3; ++k) {
        r.integer(k);
        Operand& o = i.source[k];
        if (o.kind == Kind::immediate || o.modify == 0) continue;
        if (o.modify == negate_int) {
            if (o.kind == Kind::row && o.row == zero_row && !i.carry) {
                o.modify = 0;   // -0 has no carry
                continue;
            }
            o.modify = invert;
            i.value += i.carry ? 0 : 1;
        } else if (o.modify != invert) {
            r.unknown("modifiers of a term");
        }
    }
    if (i.carry) {
        r.maybe_predicate(0);
        if (r.operands_left() > 0)
            r.predicate(1);
        else
            i.predicate[1] = {true_predicate, all_lanes};
    }
    i.run = iadd3;
}

u32 add2(const Instruction&, u32 a, u32 b) { return a + b; }
void decode_viadd(Reader& r) {
    r.target();
    r.integer(0);
    r.integer(1);
    r.out.run = map2<add2>;
}

u32 lower(bool is_signed, u32 a, u32 b) { return is_signed ? u32(std::min(i32(a), i32(b))) : std::min(a, b); }
u32 upper(bool is_signed, u32 a, u32 b) { return is_signed ? u32(std::max(i32(a), i32(b))) : std::max(a, b); }

// The lower or higher of two values, by a predicate; with `carry`, of a sum and a value.
void minimum_maximum(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    const u32* d = i.carry ? read(c, i.source[2], room[2]) : b;
    u32 least = read(c, i.predicate[0]);
    for (int l = 0; l < lanes; ++l) {
        u32 x = i.carry ? a[l] + b[l] : a[l];
        u32 chosen = least >> l & 1 ? lower(i.is_signed, x, d[l]) : upper(i.is_signed, x, d[l]);
        out.lane[l] = i.saturate && i32(chosen) < 0 ? 0 : chosen;
    }
    write(c, i.target_row[0], out, mask);
}
void decode_minimum_maximum(Reader& r) {
    r.out.is_signed = !r.has("U32");
    r.has("S32");
    r.out.saturate = r.has("RELU");
    r.out.carry = r.name() == "VIADDMNMX";
    r.target();
    r.integer(0);
    r.integer(1);
    if (r.out.carry) r.integer(2);
    r.predicate(0);
    r.out.run = minimum_maximum;
}

// The smallest or the largest of three.
void minimum_maximum_of_three(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]), *d = read(c, i.source[2], room[2]);
    u32 smallest = read(c, i.predicate[0]);
    for (int l = 0; l < lanes; ++l) {
        auto less = [&](u32 x, u32 y) { return i.is_signed ? i32(x) < i32(y) : x < y; };
        bool wants_less = smallest >> l & 1;
        u32 two = less(a[l], b[l]) == wants_less ? a[l] : b[l];
        out.lane[l] = less(two, d[l]) == wants_less ? two : d[l];
    }
    write(c, i.target_row[0], out, mask);
}
void decode_minimum_maximum_of_three(Reader& r) {
    r.out.is_signed = !r.has("U32");
    r.has("S32");
    r.target();
    r.integer(0);
    r.integer(1);
    r.integer(2);
    r.predicate(0);
    r.out.run = minimum_maximum_of_three;
}

u32 absolute(const Instruction&, u32 a) { return i32(a) < 0 ? 0u - a : a; }
void decode_iabs(Reader& r) {
    r.target();
    r.integer(0);
    r.out.run = map1<absolute>;
}

u32 multiply_add(const Instruction&, u32 a, u32 b, u32 d) { return a * b + d; }
void multiply_add_carry(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]), *d = read(c, i.source[2], room[2]);
    u32 in = read(c, i.predicate[0]);
    for (int l = 0; l < lanes; ++l) out.lane[l] = a[l] * b[l] + d[l] + (in >> l & 1);
    write(c, i.target_row[0], out, mask);
}

// 32 x 32 bits + 64 bits.
void wide_multiply_add(Context& c, const Instruction& i, u32 mask) {
    Row room[2], carry;
    Row64 sum;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    read64(c, i.source[2], sum);
    u32 in = i.carry ? read(c, i.predicate[0]) : 0;
    for (int l = 0; l < lanes; ++l) {
        u64 product = i.is_signed ? u64(i64(i32(a[l])) * i64(i32(b[l]))) : u64(a[l]) * b[l];
        u64 before = sum.lane[l];
        sum.lane[l] = product + before + (in >> l & 1);
        carry.lane[l] = sum.lane[l] < product || (sum.lane[l] == product && before != 0);
    }
    if (i.high) {
        Row out;
        for (int l = 0; l < lanes; ++l) out.lane[l] = u32(sum.lane[l] >> 32);
        write(c, i.target_row[0], out, mask);
    } else {
        write64(c, i.target_row[0], sum, mask);
    }
    write_predicate(c, i.target_predicate[0], bits(carry), mask);
}

void decode_imad(Reader& r) {
    Instruction& i = r.out;
    i.unit = Unit::imad;
    // Names that the disassembler gives to special cases.
    r.choose({"MOV", "IADD", "SHL"}, 0);
    bool wide = r.has("WIDE");
    i.high = r.has("HI");
    i.is_signed = !r.has("U32");
    i.carry = r.has("X");
    r.target();
    r.maybe_target_predicate(0);
    r.integer(0);
    r.integer(1);
    if (wide || i.high) {
        r.integer64(2);
        i.run = wide_multiply_add;
        if (!wide && i.source[2].kind == Kind::constant) r.unknown("a 64-bit constant");
    } else {
        r.integer(2);
        i.run = i.carry ? multiply_add_carry : map3<multiply_add>;
        if (i.target_predicate[0] != discard_predicate) r.unknown("a carry of 32 bits");
    }
    if (i.carry) r.predicate(0);
}

void lea(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out, carry;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    for (int l = 0; l < lanes; ++l) {
        u64 sum = u64(u32(a[l] << i.value)) + b[l];
        out.lane[l] = u32(sum);
        carry.lane[l] = u32(sum >> 32);
    }
    write(c, i.target_row[0], out, mask);
    write_predicate(c, i.target_predicate[0], bits(carry), mask);
}

// The upper half of a shifted 64-bit value, plus b and a carry.
void lea_high(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out, carry;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    const u32* high = i.is_signed ? nullptr : read(c, i.source[2], room[2]);
    u32 in = i.carry ? read(c, i.predicate[0]) : 0;
    for (int l = 0; l < lanes; ++l) {
        u64 value = i.is_signed ? u64(i64(i32(a[l]))) : a[l] | u64(high[l]) << 32;
        u64 sum = u64(u32((value << i.value) >> 32)) + b[l] + (in >> l & 1);
        out.lane[l] = u32(sum);
        carry.lane[l] = u32(sum >> 32);
    }
    write(c, i.target_row[0], out, mask);
    write_predicate(c, i.target_predicate[0], bits(carry), mask);
}

void decode_lea(Reader& r) {
    Instruction& i = r.out;
    i.high = r.has("HI");
    i.carry = r.has("X");
    i.is_signed = r.has("SX32");
    r.target();
    r.maybe_target_predicate(0);
    r.integer(0);
    r.integer(1);
    if (i.target_predicate[0] != discard_predicate && (i.source[0].modify | i.source[1].modify) != 0)
        r.unknown("the carry of a negated term");
    if (i.high && !i.is_signed) r.integer(2);
    i.value = u32(r.number()) & 31;
    if (i.carry) r.predicate(0);
    if ((i.carry || i.is_signed) && !i.high) r.unknown("modifiers");
    i.run = i.high ? lea_high : lea;
}

void lop3(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]), *d = read(c, i.source[2], room[2]);
    u32 keep[8];
    for (int k = 0; k < 8; ++k) keep[k] = i.table[0] >> k & 1 ? all_lanes : 0;
    for (int l = 0; l < lanes; ++l) {
        u32 x = a[l], y = b[l], z = d[l];
        out.lane[l] = (keep[7] & x & y & z) | (keep[6] & x & y & ~z) | (keep[5] & x & ~y & z) | (keep[4] & x & ~y & ~z) |
                      (keep[3] & ~x & y & z) | (keep[2] & ~x & y & ~z) | (keep[1] & ~x & ~y & z) | (keep[0] & ~x & ~y & ~z);
    }
    write(c, i.target_row[0], out, mask);
    if (i.target_predicate[0] != discard_predicate) {
        u32 any = bits(out), other = read(c, i.predicate[0]);
        write_predicate(c, i.target_predicate[0], i.combine == 0 ? any | other : any & other, mask);
    }
}
void decode_lop3(Reader& r) {
    r.has("LUT");
    r.out.combine = r.has("PAND") ? 1 : 0;
    r.maybe_target_predicate(0);
    r.target();
    r.integer(0);
    r.integer(1);
    r.integer(2);
    r.out.table[0] = u8(r.number());
    r.out.predicate[0] = {true_predicate, r.out.combine == 0 ? all_lanes : 0};
    r.maybe_predicate(0);
    r.out.run = lop3;
}

// Shift of the 64-bit value {source 2, source 0}.
void shf(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *low = read(c, i.source[0], room[0]), *by = read(c, i.source[1], room[1]);
    const u32* high = read(c, i.source[2], room[2]);
    const u32 limit = i.width;   // 32 or 64
    const bool left = i.function == 0;
    for (int l = 0; l < lanes; ++l) {
        u32 n = i.wrap ? by[l] & (limit - 1) : std::min(by[l], limit);
        u64 value = low[l] | u64(high[l]) << 32;
        u64 left_value = n > 63 ? 0 : value << n;
        u64 right_value = i.is_signed ? u64(i64(value) >> std::min(n, 63u)) : n > 63 ? 0 : value >> n;
        u64 result = left ? left_value : right_value;
        out.lane[l] = i.high ? u32(result >> 32) : u32(result);
    }
    write(c, i.target_row[0], out, mask);
}
void decode_shf(Reader& r) {
    Instruction& i = r.out;
    i.function = u8(r.choose({"L", "R"}, 2));
    if (i.function == 2) r.unknown("neither left nor right");
    i.wrap = r.has("W");
    int type = r.choose({"U32", "S32", "U64", "S64"}, 0);
    i.is_signed = type % 2 == 1;
    i.width = type < 2 ? 32 : 64;
    i.high = r.has("HI");
    r.target();
    r.integer(0);
    r.integer(1);
    r.integer(2);
    i.run = shf;
}

u32 select_bytes(const Instruction&, u32 a, u32 selector, u32 b) {
    u64 bytes = a | u64(b) << 32;
    u32 out = 0;
    for (int k = 0; k < 4; ++k) {
        u32 n = selector >> (4 * k) & 15;
        u32 byte = u32(bytes >> (8 * (n & 7))) & 255;
        if (n & 8) byte = byte & 128 ? 255 : 0;
        out |= byte << (8 * k);
    }
    return out;
}
void decode_prmt(Reader& r) {
    r.target();
    r.integer(0);
    r.integer(1);
    r.integer(2);
    r.out.run = map3<select_bytes>;
}

u32 same(const Instruction&, u32 a) { return a; }
void decode_mov(Reader& r) {
    r.target();
    r.integer(0);
    if (r.operands_left() > 0 && r.number() != 15) r.unknown("a mask of bytes");
    r.out.run = map1<same>;
}

u32 reversed(const Instruction&, u32 a) {
    a = (a >> 1 & 0x55555555u) | (a & 0x55555555u) << 1;
    a = (a >> 2 & 0x33333333u) | (a & 0x33333333u) << 2;
    a = (a >> 4 & 0x0f0f0f0fu) | (a & 0x0f0f0f0fu) << 4;
    return __builtin_bswap32(a);
}
void decode_brev(Reader& r) {
    r.target();
    r.integer(0);
    r.out.unit = r.out.is_uniform ? Unit::uniform : Unit::xu;
    r.out.run = map1<reversed>;
}

// Position of the highest set bit, of signed values the highest one that differs from the sign.
u32 leading(const Instruction& i, u32 a) {
    if (i.is_signed && i32(a) < 0) a = ~a;
    if (a == 0) return ~0u;
    u32 at = 31u - u32(__builtin_clz(a));
    return i.high ? 31 - at : at;
}
void decode_flo(Reader& r) {
    r.out.is_signed = !r.has("U32");
    r.out.high = r.has("SH");
    r.target();
    r.maybe_target_predicate(0);
    if (r.out.target_predicate[0] != discard_predicate) r.unknown("a predicate");
    r.integer(0);
    r.out.unit = r.out.is_uniform ? Unit::uniform : Unit::xu;
    r.out.run = map1<leading>;
}

u32 population(const Instruction&, u32 a) { return u32(__builtin_popcount(a)); }
void decode_popc(Reader& r) {
    r.target();
    r.integer(0);
    r.out.unit = r.out.is_uniform ? Unit::uniform : Unit::xu;
    r.out.run = map1<population>;
}

// A mask of `width` ones from bit `position` on.
u32 bit_mask(const Instruction& i, u32 position, u32 width) {
    if (i.wrap) position &= 31, width &= 31;
    if (position > 31) return 0;
    u32 ones = width > 31 ? ~0u : (1u << width) - 1;
    return ones << position;
}
void decode_bmsk(Reader& r) {
    r.out.wrap = r.choose({"C", "W"}, 0) == 1;
    r.target();
    r.integer(0);
    r.integer(1);
    r.out.run = map2<bit_mask>;
}

// The lower `width` bits, extended.
u32 extended(const Instruction& i, u32 a, u32 width) {
    if (i.wrap) width &= 31;
    if (width > 31) return a;
    if (width == 0) return 0;
    u32 low = a & ((1u << width) - 1);
    return i.is_signed && (a >> (width - 1) & 1) ? low | ~0u << width : low;
}
void decode_sgxt(Reader& r) {
    r.out.is_signed = !r.has("U32");
    r.out.wrap = r.has("W");
    r.target();
    r.integer(0);
    r.integer(1);
    r.out.run = map2<extended>;
}

// A uniform register from the first lane.
void r2ur(Context& c, const Instruction& i, u32) {
    Row room, out;
    const u32* a = read(c, i.source[0], room);
    u32 x = a[__builtin_ctz(c.group().mask)];
    for (int l = 0; l < lanes; ++l) out.lane[l] = x;
    write(c, i.target_row[0], out, all_lanes);
}
void decode_r2ur(Reader& r) {
    if (r.next_is_predicate()) r.unknown("a predicate");
    r.target();
    r.integer(0);
    r.out.is_uniform = true;
    r.out.run = r2ur;
    r.out.unit = Unit::uniform;
    r.out.delay = Delay::uniform_register;
}

}  // namespace

void add_integer(DecoderTable& t) {
    t["IADD3"] = decode_iadd3;
    t["UIADD3"] = uniform<decode_iadd3>;
    t["VIADD"] = decode_viadd;
    t["VIADDMNMX"] = t["VIMNMX"] = t["IMNMX"] = decode_minimum_maximum;
    t["VIMNMX3"] = decode_minimum_maximum_of_three;
    t["UVIMNMX"] = t["UIMNMX"] = uniform<decode_minimum_maximum>;
    t["IABS"] = decode_iabs;
    t["IMAD"] = decode_imad;
    t["UIMAD"] = uniform<decode_imad>;
    t["LEA"] = decode_lea;
    t["ULEA"] = uniform<decode_lea>;
    t["LOP3"] = decode_lop3;
    t["ULOP3"] = uniform<decode_lop3>;
    t["SHF"] = decode_shf;
    t["USHF"] = uniform<decode_shf>;
    t["PRMT"] = decode_prmt;
    t["UPRMT"] = uniform<decode_prmt>;
    t["MOV"] = decode_mov;
    t["UMOV"] = uniform<decode_mov>;
    t["BREV"] = decode_brev;
    t["UBREV"] = uniform<decode_brev>;
    t["FLO"] = decode_flo;
    t["UFLO"] = uniform<decode_flo>;
    t["POPC"] = decode_popc;
    t["UPOPC"] = uniform<decode_popc>;
    t["BMSK"] = decode_bmsk;
    t["UBMSK"] = uniform<decode_bmsk>;
    t["SGXT"] = decode_sgxt;
    t["USGXT"] = uniform<decode_sgxt>;
    t["R2UR"] = decode_r2ur;
}

}  // namespace standin::sm90
