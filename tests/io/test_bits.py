"""Bits of a camera: where files say them, and that they stay with the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_denoise import read, write

STACK = np.random.default_rng(0).integers(0, 4096, (3, 40, 50)).astype(np.uint16)


def bits(path: Path) -> int | None:
    found: int | None = read(path)[1].extra.get("significant_bits")
    return found


def ome(path: Path, stack: Any = STACK, number: int | None = 12) -> Path:
    held = {} if number is None else {"SignificantBits": number}
    tifffile.imwrite(path, stack, metadata={"axes": "TYX", **held})
    return path


def test_bits_are_read_where_they_are_said(tmp_path: Path) -> None:
    assert bits(ome(tmp_path / "told.ome.tif")) == 12
    assert bits(ome(tmp_path / "untold.ome.tif", number=None)) is None
    assert bits(ome(tmp_path / "all.ome.tif", number=16)) is None  # those of the type
    assert bits(ome(tmp_path / "float.ome.tif", STACK.astype(np.float32))) is None


@pytest.mark.parametrize(
    "info", ["SignificantBits = 12", "depth\nBitsPerPixel: 12\n", '"BitDepth": 12,']
)
def test_bits_are_read_from_the_notes_of_imagej(tmp_path: Path, info: str) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX", "Info": info})
    assert bits(path) == 12


@pytest.mark.parametrize(("most", "expected"), [(4095, 12), (4000, None), (65535, None)])
def test_bits_follow_from_the_largest_sample_value(
    tmp_path: Path, most: int, expected: int | None
) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, STACK[0], extratags=[(281, "H", 1, most, True)])
    assert bits(path) == expected


def test_bits_are_written_and_stay_with_whole_numbers(tmp_path: Path) -> None:
    stack, meta = read(ome(tmp_path / "told.ome.tif"))
    for name in ("again.ome.tif", "again.npy"):
        write(tmp_path / name, stack, meta)
        assert bits(tmp_path / name) == 12
    assert not (tmp_path / "again.ome.tif.json").exists()
    beside = json.loads((tmp_path / "again.npy.json").read_text())
    assert beside["extra"] == {"significant_bits": 12}
    write(tmp_path / "float.ome.tif", stack.astype(np.float32), meta)
    assert bits(tmp_path / "float.ome.tif") is None
