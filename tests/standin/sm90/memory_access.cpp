// Loads, stores, atomics and asynchronous copies: global, shared, local and constant memory.
#include <stdio.h>

#include <algorithm>
#include <array>

#include "decode.h"
#include "grid.h"
#include "lane_functions.h"

namespace standin::sm90 {
namespace {

std::string hex(u64 x) {
    char text[32];
    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)x);
    return text;
}

template <class Use>
inline void each(u32 mask, Use use) {
    for (; mask != 0; mask &= mask - 1) use(__builtin_ctz(mask));
}

// Before griddepcontrol.wait the launch before may still run: what kernels write is not there yet, or is still read.
void check_order(Context& c, const MemoryRange& range, int lane, bool writes) {
    u8* written = &c.grid->request->written[&range - c.grid->request->memory];
    const bool waited = !c.kernel->waits || (c.warp->waited >> lane & 1) != 0;
    if (!waited && (writes || __atomic_load_n(written, __ATOMIC_RELAXED) != 0))
        throw Fault(Failure::illegal_address, lane,
                    std::string(writes ? "writes memory" : "reads memory that kernels write") + " before griddepcontrol.wait");
    if (writes) __atomic_store_n(written, u8(1), __ATOMIC_RELAXED);
}

// Addresses in global memory, checked.
void global_addresses(Context& c, const Instruction& i, const Operand& base, const Operand& uniform, u32 mask, u64* out,
                      bool writes = false) {
    const u32* low = c.rows[base.row].lane;
    if (i.wrap) {   // a 64-bit base in uniform registers, and an unsigned offset
        const u32 *first = c.rows[uniform.row].lane, *second = c.rows[uniform.row + 1].lane;
        for (int l = 0; l < lanes; ++l) out[l] = (first[l] | u64(second[l]) << 32) + low[l] + u64(i.offset);
    } else {
        const u32* high = c.rows[base.row == zero_row ? zero_row : base.row + 1].lane;
        for (int l = 0; l < lanes; ++l) out[l] = (low[l] | u64(high[l]) << 32) + u64(i.offset);
    }
    const MemoryRange* range = nullptr;
    each(mask, [&](int l) {
        u64 at = out[l];
        if (i.generic && at >> 32 == shared_window) {
            const u32 offset = u32(at), end = u32(c.block->shared.size());
            if (offset < reserved_shared || offset > end - i.width)
                throw Fault(Failure::illegal_address, l, "illegal access to shared memory at " + hex(offset - reserved_shared));
            out[l] = u64(uintptr_t(c.block->shared.data())) + offset;
            return;
        }
        if (i.high) at &= ~u64(i.width - 1);   // LDGSTS.ZFILL
        if (range == nullptr || at - u64(uintptr_t(range->start)) >= range->bytes) range = c.grid->range_of(at);
        if (range == nullptr || range->bytes - (at - u64(uintptr_t(range->start))) < i.width)
            throw Fault(Failure::illegal_address, l, "illegal access to " + std::to_string(i.width) + " bytes at " + hex(at));
        if ((at & (i.width - 1)) != 0)
            throw Fault(Failure::misaligned_address, l, "misaligned access to " + std::to_string(i.width) + " bytes at " + hex(at));
        check_order(c, *range, l, writes);
    });
}

// Distinct sectors and lines, for the timing model.
void count_sectors(Context& c, u32 mask, const u64* address) {
    Access& a = c.access;
    a.sectors = a.lines = 0;
    u64 line[lanes];
    each(mask, [&](int l) {
        u64 sector = address[l] / 32;   // an access is aligned to its size, at most 16 bytes
        for (unsigned k = a.sectors; k-- > 0;)
            if (a.sector[k] == sector) return;
        a.sector[a.sectors++] = sector;
        for (unsigned k = a.lines; k-- > 0;)
            if (line[k] == sector / 4) return;
        line[a.lines++] = sector / 4;
    });
}

template <class T, bool Signed>
void copy_in(Context& c, const Instruction& i, u32 mask, const u8* const* from) {
    Row out;
    each(mask, [&](int l) {
        T x;
        memcpy(&x, from[l], sizeof(x));
        out.lane[l] = Signed ? u32(i32(std::make_signed_t<T>(x))) : u32(x);
    });
    write(c, i.target_row[0], out, mask);
}

