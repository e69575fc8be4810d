"""NVIDIA's tools from PyPI, that need no GPU: the compiler NVRTC and where others lie."""

import ctypes
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from golden.errors import ToolError

PACKAGES = {"libnvrtc.so": "nvidia-cuda-nvrtc", "nvdisasm": "nvidia-cuda-nvdisasm"}


@cache
def installed(name: str) -> Path:
    """A file of NVIDIA's packages.

    Raises
    ------
    ToolError
        If the package is missing, or has no such file.
    """
    package = PACKAGES[name]
    try:
        found = [file.locate() for file in files(package) or [] if file.name.startswith(name)]
    except PackageNotFoundError as error:
        raise ToolError(f"{package} is missing; install it with: pip install 'gosset[gpu]'.") from error
    if not found:
        raise ToolError(f"The package {package} has no {name}.")
    return Path(str(found[0]))


def _nvrtc() -> ctypes.CDLL:
    return ctypes.CDLL(str(installed("libnvrtc.so")))


def nvrtc_version() -> str:
    """Of the compiler.

    Raises
    ------
    ToolError
        If it is missing.
    """
    major, minor = ctypes.c_int(), ctypes.c_int()
    _nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compiled(text: str, architecture: str) -> bytes:
    """Machine code of CUDA C++.

    Raises
    ------
    ToolError
        If NVRTC is missing or refuses it.
    """
    library, program, size = _nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"gpu.cu", 0, None, None)
    options = [f"--gpu-architecture={architecture}".encode(), b"-std=c++17"]
    failed = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    kind = "ProgramLog" if failed else "CUBIN"
    getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    made = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{kind}")(program, made)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise ToolError(f"NVRTC does not compile the kernels: {made.value.decode(errors='replace')}")
    return made.raw
