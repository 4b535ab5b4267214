"""One file a format: bytes to arrays and back. The tables say who reads and writes what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_denoise.io.formats.exr_reader import read_exr
from napari_denoise.io.formats.loaded import Frame, Loaded
from napari_denoise.io.formats.look import jpeg_look, png_look
from napari_denoise.io.formats.npy import read_npy, write_npy
from napari_denoise.io.formats.ome_zarr_reader import image_names, read_ome_zarr
from napari_denoise.io.formats.raster import read_jpeg, read_png
from napari_denoise.io.formats.tiff_reader import (
    read_tiff,
    read_tiff_look,
    read_tiff_plane,
    tiff_image_names,
    tiff_plane_fields,
)
from napari_denoise.io.formats.tiff_writer import write_tiff
from napari_denoise.io.formats.vendor import (
    lif_names,
    nd2_names,
    read_lif,
    read_nd2,
    refuse_czi,
)
from napari_denoise.io.inputs import LIF_SUFFIXES, TIFF_DIALECTS, TIFF_SUFFIXES
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.zarr_folders import STORE_SUFFIXES

FILE_READERS: Mapping[str, Callable[[Path, int], Loaded]] = {
    ".npy": lambda path, series: read_npy(path),
    **dict.fromkeys((*TIFF_SUFFIXES, *TIFF_DIALECTS), read_tiff),
    **dict.fromkeys(STORE_SUFFIXES, read_ome_zarr),
    ".nd2": read_nd2,
    **dict.fromkeys(LIF_SUFFIXES, read_lif),
    ".czi": refuse_czi,
}
"""Formats of whole stacks; the number is that of an image in the file."""

IMAGE_NAMES: Mapping[str, Callable[[Path], list[str]]] = {
    **dict.fromkeys((*TIFF_SUFFIXES, *TIFF_DIALECTS), tiff_image_names),
    **dict.fromkeys(STORE_SUFFIXES, image_names),
    ".nd2": nd2_names,
    **dict.fromkeys(LIF_SUFFIXES, lif_names),
}
"""Names of the images in a file, in order, without reading pixels; "" for those without one.
Formats that are not here hold one image a file."""

FRAME_READERS: Mapping[str, Callable[[Path], Frame]] = {
    ".png": lambda path: {"color": read_png(path)},
    ".jpg": lambda path: {"color": read_jpeg(path)},
    ".jpeg": lambda path: {"color": read_jpeg(path)},
    ".exr": lambda path: read_exr(path).images,
    **dict.fromkeys(TIFF_SUFFIXES, lambda path: {"color": read_tiff_plane(path)}),
}
"""Files that hold one frame, alone or of a numbered sequence."""

FRAME_FIELDS: Mapping[str, Callable[[Path, str], dict[str, Any]]] = dict.fromkeys(
    TIFF_SUFFIXES, tiff_plane_fields
)
"""Fields of `ImageMeta` that one frame states of its stack, given the letters of the axes."""

LOOK_READERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    ".png": png_look,
    ".jpg": jpeg_look,
    ".jpeg": jpeg_look,
    **dict.fromkeys(TIFF_SUFFIXES, read_tiff_look),
}
"""How one frame is shown, beside its pixels."""

FILE_WRITERS: Mapping[str, Callable[[Path, Path, Any, ImageMeta], set[str]]] = {
    ".npy": write_npy,
    **dict.fromkeys(TIFF_SUFFIXES, write_tiff),
}
"""Write whole stacks; `io.write` itself writes those of one frame per file, and `io.stores`
folders."""