// From host memory to registers.
void load(Context& c, const Instruction& i, u32 mask, const u8* const* from) {
    switch (i.width) {
        case 1: i.is_signed ? copy_in<u8, true>(c, i, mask, from) : copy_in<u8, false>(c, i, mask, from); break;
        case 2: i.is_signed ? copy_in<u16, true>(c, i, mask, from) : copy_in<u16, false>(c, i, mask, from); break;
        case 4: copy_in<u32, false>(c, i, mask, from); break;
        default: {
            unsigned words = i.width / 4;
            Row out[4];
            each(mask, [&](int l) {
                for (unsigned k = 0; k < words; ++k) memcpy(&out[k].lane[l], from[l] + 4 * k, 4);
            });
            for (unsigned k = 0; k < words; ++k) write(c, u16(i.target_row[0] + (i.target_row[0] == discard_row ? 0 : k)), out[k], mask);
        }
    }
}

// From registers to host memory.
void store(Context& c, const Instruction& i, const Operand& data, u32 mask, u8* const* to) {
    unsigned words = std::max(1, i.width / 4);
    const Row* from = &c.rows[data.row];
    each(mask, [&](int l) {
        if (i.width < 4) {
            memcpy(to[l], &from->lane[l], i.width);
            return;
        }
        for (unsigned k = 0; k < words; ++k) memcpy(to[l] + 4 * k, &from[k].lane[l], 4);
    });
}

u8* pointer(u64 address) { return reinterpret_cast<u8*>(uintptr_t(address)); }

void ldg(Context& c, const Instruction& i, u32 mask) {
    u64 address[lanes];
    const u8* from[lanes];
    global_addresses(c, i, i.source[0], i.source[1], mask, address);
    for (int l = 0; l < lanes; ++l) from[l] = pointer(address[l]);
    if (c.timed) count_sectors(c, mask, address);
    load(c, i, mask, from);
}

void stg(Context& c, const Instruction& i, u32 mask) {
    u64 address[lanes];
    u8* to[lanes];
    global_addresses(c, i, i.source[0], i.source[1], mask, address, true);
    for (int l = 0; l < lanes; ++l) to[l] = pointer(address[l]);
    if (c.timed) count_sectors(c, mask, address);
    store(c, i, i.source[2], mask, to);
}

// The width, and modifiers that only concern caches.
void decode_width(Reader& r, bool with_signs) {
    Instruction& i = r.out;
    i.width = 4;
    if (r.has("64")) i.width = 8;
    if (r.has("128")) i.width = 16;
    if (r.has("32")) i.width = 4;
    if (r.has("U8")) i.width = 1;
    if (r.has("U16")) i.width = 2;
    if (with_signs && r.has("S8")) i.width = 1, i.is_signed = true;
    if (with_signs && r.has("S16")) i.width = 2, i.is_signed = true;
}

void decode_caching(Reader& r) {
    r.has("E");
    r.has("WEAK");
    r.has("PRIV");
    r.choose({"EF", "EL", "LU", "EU", "NA"}, 0);
    r.choose({"LTC64B", "LTC128B", "LTC256B"}, 0);
    if (r.has("STRONG")) {
        r.out.strong = r.choose({"GPU", "SYS", "CTA", "SM"}, 0) < 2;
        r.out.ordered = r.out.strong;
    }
}

// LD, ST and ATOM take generic addresses: of global memory, or of shared memory.
void decode_ldg(Reader& r) {
    r.out.generic = r.name() == "LD";
    decode_caching(r);
    r.has("CONSTANT");
    decode_width(r, true);
    r.target();
    r.global_address(0);
    r.out.unit = Unit::global_load;
    r.out.run = ldg;
}

void decode_stg(Reader& r) {
    r.out.generic = r.name() == "ST";
    decode_caching(r);
    decode_width(r, true);
    r.global_address(0);
    r.integer(2);
    r.out.unit = Unit::global_store;
    r.out.run = stg;
}

