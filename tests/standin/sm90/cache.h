// A level-1 cache: lines of four sectors, four ways, the least recently used line goes first.
#pragma once
#include <algorithm>
#include <vector>

#include "instruction.h"

namespace standin::sm90 {

class Cache {
  public:
    explicit Cache(size_t bytes) : sets_(std::max<size_t>(1, bytes / (128 * ways))), lines_(sets_ * ways) {}

    // Whether the sector is there; it is afterwards.
    bool touch(u64 sector) {
        u64 line = sector / 4;
        u8 bit = u8(1 << sector % 4);
        // Lines far apart must not meet in one set because of a power of two.
        Line* set = &lines_[(line ^ line / sets_) % sets_ * ways];
        Line* oldest = set;
        for (size_t k = 0; k < ways; ++k) {
            if (set[k].line == line && set[k].valid != 0) {
                bool hit = (set[k].valid & bit) != 0;
                set[k].valid |= bit;
                set[k].used = ++time_;
                return hit;
            }
            if (set[k].used < oldest->used) oldest = &set[k];
        }
        *oldest = {line, ++time_, bit};
        return false;
    }
    void clear() { std::fill(lines_.begin(), lines_.end(), Line()); }

  private:
    static constexpr size_t ways = 4;
    struct Line {
        u64 line = 0, used = 0;
        u8 valid = 0;
    };
    size_t sets_;
    std::vector<Line> lines_;
    u64 time_ = 0;
};

}  // namespace standin::sm90
