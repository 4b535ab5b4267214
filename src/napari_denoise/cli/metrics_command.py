"""`napari-denoise metrics`: how close an image is to its reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli.console import Debug, Json, cell, out, print_json, reporting, warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_denoise.image.axes import Layout


_CAMERA_BITS = (8, 12, 14, 16, 24, 32, 64)
"""Of cameras and of integer types."""


def metrics(
    reference: Annotated[str, typer.Argument(help="The truth: a file, folder or wildcard.")],
    image: Annotated[str, typer.Argument(help="What is compared with it, of the same shape.")],
    data_range: Annotated[
        float | None,
        typer.Option(
            help="Peak of PSNR and SSIM, in the data's units. By default that of the integer "
            "type; for floats, maximum - minimum of the reference."
        ),
    ] = None,
    axes: Annotated[
        str | None, typer.Option(help="A letter per dimension, of T Z C Y X S (RGB).")
    ] = None,
    tone_map: Annotated[
        bool,
        typer.Option("--tone-map", help="Compare clip(x, 0, 1) ^ (1 / 2.2), for linear HDR."),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare an image with its reference: PSNR and SSIM, and relMSE for linear HDR colour.

    Every frame, and the mean over the frames. The data range in use is always stated.
    """
    with reporting(debug):
        result = compare_files(reference, image, data_range, axes, tone_map)
        hint = result.pop("hint")
        if as_json:
            print_json(result)
        else:
            _print(result)
        if hint:
            warn(hint)


def compare_files(
    reference: str,
    image: str,
    data_range: float | None = None,
    axes: str | None = None,
    tone_map: bool = False,
) -> dict[str, Any]:
    """Compare two images frame by frame.

    Returns
    -------
    Data range and where it is from, the rows, their mean, and a hint where the range looks
    too wide ("" otherwise), as JSON values.

    Raises
    ------
    ValueError
        A file cannot be read, the shapes differ, or integers of two ranges are to be
        compared without a data range.
    """
    from napari_denoise.image.axes import Layout
    from napari_denoise.image.tone import TONE_MAPPED, tone_mapped
    from napari_denoise.inference.described import is_linear_colour
    from napari_denoise.io.read import read

    truth, meta = read(reference, axes=axes)
    other, _ = read(image, axes=axes)
    if truth.shape != other.shape:
        raise ValueError(
            f"{image}: its shape {tuple(other.shape)} differs from {tuple(truth.shape)} of "
            f"{reference}; metrics compare pixel by pixel, so pass images of one shape"
        )
    if data_range is None:
        _check_types(truth, other, reference, image)
    layout = Layout(meta.axes, tuple(truth.shape))
    hdr = is_linear_colour(truth, meta) and not tone_map
    if tone_map:
        truth, other = tone_mapped(truth), tone_mapped(other)
        peak, origin = 1.0, TONE_MAPPED
    else:
        peak, origin = choose_range(truth, layout, data_range)
    hint = "" if tone_map or data_range is not None else _too_wide(truth, layout, peak)
    rows = list(compare(truth, other, layout, peak, hdr))
    means = {k: _mean([row[k] for row in rows]) for k in rows[0] if k != "frame"}
    figures = {"frames": rows, "mean": means}
    return {"data_range": peak, "data_range_from": origin, **figures, "hint": hint}


def _too_wide(truth: Any, layout: Layout, peak: float) -> str:
    """Say how much higher PSNR is where a camera of few bits fills a small part of a type."""
    import numpy as np

    dtype = np.dtype(truth.dtype)
    if dtype.kind not in "iu" or dtype.itemsize == 1:
        return ""
    frames = [np.asarray(truth[index]) for index in layout.frames]
    most = max(int(frame.max()) for frame in frames)
    if most <= 0 or most > np.iinfo(dtype).max // 4:
        return ""
    likely = 2 ** next(bits for bits in _CAMERA_BITS if 2**bits > most) - 1
    lower = 20 * math.log10(peak / likely)
    return (
        f"the brightest pixel of the reference is {most}, far below the range {peak:.10g} of "
        f"{dtype}, so that PSNR looks too high: if the camera has {likely.bit_length()} bits, pass "
        f"--data-range {likely} (PSNR is then {lower:.1f} dB lower)"
    )


