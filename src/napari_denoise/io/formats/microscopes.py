"""What the TIFF dialects of instruments say: LSM, MetaMorph, ScanImage, FluoView, SIS, SEM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import tifffile

from napari_denoise.io.formats.tiff_images import Pages, TiffImage
from napari_denoise.io.stated import Stated
from napari_denoise.io.units import unit_name

_MICRO = 1e6
Sizes = dict[str, tuple[float, str | None]]


def instrument_stated(tif: tifffile.TiffFile) -> Stated | None:
    """Gather what an instrument's own notes say; None for files of no known instrument."""
    for known, read in _READERS.items():
        if getattr(tif, f"is_{known}", False):
            try:
                return read(tif)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                return Stated(known)  # notes of another version: what is certain is used
    return None


def _lsm(tif: tifffile.TiffFile) -> Stated:
    notes: Mapping[str, Any] = tif.lsm_metadata or {}
    sizes = _known({a: (notes.get(f"VoxelSize{a}", 0) * _MICRO, "micrometer") for a in "XYZ"})
    times = notes.get("TimeStamps")
    interval = notes.get("TimeIntervall") or 0
    if times is not None and len(times) > 1:  # what was, rather than what was planned
        interval = (times[-1] - times[0]) / (len(times) - 1)
    sizes |= _known({"T": (interval, "second")})
    colours = notes.get("ChannelColors") or {}
    rgb = colours.get("Colors") or []
    return Stated(
        "lsm",
        sizes,
        channel_names=tuple(map(str, colours.get("ColorNames") or ())),
        channel_colors=tuple(f"#{int(r):02x}{int(g):02x}{int(b):02x}" for r, g, b, *_ in rgb),
    )


def _stk(tif: tifffile.TiffFile) -> Stated:
    notes: Mapping[str, Any] = tif.stk_metadata or {}
    sizes: Sizes = {}
    unit = unit_name(str(notes.get("CalibrationUnits", "")))
    if notes.get("SpatialCalibration", 1) and unit and unit != "pixel":
        sizes |= {a: (_value(notes.get(f"{a}Calibration")), unit) for a in "XY"}
    distances = np.abs(np.atleast_1d(notes.get("ZDistance", 0)).astype(float))
    sizes["Z"] = (
        float(np.median(distances[distances > 0], axis=0)) if distances.any() else 0,
        unit or "micrometer",
    )
    created = notes.get("DatetimeCreated")
    moments = np.atleast_1d(notes.get("TimeCreated", 0)).astype(float) / 1000
    if created is not None:
        moments = (np.atleast_1d(created) - np.atleast_1d(created)[0]) / np.timedelta64(1, "s")
    if len(moments) > 1:
        sizes["T"] = (float(moments[-1] - moments[0]) / (len(moments) - 1), "second")
    return Stated("stk", _known(sizes))


def _metaseries(tif: tifffile.TiffFile) -> Stated:
    plane = (tif.metaseries_metadata or {}).get("PlaneInfo", {})
    unit = unit_name(plane.get("spatial-calibration-units"))
    on = plane.get("spatial-calibration-state", True) and unit and unit != "pixel"
    sizes: Sizes = {a: (plane.get(f"spatial-calibration-{a.lower()}", 0), unit) for a in "XY"}
    name = plane.get("_IllumSetting_") or plane.get("image-name") or ""
    return Stated("metaseries", _known(sizes) if on else {}, channel_names=(str(name),))


