"""Which device and precision to compute with, and what memory it has."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path

import psutil
import torch

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def available_devices() -> list[str]:
    """Return the devices PyTorch can use here, the fastest first."""
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose_device(wanted: str = "auto") -> str:
    """Resolve "auto" to the fastest device and check any other name.

    Raises
    ------
    ValueError
        The device is unknown or not available here.
    """
    devices = available_devices()
    if wanted == "auto":
        return devices[0]
    name = "cuda:0" if wanted == "cuda" else wanted
    if name not in devices:
        raise ValueError(
            f"device {wanted!r} is not available: choose 'auto' or one of {', '.join(devices)}. "
            "An NVIDIA GPU needs a PyTorch built for CUDA: https://pytorch.org/get-started"
        )
    return name


FINEST_SIGMA = {"float32": 0.0, "float16": 0.0125, "bfloat16": 0.1}
"""Least noise sd, in network units, that rounding stays within 5 % of at every pixel."""


def choose_precision(device: str, wanted: str = "auto") -> str:
    """Resolve "auto": half on a GPU, bfloat16 on a CPU that is faster in it, else float32.

    Emulated, bfloat16 is several times slower than float32. On a GPU float16 has three more bits
    of mantissa than bfloat16 at the same speed.

    Raises
    ------
    ValueError
        float16 on a CPU, which PyTorch computes far slower than float32.
    """
    if wanted == "auto":
        if device != "cpu":
            return "float16"
        return "bfloat16" if _multiplies_bfloat16() else "float32"
    if wanted not in PRECISIONS:
        raise ValueError(f"precision {wanted!r}: choose auto, {', '.join(PRECISIONS)}")
    if wanted == "float16" and device == "cpu":
        raise ValueError(
            "precision 'float16' on the CPU is far slower than 'float32': choose 'float32', or "
            "'bfloat16' on a CPU with AMX, or AMD's with AVX512-BF16"
        )
    return wanted


def free_memory(device: str) -> int:
    """Bytes that can still be allocated on a device."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory from any other failure."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )


def release_memory(device: str) -> None:
    """Hand cached blocks back before trying again with less."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def _multiplies_bfloat16() -> bool:
    """Tell AMX (Intel from 2023 on) or the AVX512-BF16 of AMD (from Zen 4 on).

    Intel's AVX512-BF16 multiplies no faster than float32 does, and the conversions are extra.
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and "AuthenticAMD" in _processor()


@lru_cache(maxsize=1)
def _processor() -> str:
    """Return what the system says of the CPU, its vendor in it."""
    listed = Path("/proc/cpuinfo")
    return listed.read_text()[:4096] if listed.is_file() else platform.processor()