enum Atomic : u8 { add, minimum, maximum, exchange, compare_and_swap, and_, or_, xor_, increment, decrement };
enum AtomicType : u8 { unsigned_, signed_, f32 };

u64 combined(const Instruction& i, u64 old, u64 value, u64 swap) {
    bool wide = i.width == 8;
    auto less = [&](u64 a, u64 b) {
        if (i.table[0] == signed_) return wide ? i64(a) < i64(b) : i32(a) < i32(b);
        return a < b;
    };
    switch (i.function) {
        case add:
            if (i.table[0] == f32) return as_word(as_float(u32(old)) + as_float(u32(value)));
            return old + value;
        case minimum: return less(value, old) ? value : old;
        case maximum: return less(old, value) ? value : old;
        case exchange: return value;
        case compare_and_swap: return old == value ? swap : old;
        case and_: return old & value;
        case or_: return old | value;
        case xor_: return old ^ value;
        case increment: return old >= value ? 0 : old + 1;
        default: return old == 0 || old > value ? value : old - 1;
    }
}

// Lane after lane, in order.
void atomic(Context& c, const Instruction& i, u32 mask, u8* const* at) {
    Row64 out;
    const Row *value = &c.rows[i.source[2].row], *swap = &c.rows[i.source[3].row];
    bool wide = i.width == 8;
    each(mask, [&](int l) {
        u64 old = 0;
        memcpy(&old, at[l], i.width);
        u64 v = i.value != 0 ? i.value : value->lane[l] | (wide ? u64(value[1].lane[l]) << 32 : 0);
        u64 s = swap->lane[l] | (wide ? u64(swap[1].lane[l]) << 32 : 0);
        u64 result = combined(i, old, v, s);
        memcpy(at[l], &result, i.width);
        out.lane[l] = old;
    });
    if (wide) {
        write64(c, i.target_row[0], out, mask);
    } else {
        Row narrow;
        for (int l = 0; l < lanes; ++l) narrow.lane[l] = u32(out.lane[l]);
        write(c, i.target_row[0], narrow, mask);
    }
    write_predicate(c, i.target_predicate[0], all_lanes, mask);
}

void atomg(Context& c, const Instruction& i, u32 mask) {
    u64 address[lanes];
    u8* at[lanes];
    global_addresses(c, i, i.source[0], i.source[1], mask, address, true);
    for (int l = 0; l < lanes; ++l) at[l] = pointer(address[l]);
    if (c.timed) count_sectors(c, mask, address);
    // Blocks run on several threads of the host.
    std::lock_guard<std::mutex> lock(c.grid->atomics);
    atomic(c, i, mask, at);
}

void decode_function(Reader& r) {
    Instruction& i = r.out;
    int f = r.choose({"ADD", "MIN", "MAX", "EXCH", "CAS", "AND", "OR", "XOR", "INC", "DEC"}, -1);
    if (f < 0) r.unknown("no atomic function that is known");
    i.function = u8(f);
    i.width = r.has("64") ? 8 : 4;
    if (r.has("S32")) i.table[0] = signed_;
    if (r.has("S64")) i.table[0] = signed_, i.width = 8;
    if (r.has("U64")) i.width = 8;
    r.has("U32");
    if (r.has("F32")) {
        i.table[0] = f32;
        r.has("FTZ");
        r.has("RN");
        if (i.function != add) r.unknown("an atomic function of floats");
    }
}

void decode_atomg(Reader& r) {
    Instruction& i = r.out;
    decode_caching(r);
    decode_function(r);
    i.ordered = true;
    bool returns = r.name().rfind("RED", 0) != 0;
    i.generic = r.name() == "ATOM" || r.name() == "RED";
    if (returns) {
        r.target_predicate(0);
        r.target();
    }
    r.global_address(0);
    r.integer(2);
    i.source[3] = i.source[2];
    if (i.function == compare_and_swap) r.integer(3);
    i.unit = Unit::atomic;
    i.run = atomg;
}

