// Reading of operands, modifiers and control bits.
#include "decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <stdexcept>

namespace standin::sm90 {
namespace {

std::string hex(u64 x) {
    char text[32];
    snprintf(text, sizeof(text), "0x%04llx", (unsigned long long)x);
    return text;
}

// 0x..., -0x..., or decimal.
bool parse_number(const std::string& text, i64* value) {
    if (text.empty()) return false;
    char* end;
    bool negative = text[0] == '-';
    unsigned long long magnitude = strtoull(text.c_str() + negative, &end, 0);
    if (*end != 0 || end == text.c_str() + negative) return false;
    *value = negative ? -i64(magnitude) : i64(magnitude);
    return true;
}

const DecoderTable& table() {
    static const DecoderTable all = [] {
        DecoderTable t;
        add_integer(t);
        add_floating(t);
        add_double_precision(t);
        add_conversions(t);
        add_predicates(t);
        add_memory(t);
        add_warp_wide(t);
        add_control(t);
        return t;
    }();
    return all;
}

PredicateOperand predicate_of(const std::string& name, bool* good) {
    PredicateOperand p;
    std::string n = name;
    if (!n.empty() && n[0] == '!') p.flip = all_lanes, n = n.substr(1);
    bool uniform = !n.empty() && n[0] == 'U';
    if (uniform) n = n.substr(1);
    *good = n.size() == 2 && n[0] == 'P' && (n[1] == 'T' || (n[1] >= '0' && n[1] <= '6'));
    if (*good) p.index = u8((uniform ? uniform_predicate : 0) + (n[1] == 'T' ? 7 : n[1] - '0'));
    return p;
}

}  // namespace

void Reader::unknown(const std::string& what) const {
    throw std::runtime_error("instruction " + text_.text + " at " + hex(text_.place.address) + " of " +
                             d_.sections[text_.place.section] + ": " + what);
}

bool Reader::has(const char* modifier) {
    auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
    if (found == modifiers_.end()) return false;
    modifiers_.erase(found);
    return true;
}

int Reader::choose(std::initializer_list<const char*> modifiers, int otherwise) {
    int k = 0;
    for (const char* m : modifiers) {
        if (has(m)) return k;
        ++k;
    }
    return otherwise;
}

const std::string& Reader::peek() const {
    if (at_ >= text_.operands.size()) unknown("too few operands");
    return text_.operands[at_];
}

std::string Reader::take() {
    std::string operand = peek();
    ++at_;
    return operand;
}

bool Reader::next_is_predicate() const {
    bool good = false;
    if (at_ < text_.operands.size()) predicate_of(text_.operands[at_], &good);
    return good;
}

bool Reader::next_is_register() const {
    if (at_ >= text_.operands.size()) return false;
    const std::string& o = text_.operands[at_];
    size_t r = o.rfind("UR", 0) == 0 ? 2 : o.rfind("R", 0) == 0 ? 1 : 0;
    return r != 0 && o.size() > r && (o[r] == 'Z' || (o[r] >= '0' && o[r] <= '9'));
}

bool Reader::next_is_label() const { return at_ < text_.operands.size() && text_.operands[at_][0] == '`'; }

u16 Reader::row_of(const std::string& name, bool target) {
    bool uniform = name.rfind("UR", 0) == 0;
    std::string number = name.substr(uniform ? 2 : 1);
    if (name[0] != 'R' && !uniform) unknown("'" + name + "' is no register");
    if (number == "Z") return target ? discard_row : zero_row;
    i64 n;
    if (!parse_number(number, &n) || n < 0 || n > (uniform ? 62 : 254)) unknown("'" + name + "' is no register");
    if (!uniform) code_.registers = std::max(code_.registers, unsigned(n) + 1);
    return u16((uniform ? uniform_row : register_row) + n);
}

void Reader::target(int k) {
    std::string name = take();
    if (name.rfind("UR", 0) == 0) out.is_uniform = true;
    out.target_row[k] = row_of(name, true);
}

void Reader::target_predicate(int k) {
    bool good;
    std::string name = take();
    PredicateOperand p = predicate_of(name, &good);
    if (!good || p.flip != 0) unknown("'" + name + "' is no predicate to write");
    if (p.index >= uniform_predicate && p.index != uniform_true) out.is_uniform = true;
    out.target_predicate[k] = p.index % 8 == 7 ? discard_predicate : p.index;
}

void Reader::maybe_target_predicate(int k) {
    if (next_is_predicate()) target_predicate(k);
}

void Reader::predicate(int k) {
    bool good;
    std::string name = take();
    out.predicate[k] = predicate_of(name, &good);
    if (!good) unknown("'" + name + "' is no predicate");
}

void Reader::maybe_predicate(int k) {
    if (operands_left() > 0) predicate(k);
}

void Reader::pool(Operand& o, u64 value) {
    auto [found, is_new] = code_.immediates.try_emplace(value);
    Row* half = found->second.half;
    if (is_new)
        for (int l = 0; l < lanes; ++l) half[0].lane[l] = u32(value), half[1].lane[l] = u32(value >> 32);
    o.kind = Kind::immediate;
    o.pool = half;
}

void Reader::source(int k, Style style, bool wide) {
    Operand& o = out.source[k];
    std::string text = take();
    const std::string whole = text;
    bool floats = style == Style::floating;
    for (size_t at; (at = text.find(".reuse")) != std::string::npos;) text.erase(at, strlen(".reuse"));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    // Immediates: those of floating point are taken from the encoding.
    i64 value;
    bool is_number = parse_number(text, &value);
    bool looks_like_float = !is_number && (isdigit(text[0]) || ((text[0] == '-' || text[0] == '+') && text.size() > 1 &&
                                           (isdigit(text[1]) || text[1] == 'I' || text[1] == 'Q')) ||
                                           text.rfind("INF", 0) == 0 || text.rfind("QNAN", 0) == 0);
    if (floats && (is_number || looks_like_float)) {
        pool(o, wide ? u64(immediate_bits()) << 32 : immediate_bits());
        return;
    }
    if (is_number) {
        if (wide) unknown("an immediate of 64 bits");
        pool(o, u32(value));
        return;
    }
    if (text[0] == '!' || text[0] == '~') o.modify |= invert, text = text.substr(1);
    if (text[0] == '-') o.modify |= floats ? negate_float : negate_int, text = text.substr(1);
    if (text[0] == '|') {
        if (text.back() != '|') unknown("operand '" + whole + "'");
        o.modify |= floats ? absolute_float : absolute_int;
        text = text.substr(1, text.size() - 2);
    }
    if (text.rfind("c[", 0) == 0) {
        unsigned bank, offset = 0;
        char end = 0;
        if (sscanf(text.c_str(), "c[%x][%x%c", &bank, &offset, &end) != 3 || end != ']' || bank > 7)
            unknown("constant '" + whole + "'");
        o.kind = Kind::constant;
        o.bank = u8(bank);
        o.offset = offset;
        out.constant_operand = true;
        return;
    }
    if (text[0] != 'R' && text.rfind("UR", 0) != 0) unknown("operand '" + whole + "'");
    o.kind = Kind::row;
    o.row = row_of(text, false);
}

void Reader::integer(int k) { source(k, Style::integer, false); }
void Reader::floating(int k) { source(k, Style::floating, false); }
void Reader::integer64(int k) { source(k, Style::integer, true); }
void Reader::double_precision(int k) { source(k, Style::floating, true); }

i64 Reader::number() {
    std::string text = take();
    i64 value;
    if (!parse_number(text, &value)) unknown("'" + text + "' is no number");
    return value;
}

// desc[UR4][R2.64+0x10], [R2.64+UR4+0x10], [UR4], ...: source k is the register pair, k + 1 a uniform one.
void Reader::global_address(int k) {
    std::string text = take();
    const std::string whole = text;
    size_t open = text.rfind('['), close = text.rfind(']');
    if (text.rfind("desc[", 0) != 0 && open != 0) unknown("address '" + whole + "'");
    if (close != text.size() - 1) unknown("address '" + whole + "'");
    text = text.substr(open + 1, close - open - 1);
    Operand &base = out.source[k], &uniform = out.source[k + 1];
    base.kind = uniform.kind = Kind::row;
    size_t from = 0;
    while (from < text.size()) {
        size_t plus = std::min(text.find('+', from), text.size());
        std::string part = text.substr(from, plus - from);
        from = plus + 1;
        i64 value;
        if (parse_number(part, &value)) {
            out.offset = value;
        } else if (part.rfind("UR", 0) == 0) {
            if (uniform.row != zero_row) unknown("address '" + whole + "'");
            size_t dot = part.find(".64");
            if (dot != std::string::npos) part = part.substr(0, dot);
            uniform.row = row_of(part, false);
        } else if (part[0] == 'R' && part.size() > 4 && part.substr(part.size() - 4) == ".U32") {
            base.row = row_of(part.substr(0, part.size() - 4), false);
            out.wrap = true;
        } else if (part[0] == 'R' && part.size() > 3 && part.substr(part.size() - 3) == ".64") {
            base.row = row_of(part.substr(0, part.size() - 3), false);
        } else if (open == 0 && part[0] == 'R') {
            base.row = row_of(part, false);   // of 64 bits, too
        } else {
            unknown("address '" + whole + "'");
        }
    }
    if (out.wrap != (uniform.row != zero_row)) unknown("address '" + whole + "'");
}

// [R2.X4+UR4+0x10]: source k is the register, k + 1 the uniform one.
void Reader::shared_address(int k) {
    std::string text = take();
    const std::string whole = text;
    if (text.size() < 2 || text[0] != '[' || text.back() != ']') unknown("address '" + whole + "'");
    text = text.substr(1, text.size() - 2);
    Operand &base = out.source[k], &uniform = out.source[k + 1];
    base.kind = uniform.kind = Kind::row;
    size_t from = 0;
    while (from < text.size()) {
        size_t plus = std::min(text.find('+', from), text.size());
        std::string part = text.substr(from, plus - from);
        from = plus + 1;
        i64 value;
        if (parse_number(part, &value)) {
            out.offset = value;
            continue;
        }
        for (int shift : {4, 3, 2}) {
            std::string suffix = ".X" + std::to_string(1 << shift);
            if (part.size() > suffix.size() && part.substr(part.size() - suffix.size()) == suffix) {
                out.scale = u8(shift);
                part = part.substr(0, part.size() - suffix.size());
                break;
            }
        }
        if (part.rfind("UR", 0) == 0)
            uniform.row = row_of(part, false);
        else
            base.row = row_of(part, false);
    }
}

// `(.L_x_1): the index of the instruction there. A function's name is the start of its section.
u32 Reader::label() { return label_of(take()); }

u32 Reader::label_of(const std::string& text) const {
    if (text.size() < 4 || text[0] != '`' || text[1] != '(' || text.back() != ')') unknown("'" + text + "' is no label");
    std::string name = text.substr(2, text.size() - 3);
    auto found = d_.labels.find(name);
    if (found == d_.labels.end()) unknown("no place is called '" + name + "'");
    return code_.section_start[found->second.section] + found->second.address / 16;
}

void Reader::section(u32* first, u32* end) const {
    *first = code_.section_start[text_.place.section];
    *end = code_.section_end[text_.place.section];
}

void Reader::finish() {
    if (!modifiers_.empty()) unknown("modifier ." + modifiers_[0] + " is not known");
    if (at_ != text_.operands.size()) unknown("operand '" + text_.operands[at_] + "' is not known");
}

Code decode(const Disassembly& d) {
    Code code;
    code.sections = d.sections;
    code.lines = d.lines;
    code.section_start.assign(d.sections.size(), 0);
    code.section_end.assign(d.sections.size(), 0);
    for (size_t k = 0; k < d.instructions.size(); ++k) code.section_end[d.instructions[k].place.section] = u32(k) + 1;
    for (size_t k = d.instructions.size(); k-- > 0;) code.section_start[d.instructions[k].place.section] = u32(k);
    code.instructions.resize(d.instructions.size());
    for (size_t k = 0; k < d.instructions.size(); ++k) {
        const TextInstruction& text = d.instructions[k];
        Instruction& i = code.instructions[k];
        Reader r(d, text, code, i);
        if (text.place.address != 16 * (k - code.section_start[text.place.section])) r.unknown("not at its place");
        if (!text.guard.empty()) {
            bool good;
            i.guard = predicate_of(text.guard, &good);
            if (!good) r.unknown("guard " + text.guard);
        }
        auto found = table().find(text.name);
        if (found == table().end()) r.unknown("it is not known to the engine");
        found->second(r);
        r.finish();
        u32 control = u32(text.high >> 41);
        i.stall = u8(std::max(1u, control & 15));
        i.write_barrier = control >> 5 & 7;
        i.read_barrier = control >> 8 & 7;
        i.wait_mask = control >> 11 & 63;
        i.address = text.place.address;
        i.section = text.place.section;
        i.line = text.line;
        i.text = u32(code.texts.size());
        code.texts.push_back(text.text);
    }
    code.registers += 4;   // a vector that begins at the last one
    return code;
}

}  // namespace standin::sm90
