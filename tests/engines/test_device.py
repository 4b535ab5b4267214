import pytest
import torch

from napari_denoise.engines import device


def test_the_cpu_is_always_there_and_auto_is_the_first_device():
    devices = device.available_devices()
    assert devices[-1] == "cpu"
    assert device.choose_device("auto") == devices[0]


def test_a_device_that_is_not_there_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="choose 'auto' or one of"):
        device.choose_device("cuda:17")


def test_bfloat16_is_chosen_only_where_the_cpu_multiplies_in_it(monkeypatch):
    monkeypatch.setattr(device, "_multiplies_bfloat16", lambda: False)
    assert device.choose_precision("cpu") == "float32"
    monkeypatch.setattr(device, "_multiplies_bfloat16", lambda: True)
    assert device.choose_precision("cpu") == "bfloat16"
    assert device.choose_precision("cpu", "float32") == "float32"
    assert device.choose_precision("cuda:0") == "float16"


@pytest.mark.parametrize(
    ("unit", "vendor", "fast"),
    [
        ("amx_tile", "GenuineIntel", True),
        ("avx512_bf16", "AuthenticAMD", True),
        ("avx512_bf16", "GenuineIntel", False),  # as slow as float32 there
        ("", "AuthenticAMD", False),
    ],
)
def test_units_of_a_cpu_that_multiply_bfloat16_faster(monkeypatch, unit, vendor, fast):
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name == unit)
    monkeypatch.setattr(device, "_processor", lambda: f"vendor_id : {vendor}")
    assert device._multiplies_bfloat16() is fast


def test_the_system_says_something_of_the_cpu():
    assert device._processor().strip()


def test_float16_on_the_cpu_is_refused():
    with pytest.raises(ValueError, match="choose 'float32'"):
        device.choose_precision("cpu", "float16")


def test_out_of_memory_is_told_from_other_failures():
    assert device.is_out_of_memory(MemoryError())
    assert device.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert device.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: 5"))
    assert not device.is_out_of_memory(RuntimeError("shape mismatch"))
    assert not device.is_out_of_memory(ValueError("out of memory"))


def test_the_free_memory_of_the_cpu_is_plausible():
    assert 2**20 < device.free_memory("cpu") < 2**50