def _scanimage(tif: tifffile.TiffFile) -> Stated:
    notes = scanimage_notes(tif)
    page = tif.pages.first
    sizes: Sizes = {}
    corners = np.asarray(notes.get("SI.hRoiManager.imagingFovUm", []), float)
    if corners.ndim == 2 and corners.shape[1] == 2:
        width, height = np.ptp(corners, axis=0)
        sizes |= {
            "X": (width / page.imagewidth, "micrometer"),
            "Y": (height / page.imagelength, "micrometer"),
        }
    step = notes.get("SI.hStackManager.actualStackZStepSize") or notes.get(
        "SI.hStackManager.stackZStepSize"
    )
    sizes["Z"] = (abs(_value(step)), "micrometer")
    volumes = _volume(notes) > 1
    rate = notes.get(f"SI.hRoiManager.scan{'Volume' if volumes else 'Frame'}Rate")
    rate = _value(rate) or _value(notes.get("state.acq.frameRate"))
    sizes["T"] = (1 / rate if rate else 0, "second")
    names = notes.get("SI.hChannels.channelName")
    saved = _channels(notes)
    if not isinstance(names, (list, tuple)):
        names = ()
    chosen = [str(names[i - 1]) for i in saved if 0 < i <= len(names)]
    return Stated("scanimage", _known(sizes), channel_names=tuple(chosen))


def scanimage_notes(tif: tifffile.TiffFile) -> dict[str, Any]:
    """Read the settings of ScanImage: of the header, the Software tag, or the description."""
    found = (tif.scanimage_metadata or {}).get("FrameData")
    if found:
        return dict(found)
    page = tif.pages.first
    text = page.software if page.software.startswith("SI.") else page.description
    lines = text.replace("\r", "\n").replace("scanimage.SI5.", "SI5.").splitlines()
    parsed = tifffile.matlabstr2py("\n".join(line for line in lines if "=" in line))
    return dict(parsed) if isinstance(parsed, Mapping) else {}