def _check_types(truth: Any, other: Any, reference: str, image: str) -> None:
    """Integers of two types count in different units, as a rule: 255 of one is 65535."""
    import numpy as np

    kinds = [np.dtype(array.dtype) for array in (truth, other)]
    if all(kind.kind in "iu" for kind in kinds) and kinds[0] != kinds[1]:
        raise ValueError(
            f"{reference} is {kinds[0]} but {image} is {kinds[1]}: their values may not mean the "
            "same; convert one, or pass --data-range to compare the values as they are"
        )


def choose_range(truth: Any, layout: Layout, given: float | None = None) -> tuple[float, str]:
    """Choose the peak of PSNR and SSIM, and say where it is from.

    Raises
    ------
    ValueError
        The given one is not positive, or the reference is constant.
    """
    import numpy as np

    if given is not None:
        if not (math.isfinite(given) and given > 0):
            raise ValueError(f"data range {given}: expected a number above 0")
        return given, "given"
    dtype = np.dtype(truth.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return float(limits.max) - float(limits.min), f"that of {dtype}"
    frames = [np.asarray(truth[index]) for index in layout.frames]
    peak = float(max(f.max() for f in frames)) - float(min(f.min() for f in frames))
    if not (math.isfinite(peak) and peak > 0):
        raise ValueError(
            f"the reference spans {peak}, so that it gives no data range: pass --data-range"
        )
    return peak, "maximum - minimum of the reference"


def compare(
    truth: Any, other: Any, layout: Layout, peak: float, hdr: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each frame; SSIM is left out below 11 x 11 pixels."""
    from napari_denoise.image.metrics import psnr, relmse, ssim

    for index in layout.frames:
        a, b = (plane(stack[index], layout) for stack in (truth, other))
        row: dict[str, Any] = {"frame": _position(index, layout), "psnr": psnr(a, b, peak)}
        row["ssim"] = ssim(a, b, peak, samples=a.ndim == 3) if min(a.shape[:2]) >= 11 else None
        if hdr:
            row["relmse"] = relmse(a, b)
        yield row


def plane(frame: Any, layout: Layout) -> NDArray[np.generic]:
    """Bring a frame to (Y, X), or (Y, X, S) without alpha."""
    import numpy as np

    order = [layout.frame_axes.index(a) for a in "YXS" if a in layout.frame_axes]
    plane = np.asarray(frame).transpose(order)
    if plane.ndim == 3 and plane.shape[-1] in (2, 4):
        plane = plane[..., :-1]
    return plane


def _position(index: tuple[int | slice, ...], layout: Layout) -> str:
    """Name a frame: "T3 C0", or "" where there is only one."""
    named = zip(layout.axes, index, strict=True)
    return " ".join(f"{a}{i}" for a, i in named if isinstance(i, int))


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    names = {"psnr": "PSNR / dB", "ssim": "SSIM", "relmse": "relMSE"}
    shown = [name for name in names if name in result["mean"]]
    table = Table(box=None, header_style="bold")
    table.add_column("frame")
    for name in shown:
        table.add_column(names[name], justify="right")
    if len(result["frames"]) > 1:
        for row in result["frames"]:
            table.add_row(cell(row["frame"]), *(_figure(name, row[name]) for name in shown))
        table.add_section()
    table.add_row("mean", *(_figure(n, result["mean"][n]) for n in shown), style="bold")
    out().print(table)
    out().print(f"data range {result['data_range']:.10g} ({result['data_range_from']})")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name == "psnr" else f"{value:.4f}"