// Addresses in shared memory, checked.
void shared_addresses(Context& c, const Instruction& i, const Operand& base, const Operand& uniform, i64 offset, u32 mask,
                      u32* out) {
    const u32 *b = c.rows[base.row].lane, *u = c.rows[uniform.row].lane;
    const u32 end = u32(c.block->shared.size());
    u32 wrong = 0;
    for (int l = 0; l < lanes; ++l) {
        out[l] = (b[l] << i.scale) + u[l] + u32(offset);
        wrong |= u32(out[l] < reserved_shared || out[l] > end - i.width || (out[l] & (i.width - 1)) != 0) << l;
    }
    if ((wrong & mask) == 0) return;
    int l = __builtin_ctz(wrong & mask);
    bool aligned = (out[l] & (i.width - 1)) == 0;
    throw Fault(aligned ? Failure::illegal_address : Failure::misaligned_address, l,
                std::string(aligned ? "illegal" : "misaligned") + " access to " + std::to_string(i.width) +
                    " bytes of shared memory at " + hex(out[l] - reserved_shared) + " of " + hex(end - reserved_shared));
}

// Wavefronts: a bank gives one word at a time, to all lanes that want it.
void count_conflicts(Context& c, const Instruction& i, u32 mask, const u32* address) {
    constexpr unsigned banks = 32, remembered = 8;   // of more words in a bank, equal ones are not noticed
    u32 words[banks][remembered];
    u8 used[banks] = {};
    unsigned most = 1;
    unsigned each_lane = std::max(1, i.width / 4);
    each(mask, [&](int l) {
        for (unsigned k = 0; k < each_lane; ++k) {
            u32 word = address[l] / 4 + k, bank = word % banks;
            bool known = false;
            unsigned n = std::min<unsigned>(used[bank], remembered);
            for (unsigned q = 0; q < n; ++q) known |= words[bank][q] == word;
            if (known) continue;
            if (used[bank] < remembered) words[bank][used[bank]] = word;
            ++used[bank];
            most = std::max<unsigned>(most, used[bank]);
        }
    });
    c.access.wavefronts = most;
}

void lds(Context& c, const Instruction& i, u32 mask) {
    u32 address[lanes];
    const u8* from[lanes];
    shared_addresses(c, i, i.source[0], i.source[1], i.offset, mask, address);
    for (int l = 0; l < lanes; ++l) from[l] = c.block->shared.data() + address[l];
    if (c.timed) count_conflicts(c, i, mask, address);
    load(c, i, mask, from);
}
void decode_lds(Reader& r) {
    decode_width(r, true);
    r.target();
    r.shared_address(0);
    r.out.unit = Unit::shared_load;
    r.out.run = lds;
}

void sts(Context& c, const Instruction& i, u32 mask) {
    u32 address[lanes];
    u8* to[lanes];
    shared_addresses(c, i, i.source[0], i.source[1], i.offset, mask, address);
    for (int l = 0; l < lanes; ++l) to[l] = c.block->shared.data() + address[l];
    if (c.timed) count_conflicts(c, i, mask, address);
    store(c, i, i.source[2], mask, to);
}
void decode_sts(Reader& r) {
    decode_width(r, true);
    r.shared_address(0);
    r.integer(2);
    r.out.unit = Unit::shared_store;
    r.out.run = sts;
}

void atoms(Context& c, const Instruction& i, u32 mask) {
    u32 address[lanes];
    u8* at[lanes];
    shared_addresses(c, i, i.source[0], i.source[1], i.offset, mask, address);
    for (int l = 0; l < lanes; ++l) at[l] = c.block->shared.data() + address[l];
    if (c.timed) count_conflicts(c, i, mask, address);
    atomic(c, i, mask, at);
}
void decode_atoms(Reader& r) {
    Instruction& i = r.out;
    bool counts = r.has("POPC");   // POPC.INC.32: adds 1
    if (counts) {
        if (!r.has("INC") || !r.has("32")) r.unknown("a count that is not known");
        i.function = add;
        i.width = 4;
    } else {
        decode_function(r);
    }
    r.target();
    r.shared_address(0);
    if (counts) {
        if (i.target_row[0] != discard_row) r.unknown("the result of a count");
        i.value = 1;
    } else {
        r.integer(2);
    }
    i.source[3] = i.source[2];
    if (i.function == compare_and_swap) r.integer(3);
    i.unit = Unit::shared_load;
    i.delay = Delay::shared_atomic;
    i.run = atoms;
}

