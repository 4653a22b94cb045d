// Conversions between integers and floating point.
#include <fenv.h>
#include <math.h>

#include "decode.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

const int rounding_modes[4] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

// Types of sources and results.
enum Type : u8 { u8_, s8, u16_, s16, u32_, s32, u64_, s64, f32, f64 };
const std::initializer_list<const char*> integer_types = {"U8", "S8", "U16", "S16", "U32", "S32", "U64", "S64"};

bool is_wide(u8 type) { return type == u64_ || type == s64 || type == f64; }

void read_any(Context& c, const Operand& o, u8 type, Row64& out) {
    if (is_wide(type)) {
        read64(c, o, out);
        return;
    }
    Row room;
    const u32* a = read(c, o, room);
    for (int l = 0; l < lanes; ++l) out.lane[l] = a[l];
}

void write_any(Context& c, const Instruction& i, u8 type, const Row64& value, u32 mask) {
    if (is_wide(type)) {
        write64(c, i.target_row[0], value, mask);
        return;
    }
    Row out;
    for (int l = 0; l < lanes; ++l) out.lane[l] = u32(value.lane[l]);
    write(c, i.target_row[0], out, mask);
}

// table[0] is the type of the source, table[1] that of the result.
void from_integer(Context& c, const Instruction& i, u32 mask) {
    Row64 a, out;
    read_any(c, i.source[0], i.table[0], a);
    fesetround(rounding_modes[i.rounding]);
    for (int l = 0; l < lanes; ++l) {
        u64 x = a.lane[l] >> i.scale;
        bool is_signed = i.table[0] % 2 == 1;
        volatile i64 s = 0;
        volatile u64 u = 0;
        switch (i.table[0]) {
            case u8_: u = x & 0xff; break;
            case s8: s = int8_t(x); break;
            case u16_: u = x & 0xffff; break;
            case s16: s = int16_t(x); break;
            case u32_: u = u32(x); break;
            case s32: s = i32(x); break;
            case u64_: u = x; break;
            default: s = i64(x);
        }
        if (i.table[1] == f32) {
            volatile float f = is_signed ? float(s) : float(u);
            out.lane[l] = as_word(float(f));
        } else {
            volatile double f = is_signed ? double(s) : double(u);
            out.lane[l] = as_word(double(f));
        }
    }
    fesetround(FE_TONEAREST);
    write_any(c, i, i.table[1], out, mask);
}

void decode_i2f(Reader& r) {
    Instruction& i = r.out;
    i.table[1] = r.has("F64") ? f64 : f32;
    r.has("F32");
    i.scale = u8(8 * r.choose({"B0", "B1", "B2", "B3"}, 0));
    i.table[0] = u8(r.choose(integer_types, s32));
    i.rounding = u8(r.choose({"RN", "RM", "RP", "RZ"}, 0));
    r.target();
    if (is_wide(i.table[0]))
        r.integer64(0);
    else
        r.integer(0);
    i.unit = is_wide(i.table[0]) || is_wide(i.table[1]) ? Unit::xu : Unit::convert;
    i.run = from_integer;
}
void decode_i2fp(Reader& r) {
    decode_i2f(r);
    r.out.unit = Unit::alu;
}

double rounded(double x, u8 how) {
    switch (how) {
        case 0: return nearbyint(x);
        case 1: return floor(x);
        case 2: return ceil(x);
        default: return trunc(x);
    }
}

