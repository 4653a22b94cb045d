// Reading of a cubin's ELF sections, symbols and attributes.
#include "cubin.h"

#include <elf.h>
#include <string.h>

#include <algorithm>
#include <stdexcept>

namespace standin::sm90 {
namespace {

// Attributes of sections .nv.info and .nv.info.KERNEL, by their number in the file.
enum Attribute : u8 {
    max_threads = 0x05,
    param_bank = 0x0a,
    frame_size = 0x11,
    min_stack_size = 0x12,
    param_info = 0x17,
    register_count = 0x2f,
};

constexpr u32 default_stack = 1024, most_stack = 512 << 10;

struct Sections {
    const u8* file;
    std::vector<Elf64_Shdr> headers;
    std::vector<std::string> names;
    std::vector<std::string> symbols;   // by index; sections' symbols have the section's name

    explicit Sections(const std::vector<u8>& bytes) : file(bytes.data()) {
        Elf64_Ehdr header;
        memcpy(&header, file, sizeof(header));
        headers.resize(header.e_shnum);
        memcpy(headers.data(), file + header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr));
        const char* text = reinterpret_cast<const char*>(file) + headers[header.e_shstrndx].sh_offset;
        for (const auto& h : headers) names.push_back(text + h.sh_name);
        for (size_t s = 0; s < headers.size(); ++s) {
            if (headers[s].sh_type != SHT_SYMTAB) continue;
            const char* strings = reinterpret_cast<const char*>(file) + headers[headers[s].sh_link].sh_offset;
            for (u64 at = 0; at < headers[s].sh_size; at += sizeof(Elf64_Sym)) {
                Elf64_Sym symbol;
                memcpy(&symbol, file + headers[s].sh_offset + at, sizeof(symbol));
                symbols.push_back(strings + symbol.st_name);
            }
        }
    }
    int find(const std::string& name) const {
        auto found = std::find(names.begin(), names.end(), name);
        return found == names.end() ? -1 : int(found - names.begin());
    }
};

u32 word(const u8* p) {
    u32 x;
    memcpy(&x, p, 4);
    return x;
}
u16 half(const u8* p) {
    u16 x;
    memcpy(&x, p, 2);
    return x;
}

// Calls `use(attribute, value, bytes)` for every attribute of a section that has a value in memory.
template <class Use>
void each_attribute(const Sections& s, int section, Use use) {
    const u8* p = s.file + s.headers[size_t(section)].sh_offset;
    const u8* end = p + s.headers[size_t(section)].sh_size;
    while (p + 4 <= end) {
        u8 format = p[0], attribute = p[1];
        u16 size = half(p + 2);
        p += 4;
        if (format != 4) continue;   // the value is in the two bytes of the size
        use(attribute, p, size);
        p += size;
    }
}

}  // namespace

Cubin read_cubin(const void* image) {
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    // The chip's number is in the second byte of the flags, or, in older files, in the first.
    u32 chip = (header.e_flags >> 8) & 0xff;
    if (header.e_machine != 190 || (chip != 90 && (header.e_flags & 0xff) != 90))
        throw std::runtime_error("machine code for another chip than sm_90");
    Cubin cubin;
    u64 end = std::max(header.e_shoff + u64(header.e_shnum) * header.e_shentsize,
                       header.e_phoff + u64(header.e_phnum) * header.e_phentsize);
    cubin.bytes.assign(static_cast<const u8*>(image), static_cast<const u8*>(image) + end);
    Sections s(cubin.bytes);
    for (size_t i = 0; i < s.headers.size(); ++i)
        if (s.names[i].rfind(".text.", 0) == 0) cubin.code_bytes[s.names[i]] = s.headers[i].sh_size;
    for (size_t i = 0; i < s.headers.size(); ++i) {
        // A code section with a constant bank 0 is a kernel.
        if (s.names[i].rfind(".nv.constant0.", 0) != 0) continue;
        CubinKernel k;
        std::string name = s.names[i].substr(strlen(".nv.constant0."));
        k.facts.name = name;
        k.section = ".text." + name;
        k.shared_end = reserved_shared;
        int shared = s.find(".nv.shared." + name);
        if (shared >= 0) k.shared_end = std::max<u32>(reserved_shared, u32(s.headers[size_t(shared)].sh_size));
        k.facts.static_shared = k.shared_end - reserved_shared;
        for (unsigned bank = 1; bank < 8; ++bank) {
            int found = s.find(".nv.constant" + std::to_string(bank) + "." + name);
            if (found < 0) found = s.find(".nv.constant" + std::to_string(bank));
            if (found < 0) continue;
            const auto& h = s.headers[size_t(found)];
            k.bank[bank].assign(s.file + h.sh_offset, s.file + h.sh_offset + h.sh_size);
        }
        int common = s.find(".nv.info"), own = s.find(".nv.info." + name);
        if (common < 0 || own < 0) throw std::runtime_error("kernel " + name + " has no attributes");
        each_attribute(s, common, [&](u8 attribute, const u8* p, u16) {
            if (word(p) >= s.symbols.size()) return;
            bool is_own = s.symbols[word(p)] == name;
            if (attribute == register_count && is_own) k.facts.registers = word(p + 4);
            // Functions that call each other need the stack that the driver gives every thread.
            if (attribute == min_stack_size || attribute == frame_size)
                k.facts.local_bytes = std::max(k.facts.local_bytes, is_own || word(p + 4) == 0 ? word(p + 4) : default_stack);
        });
        if (k.facts.local_bytes > most_stack) k.facts.local_bytes = default_stack;   // recursive: not known
        each_attribute(s, own, [&](u8 attribute, const u8* p, u16 size) {
            if (attribute == max_threads && size >= 12) k.facts.max_threads = word(p) * word(p + 4) * word(p + 8);
            if (attribute == param_bank) k.param_offset = half(p + 4), k.param_bytes = half(p + 6);
            if (attribute == param_info) {
                size_t ordinal = half(p + 4);
                if (k.facts.params.size() <= ordinal) k.facts.params.resize(ordinal + 1);
                k.facts.params[ordinal] = {half(p + 6), word(p + 8) >> 18};
            }
        });
        if (k.facts.registers == 0) throw std::runtime_error("kernel " + name + " without its number of registers");
        cubin.kernels.push_back(std::move(k));
    }
    return cubin;
}

}  // namespace standin::sm90
