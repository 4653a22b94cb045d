// Reading of sources and writing of targets, for all lanes at once.
#pragma once
#include <string.h>

#include "warp.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace standin::sm90 {

inline float as_float(u32 x) {
    float f;
    memcpy(&f, &x, 4);
    return f;
}
inline u32 as_word(float f) {
    u32 x;
    memcpy(&x, &f, 4);
    return x;
}
inline double as_double(u64 x) {
    double f;
    memcpy(&f, &x, 8);
    return f;
}
inline u64 as_word(double f) {
    u64 x;
    memcpy(&x, &f, 8);
    return x;
}

inline u32 modified(u32 x, u8 modify) {
    if (modify & absolute_int) x = i32(x) < 0 ? 0u - x : x;
    if (modify & negate_int) x = 0u - x;
    if (modify & invert) x = ~x;
    if (modify & absolute_float) x &= 0x7fffffffu;
    if (modify & negate_float) x ^= 0x80000000u;
    return x;
}

inline u32 constant_word(const Context& c, u8 bank, u32 offset) {
    u32 x;
    if (offset + 4 > c.bank_bytes[bank]) throw Fault(Failure::illegal_address, -1, "a constant beyond its bank");
    memcpy(&x, c.bank[bank] + offset, 4);
    return x;
}

// The source's value in every lane, in `room` if it is nowhere else.
inline const u32* read(const Context& c, const Operand& o, Row& room) {
    const u32* p;
    if (o.kind == Kind::row) {
        p = c.rows[o.row].lane;
        if (o.modify == 0) return p;
        if (o.modify == negate_float) {
            for (int l = 0; l < lanes; ++l) room.lane[l] = p[l] ^ 0x80000000u;
        } else {
            u8 m = o.modify;
            for (int l = 0; l < lanes; ++l) room.lane[l] = modified(p[l], m);
        }
        return room.lane;
    }
    if (o.kind == Kind::immediate) return o.pool->lane;
    u32 x = modified(constant_word(c, o.bank, o.offset), o.modify);
    for (int l = 0; l < lanes; ++l) room.lane[l] = x;
    return room.lane;
}

struct alignas(64) Row64 {
    u64 lane[lanes];
};

// The same for a source of 64 bits. Modifiers of floating point concern the upper half.
inline void read64(const Context& c, const Operand& o, Row64& out) {
    if (o.kind == Kind::row) {
        const u32 *low = c.rows[o.row].lane, *high = o.row == zero_row ? low : c.rows[o.row + 1].lane;
        for (int l = 0; l < lanes; ++l) out.lane[l] = low[l] | u64(high[l]) << 32;
    } else {
        u64 x = o.kind == Kind::immediate
                    ? o.pool->lane[0] | u64(o.pool[1].lane[0]) << 32
                    : constant_word(c, o.bank, o.offset) | u64(constant_word(c, o.bank, o.offset + 4)) << 32;
        for (int l = 0; l < lanes; ++l) out.lane[l] = x;
    }
    if (o.modify & absolute_float)
        for (int l = 0; l < lanes; ++l) out.lane[l] &= 0x7fffffffffffffffull;
    if (o.modify & negate_float)
        for (int l = 0; l < lanes; ++l) out.lane[l] ^= 0x8000000000000000ull;
    if (o.modify & negate_int)
        for (int l = 0; l < lanes; ++l) out.lane[l] = 0 - out.lane[l];
    if (o.modify & invert)
        for (int l = 0; l < lanes; ++l) out.lane[l] = ~out.lane[l];
}

inline void write(Context& c, u16 row, const Row& value, u32 mask) {
    u32* out = c.rows[row].lane;
    if (mask == all_lanes) {
        memcpy(out, value.lane, sizeof(value.lane));
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_store_epi32(out, __mmask16(mask), _mm512_load_si512(value.lane));
    _mm512_mask_store_epi32(out + 16, __mmask16(mask >> 16), _mm512_load_si512(value.lane + 16));
#else
    for (int l = 0; l < lanes; ++l) out[l] = mask >> l & 1 ? value.lane[l] : out[l];
#endif
}

inline void write64(Context& c, u16 row, const Row64& value, u32 mask) {
    Row low, high;
    for (int l = 0; l < lanes; ++l) low.lane[l] = u32(value.lane[l]), high.lane[l] = u32(value.lane[l] >> 32);
    write(c, row, low, mask);
    write(c, u16(row + 1), high, mask);
}

inline u32 read(const Context& c, PredicateOperand p) { return c.warp->predicate[p.index] ^ p.flip; }

inline void write_predicate(Context& c, u8 index, u32 value, u32 mask) {
    u32& p = c.warp->predicate[index];
    p = (p & ~mask) | (value & mask);
}

// One bit a lane, from lanes that are zero or not.
inline u32 bits(const Row& flags) {
#if defined(__AVX512F__)
    __m512i a = _mm512_load_si512(flags.lane), b = _mm512_load_si512(flags.lane + 16);
    return u32(_mm512_test_epi32_mask(a, a)) | u32(_mm512_test_epi32_mask(b, b)) << 16;
#else
    u32 out = 0;
    for (int l = 0; l < lanes; ++l) out |= u32(flags.lane[l] != 0) << l;
    return out;
#endif
}

// A result that combines a comparison with an earlier predicate.
inline u32 combined(u8 combine, u32 result, u32 other) {
    return combine == 0 ? result & other : combine == 1 ? result | other : result ^ other;
}

}  // namespace standin::sm90