def scanimage_image(tif: tifffile.TiffFile, series: Any) -> TiffImage:
    """Lay out a ScanImage file: channels fastest, then frames of a plane, or planes of a volume."""
    notes, pages = scanimage_notes(tif), [*series]
    channels = max(1, len(_channels(notes)))
    per_volume, frames = _volume(notes), len(pages) // channels
    per_slice = _whole(notes.get("SI.hStackManager.framesPerSlice"))
    per_slice = per_slice or _whole(notes.get("state.acq.numberOfFrames"))
    if per_volume > 1:
        axes, inner = "TZC", per_volume
    elif per_slice and per_slice > 1 and frames > per_slice:
        axes, inner = "ZTC", per_slice
    else:
        slow = (_whole(notes.get("SI.hStackManager.numSlices")) or 1) > 1
        slow = slow or (_whole(notes.get("state.acq.numberOfZSlices")) or 1) > 1
        axes, inner = ("ZTC" if slow else "TZC"), 1
    whole = max(1, frames // inner)
    inner = min(inner, max(1, frames))
    used = whole * inner * channels
    lost = len(pages) - used
    said = f"its last {lost} frames are no whole plane or volume: they were left out"
    laid = Pages(pages[:used], axes, (whole, inner, channels), (said,) if lost else ())
    return TiffImage(
        laid.series(tif, "scanimage"),
        notes=(*laid.notes, *_unfinished(notes, axes, whole, inner)),
    )


def _unfinished(notes: Mapping[str, Any], axes: str, whole: int, inner: int) -> tuple[str, ...]:
    """Say where fewer frames are there than were planned."""
    if axes == "ZTC":
        keys, words = ("SI.hStackManager.numSlices", "state.acq.numberOfZSlices"), "planes"
    elif inner > 1:
        keys, words = ("SI.hStackManager.numVolumes", "SI.hFastZ.numVolumes"), "volumes"
    else:
        keys, words = ("SI.hStackManager.framesPerSlice", "state.acq.numberOfFrames"), "frames"
    planned = next((n for n in (_whole(notes.get(key)) for key in keys) if n), 0)
    if planned <= whole:
        return ()
    return (f"{planned} {words} were planned, and {whole} are there",)


def _volume(notes: Mapping[str, Any]) -> int:
    """Frames of a volume that was scanned fast; 1 for none."""
    if not (notes.get("SI.hFastZ.enable") or notes.get("SI.hStackManager.enable")):
        return 1
    keys = (
        "SI.hStackManager.numFramesPerVolumeWithFlyback",
        "SI.hStackManager.numFramesPerVolume",
        "SI.hFastZ.numFramesPerVolume",
    )
    volumes = _whole(notes.get("SI.hStackManager.numVolumes"))
    volumes = volumes or _whole(notes.get("SI.hFastZ.numVolumes"))
    if not volumes or volumes < 2:
        return 1
    return next((n for n in (_whole(notes.get(key)) for key in keys) if n), 1)


def _channels(notes: Mapping[str, Any]) -> list[int]:
    """Numbers of the channels that were saved."""
    keys = ("SI.hChannels.channelSave", "SI5.channelsSave", "scanimage.SI4.channelsSave")
    saved = next((notes[key] for key in keys if key in notes), None)
    if saved is None:
        count = _whole(notes.get("state.acq.numberOfChannelsSave")) or 0
        return list(range(1, count + 1))
    flat = np.ravel(np.asarray(saved)).tolist()
    return [int(number) for number in flat]


def _fluoview(tif: tifffile.TiffFile) -> Stated:
    sizes: Sizes = {}
    for name, _, _, step, unit in (tif.fluoview_metadata or {}).get("Dimensions", []):
        axis = {"TIME": "T"}.get(name.upper(), name[:1].upper())
        if axis in "XYZT" and unit_name(unit):
            sizes[axis] = (abs(float(step)), unit_name(unit))
    return Stated("fluoview", _known(sizes))


def _sis(tif: tifffile.TiffFile) -> Stated:
    notes = tif.sis_metadata or {}
    sizes: Sizes = {a: (notes.get(f"pixelsize{a.lower()}", 0) * _MICRO, "micrometer") for a in "XY"}
    return Stated("sis", _known(sizes))


def _fei(tif: tifffile.TiffFile) -> Stated:
    scan = (tif.fei_metadata or {}).get("Scan", {})
    sizes: Sizes = {
        "X": (_value(scan.get("PixelWidth")) * 1e9, "nanometer"),
        "Y": (_value(scan.get("PixelHeight")) * 1e9, "nanometer"),
    }
    return Stated("fei", _known(sizes))


def _sem(tif: tifffile.TiffFile) -> Stated:
    notes = tif.sem_metadata or {}
    found = notes.get("ap_image_pixel_size") or notes.get("ap_pixel_size")
    sizes: Sizes = {}
    if found and len(found) > 2:
        sizes = {a: (_value(found[1]), unit_name(found[2])) for a in "XY"}
    return Stated("sem", _known(sizes))


_READERS: Mapping[str, Callable[[tifffile.TiffFile], Stated]] = {
    "lsm": _lsm,
    "stk": _stk,
    "scanimage": _scanimage,
    "fluoview": _fluoview,
    "sis": _sis,
    "fei": _fei,
    "sem": _sem,
}


def page_stated(tif: tifffile.TiffFile) -> Stated | None:
    """Gather what the notes of a single plane say: those of MetaSeries."""
    if not tif.pages.first.is_metaseries:
        return None
    try:
        return _metaseries(tif)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _known(sizes: Mapping[str, tuple[Any, str | None]]) -> Sizes:
    """Sizes that are positive numbers with a unit."""
    found = {axis: (_value(size), unit) for axis, (size, unit) in sizes.items()}
    return {a: (size, unit) for a, (size, unit) in found.items() if size > 0 and unit}


def _value(value: Any) -> float:
    """Return a number, of a fraction its value; 0 where there is none."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return float(value[0]) / float(value[1]) if value[1] else 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if np.isfinite(number) else 0.0


def _whole(value: Any) -> int | None:
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = prod(np.ravel(np.asarray([*value])).tolist())
    number = _value(value)
    return int(number) if number >= 1 else None
