// Arithmetic in double precision.
#include <fenv.h>
#include <math.h>

#include "decode.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

const int rounding_modes[4] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

void arithmetic(Context& c, const Instruction& i, u32 mask) {
    Row64 a, b, d, out;
    read64(c, i.source[0], a);
    read64(c, i.source[1], b);
    if (i.function == 2) read64(c, i.source[2], d);
    if (i.rounding != 0) fesetround(rounding_modes[i.rounding]);
    for (int l = 0; l < lanes; ++l) {
        if (!(mask >> l & 1)) continue;
        volatile double x = as_double(a.lane[l]), y = as_double(b.lane[l]);
        volatile double result = i.function == 0 ? x + y : i.function == 1 ? x * y : fma(x, y, as_double(d.lane[l]));
        out.lane[l] = as_word(double(result));
    }
    if (i.rounding != 0) fesetround(FE_TONEAREST);
    write64(c, i.target_row[0], out, mask);
}

template <int Function>
void decode_arithmetic(Reader& r) {
    Instruction& i = r.out;
    i.unit = Unit::fp64;
    i.function = Function;
    i.rounding = u8(r.choose({"RN", "RM", "RP", "RZ"}, 0));
    r.target();
    r.double_precision(0);
    r.double_precision(1);
    if (Function == 2) r.double_precision(2);
    i.run = arithmetic;
}

}  // namespace

void add_double_precision(DecoderTable& t) {
    t["DADD"] = decode_arithmetic<0>;
    t["DMUL"] = decode_arithmetic<1>;
    t["DFMA"] = decode_arithmetic<2>;
}

}  // namespace standin::sm90