// The stack of each thread.
void local_addresses(Context& c, const Instruction& i, u32 mask, u8** out) {
    const u32* b = c.rows[i.source[0].row].lane;
    u32 bytes = c.kernel->cubin.facts.local_bytes;
    u8* first = c.block->local.data() + size_t(c.warp->number) * lanes * bytes;
    each(mask, [&](int l) {
        u32 at = b[l] + u32(i.offset);
        if (at > bytes || bytes - at < i.width || (at & (i.width - 1)) != 0)
            throw Fault(Failure::illegal_address, l, "illegal access to local memory at " + hex(at) + " of " + hex(bytes));
        out[l] = first + size_t(l) * bytes + at;
    });
    c.access.wavefronts = std::max(1, i.width / 4);
}
void ldl(Context& c, const Instruction& i, u32 mask) {
    u8* at[lanes];
    local_addresses(c, i, mask, at);
    load(c, i, mask, at);
}
void stl(Context& c, const Instruction& i, u32 mask) {
    u8* at[lanes];
    local_addresses(c, i, mask, at);
    store(c, i, i.source[2], mask, at);
}
void decode_ldl(Reader& r) {
    r.has("LU");
    decode_width(r, true);
    r.target();
    r.shared_address(0);
    r.out.unit = Unit::shared_load;
    r.out.run = ldl;
}
void decode_stl(Reader& r) {
    decode_width(r, true);
    r.shared_address(0);
    r.integer(2);
    r.out.unit = Unit::shared_store;
    r.out.run = stl;
}

// c[bank][register + offset]: source 0 is the register. A load beyond the bank is no fault, and compilers
// move loads before the condition that protects them: what it returns is not to be used.
void ldc(Context& c, const Instruction& i, u32 mask) {
    static const std::array<u32, 4> nothing = {poison, poison, poison, poison};
    const u32* base = c.rows[i.source[0].row].lane;
    const u8 bank = i.function;
    const u8* from[lanes];
    each(mask, [&](int l) {
        u32 at = base[l] + u32(i.offset);
        bool inside = at < c.bank_bytes[bank] && c.bank_bytes[bank] - at >= i.width;
        if (inside && (at & (i.width - 1)) != 0)
            throw Fault(Failure::misaligned_address, l, "misaligned access to constant bank " + std::to_string(bank) + " at " + hex(at));
        from[l] = inside ? c.bank[bank] + at : reinterpret_cast<const u8*>(nothing.data());
        c.access.constant_line = (u32(bank) << 26) | (at / 64 & 0x3ffffff);
    });
    load(c, i, mask, from);
}
void decode_ldc(Reader& r) {
    Instruction& i = r.out;
    decode_width(r, true);
    r.target();
    std::string text = r.take();
    unsigned bank, offset = 0;
    int used = 0;
    i.source[0].kind = Kind::row;
    if (sscanf(text.c_str(), "c[%x][%n", &bank, &used) < 1 || used == 0 || bank > 7 || text.back() != ']')
        r.unknown("constant '" + text + "'");
    std::string inside = text.substr(size_t(used), text.size() - 1 - size_t(used));
    char kind[3] = "";
    int number = 0;
    if (sscanf(inside.c_str(), "%2[UR]%d%n", kind, &number, &used) == 2) {
        i.source[0].row = u16((kind[0] == 'U' ? uniform_row : register_row) + number);
        inside = inside.substr(size_t(used));
        if (!inside.empty() && inside[0] == '+') inside = inside.substr(1);
    } else if (inside.rfind("RZ", 0) == 0 || inside.rfind("URZ", 0) == 0) {
        inside = inside.substr(inside.find('Z') + 1);
        if (!inside.empty() && inside[0] == '+') inside = inside.substr(1);
    }
    char end = 0;
    bool negative = !inside.empty() && inside[0] == '-';
    if (!inside.empty() && sscanf(inside.c_str() + negative, "%x%c", &offset, &end) != 1) r.unknown("constant '" + text + "'");
    i.function = u8(bank);
    i.offset = negative ? -i64(offset) : i64(offset);
    i.unit = Unit::constant_load;
    if (r.name() == "ULDC") {
        i.is_uniform = true;
        i.delay = Delay::uniform_constant;
    }
    i.run = ldc;
}

