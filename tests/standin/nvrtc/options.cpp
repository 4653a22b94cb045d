#include "options.h"

#include <stdlib.h>
#include <string.h>

namespace standin {
namespace {

bool flag(const std::string& value) { return value == "true" || value == "1" || value.empty(); }

// Options that change speed, not results, or that have no meaning on a CPU.
const char* const ignored[] = {"-lineinfo", "--generate-line-info", "-G", "--device-debug", "-w", "--disable-warnings",
                               "-default-device", "--device-as-default-execution-space", "-restrict", "--restrict",
                               "--extra-device-vectorization", "-extra-device-vectorization", "-dlto", "--dlto",
                               "-dopt", "--display-error-number", "-err-no", "--no-display-error-number", "-no-err-no",
                               "-brief-diag", "--relocatable-device-code", "-rdc", "--maxrregcount", "-maxrregcount",
                               "--ftz", "-ftz", "--prec-sqrt", "-prec-sqrt", "--prec-div", "-prec-div",
                               "--ptxas-options", "-Xptxas", "--diag-suppress", "-diag-suppress", "--diag-error",
                               "--diag-warn", "--split-compile", "-split-compile", "--minimal", "-minimal",
                               "--no-source-include", "-no-source-include", "--version-ident", "--builtin-move-forward",
                               "--builtin-initializer-list", "--time", "--device-int128", "-device-int128",
                               "--modify-stack-limit", "-modify-stack-limit", "--opt-level", "--dopt", "--pch",
                               "--no-cache", "-no-cache"};
// Options that take their value as the next argument if there is no "=".
const char* const separated[] = {"--ptxas-options", "-Xptxas", "--diag-suppress", "-diag-suppress"};

bool is_in(const std::string& name, const char* const* list, size_t count) {
    for (size_t i = 0; i < count; ++i)
        if (name == list[i]) return true;
    return false;
}

bool parse_arch(const std::string& text, Options* options) {
    size_t digits = text.find_first_of("0123456789");
    std::string kind = text.substr(0, digits);
    if (digits == std::string::npos || (kind != "sm_" && kind != "compute_" && kind != "lto_")) return false;
    char* end;
    long number = strtol(text.c_str() + digits, &end, 10);
    if ((*end != 0 && strcmp(end, "a") != 0 && strcmp(end, "f") != 0) || number < 50 || number > 121) return false;
    options->arch = int(number);
    options->real_arch = kind == "sm_";
    return true;
}

}  // namespace

bool parse_options(const std::vector<std::string>& arguments, Options* options, std::string* error) {
    for (size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        size_t equals = argument.find('=');
        std::string name = argument.substr(0, equals);
        std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
        auto following = [&] {
            if (equals == std::string::npos && i + 1 < arguments.size()) value = arguments[++i];
        };
        if (name == "--gpu-architecture" || name == "-arch") {
            following();
            if (!parse_arch(value, options)) {
                *error = "nvrtc: error: invalid value for --gpu-architecture (-arch)";
                return false;
            }
        } else if (name == "--define-macro" || name == "-D") {
            following();
            options->defines.push_back("-D" + value);
        } else if (argument.compare(0, 2, "-D") == 0) {
            options->defines.push_back(argument);
        } else if (name == "--undefine-macro" || name == "-U") {
            following();
            options->defines.push_back("-U" + value);
        } else if (argument.compare(0, 2, "-U") == 0) {
            options->defines.push_back(argument);
        } else if (name == "--include-path" || name == "-I") {
            following();
            options->include_paths.push_back(value);
        } else if (argument.compare(0, 2, "-I") == 0) {
            options->include_paths.push_back(argument.substr(2));
        } else if (name == "--pre-include" || name == "-include") {
            following();
            options->pre_includes.push_back(value);
        } else if (name == "--std" || name == "-std") {
            options->standard = value;
        } else if (name == "--fmad" || name == "-fmad") {
            options->fmad = flag(value);
        } else if (name == "--use_fast_math" || name == "-use_fast_math") {
            options->fast_math = true;
        } else if (is_in(name, ignored, sizeof(ignored) / sizeof(*ignored))) {
            if (name == "-lineinfo" || name == "--generate-line-info") options->line_info = true;
            if (is_in(name, separated, sizeof(separated) / sizeof(*separated))) following();
        } else {
            *error = "nvrtc: error: unrecognized option " + argument;
            return false;
        }
    }
    return true;
}

}  // namespace standin
