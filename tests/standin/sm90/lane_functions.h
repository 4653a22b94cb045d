// Handlers made from functions of one lane's values.
#pragma once
#include "sources.h"

namespace standin::sm90 {

template <u32 (*F)(const Instruction&, u32)>
void map1(Context& c, const Instruction& i, u32 mask) {
    Row room, out;
    const u32* a = read(c, i.source[0], room);
    for (int l = 0; l < lanes; ++l) out.lane[l] = F(i, a[l]);
    write(c, i.target_row[0], out, mask);
}

template <u32 (*F)(const Instruction&, u32, u32)>
void map2(Context& c, const Instruction& i, u32 mask) {
    Row room[2], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]);
    for (int l = 0; l < lanes; ++l) out.lane[l] = F(i, a[l], b[l]);
    write(c, i.target_row[0], out, mask);
}

template <u32 (*F)(const Instruction&, u32, u32, u32)>
void map3(Context& c, const Instruction& i, u32 mask) {
    Row room[3], out;
    const u32 *a = read(c, i.source[0], room[0]), *b = read(c, i.source[1], room[1]), *d = read(c, i.source[2], room[2]);
    for (int l = 0; l < lanes; ++l) out.lane[l] = F(i, a[l], b[l], d[l]);
    write(c, i.target_row[0], out, mask);
}

// The predicate selects in each lane.
inline void expand(u32 predicate, Row& out) {
    for (int l = 0; l < lanes; ++l) out.lane[l] = predicate >> l & 1;
}

}  // namespace standin::sm90
