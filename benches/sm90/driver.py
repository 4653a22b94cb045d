"""CUDA's driver and NVRTC through ctypes: as much as small kernels need. On the stand-in driver."""

import ctypes
import struct
from pathlib import Path

OPTIONS = ["--gpu-architecture=sm_90", "--std=c++17", "--fmad=true", "--generate-line-info"]


def compile_kernels(folder, source, name="test.cu"):
    """The cubin that the NVRTC in `folder` makes of `source`."""
    folder = Path(folder)
    for builtins in folder.glob("libnvrtc-builtins.so*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(str(next(folder.glob("libnvrtc.so.*"))))
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None) == 0
    options = (ctypes.c_char_p * len(OPTIONS))(*[option.encode() for option in OPTIONS])
    code = nvrtc.nvrtcCompileProgram(program, len(OPTIONS), options)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert code == 0, log.value.decode()
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin.raw


class CudaError(Exception):
    pass


class Driver:
    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *arguments):
        code = getattr(self.cuda, name)(*arguments)
        if code != 0:
            raise CudaError(f"{name}: error {code}")

    def load(self, cubin):
        module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), cubin)
        return module

    def function(self, module, name):
        function = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function

    def upload(self, data):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(len(data)))
        self.call("cuMemcpyHtoD_v2", address, bytes(data), ctypes.c_size_t(len(data)))
        return address

    def allocate(self, size):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address

    def download(self, address, size):
        data = ctypes.create_string_buffer(size)
        self.call("cuMemcpyDtoH_v2", data, address, ctypes.c_size_t(size))
        return data.raw

    def launch(self, function, blocks, threads, *arguments, shared=0, cooperative=False):
        cells = [a if isinstance(a, ctypes._SimpleCData) else ctypes.c_int(a) for a in arguments]
        pointers = (ctypes.c_void_p * max(1, len(cells)))(*[ctypes.cast(ctypes.byref(c), ctypes.c_void_p) for c in cells])
        if cooperative:
            self.call("cuLaunchCooperativeKernel", function, blocks, 1, 1, threads, 1, 1, shared, None, pointers)
        else:
            self.call("cuLaunchKernel", function, blocks, 1, 1, threads, 1, 1, shared, None, pointers, None)
        self.call("cuCtxSynchronize")

    def reset(self):
        """Clears a failure."""
        self.call("cuDevicePrimaryCtxReset_v2", 0)


def words(data):
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def floats(data):
    return list(struct.unpack(f"<{len(data) // 4}f", data))
