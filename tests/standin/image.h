// The image that one half passes to the other: a compiled module as NVRTC's "PTX"
// (NUL-terminated text) or as its "CUBIN" (the library itself, an ELF file).
#pragma once
#include <string>

namespace standin {

// The build of the stand-in that made an image; other builds refuse it.
const char* build_key();

std::string ptx_of(const std::string& library, const std::string& name);

// The library in an image. An image has no length: its end is found in it.
bool image_library(const void* image, std::string* library, std::string* error);

}  // namespace standin
