#include "image.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#ifndef STANDIN_KEY
#error "build with -DSTANDIN_KEY, as the run script does"
#endif

namespace standin {
namespace {

const char first_line[] = "// stand-in PTX: a shared library for the CPU, in hexadecimal";
const char key_marker[] = "standin-key:";

int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

size_t elf_bytes(const char* image) {
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    return size_t(header.e_shoff) + size_t(header.e_shnum) * header.e_shentsize;
}

}  // namespace

const char* build_key() { return STANDIN_KEY; }

std::string ptx_of(const std::string& library, const std::string& name) {
    std::string text = std::string(first_line) + "\n// " + name + "\n// bytes " + std::to_string(library.size()) + "\n";
    text.reserve(text.size() + library.size() * 2 + library.size() / 32 + 64);
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < library.size(); ++i) {
        unsigned char c = (unsigned char)library[i];
        text += digits[c >> 4];
        text += digits[c & 15];
        if (i % 64 == 63) text += '\n';
    }
    return text + "\n";
}

bool image_library(const void* image, std::string* library, std::string* error) {
    const char* p = static_cast<const char*>(image);
    constexpr uint16_t em_cuda = 190;
    if (memcmp(p, ELFMAG, SELFMAG) == 0) {
        Elf64_Ehdr header;
        memcpy(&header, p, sizeof(header));
        if (header.e_machine == em_cuda) {
            *error = "machine code of a GPU, which the stand-in does not run";
            return false;
        }
        library->assign(p, elf_bytes(p));
    } else if (strncmp(p, first_line, sizeof(first_line) - 1) == 0) {
        const char* bytes = strstr(p, "// bytes ");
        if (bytes == nullptr) {
            *error = "a PTX of the stand-in without its length";
            return false;
        }
        char* at;
        size_t length = strtoull(bytes + 9, &at, 10);
        library->reserve(length);
        for (; *at != 0; ++at) {
            int high = digit(*at);
            if (high < 0) continue;
            int low = digit(*++at);
            if (low < 0) break;
            library->push_back(char(high << 4 | low));
        }
        if (library->size() != length) {
            *error = "a PTX of the stand-in that ends early";
            return false;
        }
    } else {
        *error = "the image is neither PTX nor CUBIN of the stand-in: real GPU code does not run here";
        return false;
    }
    std::string key = std::string(key_marker) + build_key();
    if (std::search(library->begin(), library->end(), key.begin(), key.end()) == library->end()) {
        *error = "the image comes from another build of the stand-in (a kernel cache that outlived it?)";
        return false;
    }
    return true;
}

}  // namespace standin
