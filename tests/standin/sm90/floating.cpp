// Arithmetic in single precision.
#include <fenv.h>
#include <math.h>

#include "decode.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

const int rounding_modes[4] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

u32 flushed(u32 x) { return (x & 0x7f800000u) == 0 ? x & 0x80000000u : x; }

float saturated(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }   // NaN becomes 0

u32 add(const Instruction&, u32 a, u32 b) { return as_word(as_float(a) + as_float(b)); }
u32 multiply(const Instruction&, u32 a, u32 b) { return as_word(as_float(a) * as_float(b)); }
u32 fused(const Instruction&, u32 a, u32 b, u32 d) {
    return as_word(__builtin_fmaf(as_float(a), as_float(b), as_float(d)));
}

// With a rounding mode, .FTZ or .SAT: lane by lane.
void slow(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    const u32* d = i.function == 2 ? read(c, i.source[2], room[2]) : a;
    fesetround(rounding_modes[i.rounding]);
    for (int l = 0; l < lanes; ++l) {
        u32 words[3] = {a[l], b[l], d[l]};
        if (i.flush)
            for (u32& w : words) w = flushed(w);
        volatile float x = as_float(words[0]), y = as_float(words[1]), z = as_float(words[2]);
        volatile float result = i.function == 0 ? x + y : i.function == 1 ? x * y : fmaf(x, y, z);
        u32 w = as_word(float(result));
        if (i.flush) w = flushed(w);
        if (i.saturate) w = as_word(saturated(as_float(w)));
        out.lane[l] = w;
    }
    fesetround(FE_TONEAREST);
    write(c, i.target_row[0], out, mask);
}

template <int Function>
void decode_arithmetic(Reader& r) {
    Instruction& i = r.out;
    i.unit = Unit::fma;
    i.function = Function;
    i.flush = r.has("FTZ");
    i.saturate = r.has("SAT");
    i.rounding = u8(r.choose({"RN", "RM", "RP", "RZ"}, 0));
    r.target();
    r.floating(0);
    r.floating(1);
    if (Function == 2) r.floating(2);
    i.is_ffma = Function == 2;
    i.run = Function == 0 ? map2<add> : Function == 1 ? map2<multiply> : map3<fused>;
    if (i.flush || i.saturate || i.rounding != 0) i.run = slow;
}

// Minimum or maximum of floats drops a NaN, but keeps the stand-in's poison, so that a ReLU does not hide
// a missing write.
void fmnmx(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    u32 least = read(c, i.predicate[0]);
    for (int l = 0; l < lanes; ++l) {
        u32 x = i.flush ? flushed(a[l]) : a[l], y = i.flush ? flushed(b[l]) : b[l];
        bool x_nan = (x & 0x7fffffffu) > 0x7f800000u, y_nan = (y & 0x7fffffffu) > 0x7f800000u;
        // In the order of floats, -0 before +0.
        i32 p = i32(x) < 0 ? i32(x ^ 0x7fffffffu) : i32(x), q = i32(y) < 0 ? i32(y ^ 0x7fffffffu) : i32(y);
        u32 chosen = (p < q) == ((least >> l & 1) != 0) ? x : y;
        if (i.saturate && (x_nan || y_nan)) chosen = 0x7fffffffu;   // .NAN
        else if (x_nan) chosen = y_nan ? 0x7fffffffu : y;
        else if (y_nan) chosen = x;
        if (x == poison || y == poison) chosen = poison;
        out.lane[l] = chosen;
    }
    write(c, i.target_row[0], out, mask);
}
void decode_fmnmx(Reader& r) {
    r.out.flush = r.has("FTZ");
    r.out.saturate = r.has("NAN");
    r.target();
    r.floating(0);
    r.floating(1);
    r.predicate(0);
    r.out.run = fmnmx;
}

enum Function : u8 { rcp, rsq, lg2, ex2, sin_, cos_, sqrt_, tanh_, rcp64h, rsq64h };

// Approximations of the hardware, here to the host's precision.
void mufu(Context& c, const Instruction& i, u32 mask) {
    Row room, out;
    const u32* a = read(c, i.source[0], room);
    for (int l = 0; l < lanes; ++l) {
        if (!(mask >> l & 1)) continue;
        float x = as_float(a[l]), y = 0;
        switch (i.function) {
            case rcp: y = 1.0f / x; break;
            case rsq: y = float(1.0 / sqrt(double(x))); break;
            case lg2: y = log2f(x); break;
            case ex2: y = exp2f(x); break;
            case sin_: y = float(sin(double(x))); break;
            case cos_: y = float(cos(double(x))); break;
            case sqrt_: y = sqrtf(x); break;
            case tanh_: y = tanhf(x); break;
            // Of doubles, given and returned by their upper halves.
            case rcp64h: out.lane[l] = u32(as_word(1.0 / as_double(u64(a[l]) << 32)) >> 32); continue;
            default: out.lane[l] = u32(as_word(1.0 / sqrt(as_double(u64(a[l]) << 32))) >> 32); continue;
        }
        out.lane[l] = as_word(y);
    }
    write(c, i.target_row[0], out, mask);
}
void decode_mufu(Reader& r) {
    int k = r.choose({"RCP", "RSQ", "LG2", "EX2", "SIN", "COS", "SQRT", "TANH", "RCP64H", "RSQ64H"}, -1);
    if (k < 0) r.unknown("no function that is known");
    r.out.function = u8(k);
    r.target();
    r.floating(0);
    r.out.unit = Unit::xu;
    r.out.run = mufu;
}

// Half-precision arithmetic is only known as the load of a constant: -0 * 0 + {high, low}.
u32 same(const Instruction&, u32 a) { return a; }
void decode_hfma2(Reader& r) {
    r.choose({"MMA"}, 0);
    r.target();
    std::string a = r.take(), b = r.take(), high = r.take(), low = r.take();
    auto is_zero = [](const std::string& s) { return s == "RZ" || s == "-RZ"; };
    if (!is_zero(a) || !is_zero(b) || high[0] == 'R' || low[0] == 'R') r.unknown("arithmetic in half precision");
    r.pool(r.out.source[0], r.immediate_bits());
    r.out.unit = Unit::fma;
    r.out.run = map1<same>;
}

}  // namespace

void add_floating(DecoderTable& t) {
    t["FADD"] = decode_arithmetic<0>;
    t["FMUL"] = decode_arithmetic<1>;
    t["FFMA"] = decode_arithmetic<2>;
    t["FMNMX"] = decode_fmnmx;
    t["MUFU"] = decode_mufu;
    t["HFMA2"] = decode_hfma2;
}

}  // namespace standin::sm90
