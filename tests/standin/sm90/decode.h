// Decoding: the text of an instruction becomes its compact form. Whatever is not known is an error that
// names the instruction and its address.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "disassembly.h"
#include "instruction.h"

namespace standin::sm90 {

// Code of a module, in one numbering of instructions over all sections.
struct Code {
    std::vector<Instruction> instructions;
    std::vector<std::string> sections;
    std::vector<u32> section_start;         // index of the first instruction
    std::vector<u32> section_end;
    std::vector<SourceLine> lines;
    std::vector<std::string> texts;
    struct Immediate {
        Row half[2];                        // lower, upper
    };
    std::map<u64, Immediate> immediates;
    unsigned registers = 0;                 // most that any instruction names
};

Code decode(const Disassembly& disassembly);

// Reads the parts of one instruction in order. Every modifier and operand must be taken.
class Reader {
  public:
    Reader(const Disassembly& d, const TextInstruction& text, Code& code, Instruction& i)
        : d_(d), text_(text), code_(code), out(i), modifiers_(text.modifiers) {}

    const std::string& name() const { return text_.name; }
    const TextInstruction& text() const { return text_; }
    // Whether the modifier is there; takes it.
    bool has(const char* modifier);
    // The index of the modifier among those given, or `otherwise`.
    int choose(std::initializer_list<const char*> modifiers, int otherwise);
    size_t operands_left() const { return text_.operands.size() - at_; }
    // What the next operand looks like.
    bool next_is_predicate() const;
    bool next_is_register() const;
    bool next_is_label() const;
    const std::string& peek() const;
    std::string take();

    void target(int k = 0);
    void target_predicate(int k = 0);
    void maybe_target_predicate(int k = 0);
    // Sources with integer or floating-point modifiers.
    void integer(int k);
    void floating(int k);
    void integer64(int k);
    void double_precision(int k);
    void predicate(int k);
    void maybe_predicate(int k);
    // A plain number.
    i64 number();
    void global_address(int k);
    void shared_address(int k);
    u32 label();
    u32 label_of(const std::string& text) const;
    // The instructions of this section: the first one, and the one behind the last.
    void section(u32* first, u32* end) const;
    u32 immediate_bits() const { return u32(text_.low >> 32); }
    void pool(Operand& o, u64 value);
    void finish();
    [[noreturn]] void unknown(const std::string& what) const;

  private:
    enum class Style { integer, floating };
    void source(int k, Style style, bool wide);
    u16 row_of(const std::string& name, bool target);

    const Disassembly& d_;
    const TextInstruction& text_;
    Code& code_;

  public:
    Instruction& out;

  private:
    std::vector<std::string> modifiers_;
    size_t at_ = 0;
};

using Decoder = void (*)(Reader&);
using DecoderTable = std::map<std::string, Decoder>;

// Instructions of the uniform datapath are the same with uniform registers.
template <Decoder D>
void uniform(Reader& r) {
    D(r);
    r.out.is_uniform = true;
    r.out.unit = Unit::uniform;
}

// The families of instructions, each in its own file.
void add_integer(DecoderTable&);
void add_floating(DecoderTable&);
void add_double_precision(DecoderTable&);
void add_conversions(DecoderTable&);
void add_predicates(DecoderTable&);
void add_memory(DecoderTable&);
void add_warp_wide(DecoderTable&);
void add_control(DecoderTable&);

}  // namespace standin::sm90
