// What passes between the two halves: a compiled module as NVRTC's "PTX" (text
// that ends with a NUL) or as its "CUBIN" (the library itself, an ELF file).
#pragma once
#include <string>

namespace standin {

// The build of the stand-in that made an image; another's does not fit.
const char* build_key();

std::string ptx_of(const std::string& library, const std::string& name);

// The library that an image carries. An image has no length: it ends itself.
bool image_library(const void* image, std::string* library, std::string* error);

}  // namespace standin