// cp.async: what it reads arrives in shared memory when the warp waits for it.
void ldgsts(Context& c, const Instruction& i, u32 mask) {
    u64 address[lanes];
    u32 to[lanes];
    // Lanes whose predicate is false write zeros.
    u32 reads = read(c, i.predicate[0]) & mask;
    shared_addresses(c, i, i.source[2], i.source[3], i64(i.value), mask, to);
    global_addresses(c, i, i.source[0], i.source[1], reads, address);
    each(mask, [&](int l) {
        AsyncCopy copy{to[l], i.width, {}};
        // .ZFILL: the address' distance from its alignment is the number of bytes that are zero at the end.
        u32 missing = i.high ? u32(address[l] & (i.width - 1)) : 0;
        if (reads >> l & 1) memcpy(copy.data, pointer(address[l] - missing), i.width - missing);
        c.warp->copies.push_back(copy);
    });
    if (c.timed) {
        count_sectors(c, reads, address);
        count_conflicts(c, i, mask, to);
    }
}
void decode_ldgsts(Reader& r) {
    Instruction& i = r.out;
    decode_caching(r);
    r.choose({"BYPASS", "ACCESS"}, 0);
    i.high = r.has("ZFILL");
    decode_width(r, false);
    // The shared address comes first; its offset moves to `value`.
    r.shared_address(2);
    i.value = u32(i.offset);
    i.offset = 0;
    u8 scale = i.scale;
    r.global_address(0);
    i.scale = scale;
    if (r.operands_left() > 0) r.predicate(0);
    i.unit = Unit::async_copy;
    i.run = ldgsts;
}

void commit(Context& c, const Instruction&, u32) {
    Warp& w = *c.warp;
    w.committed.push_back(std::move(w.copies));
    w.copies.clear();
    w.committed_arrive.push_back(w.copies_arrive);
}
void decode_ldgdepbar(Reader& r) {
    r.out.unit = Unit::special;
    r.out.run = commit;
}

// Waits until at most `value` groups are under way.
void depbar(Context& c, const Instruction& i, u32) {
    Warp& w = *c.warp;
    if (i.function == 0) return;
    while (w.committed.size() > i.value) {
        for (const AsyncCopy& copy : w.committed.front())
            memcpy(c.block->shared.data() + copy.shared_address, copy.data, copy.bytes);
        w.committed.erase(w.committed.begin());
        w.next = std::max(w.next, w.committed_arrive.front());
        w.committed_arrive.erase(w.committed_arrive.begin());
    }
}
void decode_depbar(Reader& r) {
    Instruction& i = r.out;
    r.has("LE");
    std::string counter = r.take();
    if (counter.rfind("SB", 0) != 0) r.unknown("'" + counter + "'");
    i.table[0] = u8(counter[2] - '0');
    i.value = u32(r.number());
    i.function = 1;
    if (r.operands_left() > 0) {   // further scoreboards, {3,2}: they must be clear
        std::string more = r.take();
        for (char d : more)
            if (d >= '0' && d <= '5') i.table[1] |= u8(1 << (d - '0'));
    }
    i.unit = Unit::special;
    i.run = depbar;
}

}  // namespace

void add_memory(DecoderTable& t) {
    t["LDG"] = t["LD"] = decode_ldg;
    t["STG"] = t["ST"] = decode_stg;
    t["ATOMG"] = t["ATOM"] = t["REDG"] = t["RED"] = decode_atomg;
    t["LDS"] = decode_lds;
    t["STS"] = decode_sts;
    t["ATOMS"] = decode_atoms;
    t["LDL"] = decode_ldl;
    t["STL"] = decode_stl;
    t["LDC"] = t["ULDC"] = decode_ldc;
    t["LDGSTS"] = decode_ldgsts;
    t["LDGDEPBAR"] = decode_ldgdepbar;
    t["DEPBAR"] = decode_depbar;
}

}  // namespace standin::sm90