void to_integer(Context& c, const Instruction& i, u32 mask) {
    Row64 a, out;
    read_any(c, i.source[0], i.table[0], a);
    for (int l = 0; l < lanes; ++l) {
        double x = i.table[0] == f64 ? as_double(a.lane[l]) : double(as_float(u32(a.lane[l])));
        if (i.flush && i.table[0] == f32 && fabs(x) < 1.17549435082228750797e-38) x = 0;
        bool is_nan = x != x;
        x = rounded(x, i.rounding);
        u64 w;
        auto clamp = [&](double low, double high, u64 at_low, u64 at_high) {
            return x <= low ? at_low : x >= high ? at_high : i.table[1] % 2 == 1 ? u64(i64(x)) : u64(x);
        };
        switch (i.table[1]) {
            case u8_: w = clamp(0, 255, 0, 255); break;
            case s8: w = u32(clamp(-128, 127, u64(-128), 127)); break;
            case u16_: w = clamp(0, 65535, 0, 65535); break;
            case s16: w = u32(clamp(-32768, 32767, u64(-32768), 32767)); break;
            case u32_: w = clamp(0, 4294967295.0, 0, 0xffffffffu); break;
            case s32: w = u32(clamp(-2147483648.0, 2147483647.0, 0x80000000u, 0x7fffffffu)); break;
            case u64_: w = clamp(0, 18446744073709551616.0, 0, ~u64(0)); break;
            default: w = clamp(-9223372036854775808.0, 9223372036854775808.0, u64(1) << 63, ~u64(0) >> 1);
        }
        if (is_nan) w = is_wide(i.table[1]) ? u64(1) << 63 : i.table[0] == f64 ? 0x80000000u : 0;
        out.lane[l] = w;
    }
    write_any(c, i, i.table[1], out, mask);
}

void decode_f2i(Reader& r) {
    Instruction& i = r.out;
    i.flush = r.has("FTZ");
    i.table[0] = r.has("F64") ? f64 : f32;
    r.has("F32");
    i.table[1] = u8(r.choose(integer_types, s32));
    i.rounding = u8(r.choose({"RN", "FLOOR", "CEIL", "TRUNC"}, 0));
    r.has("NTZ");   // how a NaN of another format is treated
    r.target();
    if (i.table[0] == f64)
        r.double_precision(0);
    else
        r.floating(0);
    i.unit = is_wide(i.table[0]) || is_wide(i.table[1]) ? Unit::xu : Unit::convert;
    i.run = to_integer;
}

void between_floats(Context& c, const Instruction& i, u32 mask) {
    Row64 a, out;
    read_any(c, i.source[0], i.table[0], a);
    fesetround(rounding_modes[i.rounding]);
    for (int l = 0; l < lanes; ++l) {
        if (i.table[1] == f64) {
            out.lane[l] = as_word(double(as_float(u32(a.lane[l]))));
        } else {
            volatile double x = as_double(a.lane[l]);
            volatile float y = float(x);
            out.lane[l] = as_word(float(y));
        }
    }
    fesetround(FE_TONEAREST);
    write_any(c, i, i.table[1], out, mask);
}
void decode_f2f(Reader& r) {
    Instruction& i = r.out;
    // The result's type comes first.
    const auto& m = r.text().modifiers;
    size_t first = m.size();
    for (size_t k = 0; k < m.size(); ++k)
        if (m[k] == "F64" || m[k] == "F32") {
            first = k;
            break;
        }
    if (first == m.size() || !r.has("F64") || !r.has("F32")) r.unknown("conversion between other types");
    bool to_double = m[first] == "F64";
    i.table[0] = to_double ? f32 : f64;
    i.table[1] = to_double ? f64 : f32;
    i.rounding = u8(r.choose({"RN", "RM", "RP", "RZ"}, 0));
    r.target();
    if (to_double)
        r.floating(0);
    else
        r.double_precision(0);
    i.unit = Unit::xu;
    i.run = between_floats;
}

void round_to_integer(Context& c, const Instruction& i, u32 mask) {
    Row64 a, out;
    read_any(c, i.source[0], i.table[0], a);
    for (int l = 0; l < lanes; ++l)
        out.lane[l] = i.table[0] == f64 ? as_word(rounded(as_double(a.lane[l]), i.rounding))
                                        : as_word(float(rounded(double(as_float(u32(a.lane[l]))), i.rounding)));
    write_any(c, i, i.table[0], out, mask);
}
void decode_frnd(Reader& r) {
    Instruction& i = r.out;
    i.table[0] = r.has("F64") ? f64 : f32;
    i.rounding = u8(r.choose({"RN", "FLOOR", "CEIL", "TRUNC"}, 0));
    r.target();
    if (i.table[0] == f64)
        r.double_precision(0);
    else
        r.floating(0);
    i.unit = Unit::xu;
    i.run = round_to_integer;
}

}  // namespace

void add_conversions(DecoderTable& t) {
    t["I2F"] = decode_i2f;
    t["I2FP"] = decode_i2fp;
    t["F2I"] = decode_f2i;
    t["F2F"] = decode_f2f;
    t["FRND"] = decode_frnd;
}

}  // namespace standin::sm90
