from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_denoise.io.read import read
from napari_denoise.io.units import unit_name
from napari_denoise.io.write import write

IMAGE = np.arange(64, dtype="uint16").reshape(8, 8)


def imagej(path: Path, per_unit: float, unit: str, kind: str) -> None:
    text = f"ImageJ=1.53t\nunit={unit}\n"
    tifffile.imwrite(
        path,
        IMAGE,
        description=text,
        metadata=None,
        resolution=(per_unit, per_unit),
        resolutionunit=kind,
    )


@pytest.mark.parametrize(
    "text", ["um", "\u00b5m", "\u03bcm", r"\u00B5m", r"\u03BCm", "Â\u00b5m", "micron"]
)
def test_every_spelling_of_a_micrometre_is_known(text: str) -> None:
    assert unit_name(text) == "micrometer"


@pytest.mark.parametrize(
    ("per_unit", "unit", "kind", "size", "name"),
    [
        (1912, "um", "CENTIMETER", 5.2301, "micrometer"),  # Micro-Manager
        (4, "um", "NONE", 0.25, "micrometer"),
        (4, r"\u03BCm", "NONE", 0.25, "micrometer"),
        (20, "inch", "INCH", 1, None),  # a screen's
        (600, "inch", "INCH", 1, None),
        (118.11, "cm", "CENTIMETER", 1, None),  # 300 dpi
        (78153.846, "inch", "INCH", 1 / 78153.846, "inch"),
        (5000, "cm", "NONE", 1 / 5000, "centimeter"),
    ],
)
def test_imagej_calibration_is_told_from_print(
    tmp_path: Path, per_unit: float, unit: str, kind: str, size: float, name: str | None
) -> None:
    imagej(tmp_path / "a.tif", per_unit, unit, kind)
    _, meta = read(tmp_path / "a.tif")
    assert meta.scale == pytest.approx((size, size), rel=1e-4)
    assert meta.units == (name, name)


@pytest.mark.parametrize(
    ("per_unit", "kind", "size"),
    [
        (72, "INCH", None),
        (1200, "INCH", None),
        (28.346, "CENTIMETER", None),
        (118.11, "CENTIMETER", None),
        (0, "CENTIMETER", None),
        (78153.846, "INCH", 0.325),
        (2000, "CENTIMETER", 5),
    ],
)
def test_dots_per_inch_are_no_pixel_size(
    tmp_path: Path, per_unit: float, kind: str, size: float | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, IMAGE, resolution=(per_unit, per_unit), resolutionunit=kind)
    array, meta = read(path)
    unit = "micrometer" if size else None
    assert meta.scale == pytest.approx((size or 1, size or 1))
    assert meta.units == (unit, unit)
    write(tmp_path / "b.ome.tif", array, meta)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert pixels.get("PhysicalSizeX") == (pytest.approx(size) if size else None)
