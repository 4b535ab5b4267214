"""Read images: path -> array, small in memory and large on demand, with its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_denoise.image.axes import Layout, guess_axes
from napari_denoise.image.tone import GAMMA
from napari_denoise.io import sidecar
from napari_denoise.io.errors import FileError, ReadWarning, say
from napari_denoise.io.formats import FILE_READERS, FRAME_FIELDS, FRAME_READERS, LOOK_READERS
from napari_denoise.io.formats.exr_reader import (
    PASS,
    ExrRequest,
    display_range,
    read_exr,
    read_guide,
    windows_of,
)
from napari_denoise.io.formats.exr_windows import union
from napari_denoise.io.formats.loaded import Frame, join
from napari_denoise.io.formats.look import LOOK
from napari_denoise.io.guarded import guarded
from napari_denoise.io.inputs import (
    SUFFIXES,
    ImageInput,
    PathLike,
    as_sequence,
    expand,
    find_sequences,
    kind_of,
    siblings,
    suffix_of,
)
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.meta_checks import checked
from napari_denoise.io.numbering import step_of
from napari_denoise.io.ranges import ranges_text
from napari_denoise.io.sets.prairie import prairie_beside
from napari_denoise.io.stated import filled


def read(
    path: PathLike | Iterable[PathLike],
    *,
    axes: str | None = None,
    sequence: bool | None = None,
    series: int | None = None,
    layer: str | None = None,
    passes: bool = False,
    albedo: PathLike | Iterable[PathLike] | None = None,
    normal: PathLike | Iterable[PathLike] | None = None,
) -> tuple[Any, ImageMeta]:
    """Read an image, a stack, or the numbered frames of a sequence.

    Parameters
    ----------
    path
        A file, a folder, a wildcard, a pattern such as ``frame_####.exr``, or a list.
    axes
        One letter per dimension, of T Z C Y X S, where the file is wrong or silent.
    sequence
        None: single-plane files with equal stem and running number are one stack.
        True: everything `path` names is one stack, and one file brings its numbered
        neighbours. False: exactly one file.
    series
        Number of the image in a file that holds several; None takes the first and warns.
    layer
        Of an OpenEXR file: the name of the layer or view that is the image; None chooses.
    passes
        Of an OpenEXR file: read the light passes beside the image, too, as `meta.layers`.
    albedo, normal
        Files of their own for a render: as many frames as it has, placed by their data windows.

    Returns
    -------
    array
        In the file's own data type and units; EXR as float32 in linear light. An array, or where
        it is larger than `napari_denoise.io.formats.loaded.LAZY_BYTES` one whose parts are read
        when they are asked for: `OnDisk`, which slices as numpy does, or (compressed or many
        files) a dask array with one chunk per frame.
    meta
        Axes, scale, units, names, colours, features.

    Raises
    ------
    FileError
        Nothing is there, it is damaged, its parts do not fit each other, or `axes` do
        not fit it. The message names the file, the rule and the remedy.
    """
    source = _one_input(path, sequence)
    request = ExrRequest(layer, passes)
    if request != ExrRequest() and not _is_exr(source):
        raise FileError(source.files[0], "only OpenEXR has layers and passes", "leave them out")
    described: Mapping[str, Any] = sidecar.load(source.pattern)
    if source.is_stack:
        array, meta = _read_stack(source, request)
    else:
        array, meta, inside = _read_file(source.files[0], series, request)
        described = described or inside
    guides = {"albedo": albedo, "normal": normal}
    if any(given is not None for given in guides.values()):
        meta = replace(meta, features={**meta.features, **_guides(meta, guides)})
    array, meta = sidecar.restore(array, meta, described, source.pattern)
    meta = checked(meta, array.shape, array.dtype.itemsize)
    if axes is not None:
        meta = replace(meta, axes=axes.upper())
    meta = replace(
        meta,
        scale=meta.scale or (1.0,) * array.ndim,
        units=meta.units or (None,) * array.ndim,
    )
    try:
        Layout(meta.axes, tuple(array.shape))
    except ValueError as error:
        remedy = "or open it without axes" if axes else "look at how it was saved"
        raise FileError(source.files[0], str(error), remedy) from error
    if axes is None and not described:
        _mention_narrow_frames(array, meta)
    return array, meta


def _mention_narrow_frames(array: Any, meta: ImageMeta) -> None:
    """Channels that a file does not call so look like frames of 2 to 4 pixels in width."""
    shape = tuple(array.shape)
    guessed = meta.extra.get("format") in ("tiff", "imagej", "npy")
    narrow = len(shape) >= 3 and shape[-1] in (2, 3, 4) and min(shape[-3:-1]) >= 16
    if guessed and narrow and meta.axes.endswith("YX"):
        text = (
            f"{meta.source[0]}: each frame is {shape[-2]} x {shape[-1]} pixels; if the last axis "
            f"holds channels, open it with axes='{guess_axes(shape[:-1])}C'"
        )
        say(text, ReadWarning, stacklevel=3)


def _one_input(path: PathLike | Iterable[PathLike], sequence: bool | None) -> ImageInput:
    files = expand(path)
    single = isinstance(path, (str, Path)) and files == [Path(path).expanduser()]
    if sequence is False or (single and sequence is None):
        if len(files) > 1:
            raise FileError(files[1], f"it is one of {len(files)} files", "name only one")
        return ImageInput((files[0],))
    if sequence:
        return siblings(files[0]) if single else as_sequence(files)
    found = find_sequences(files)
    if len(found) > 1:
        names = " and ".join(repr(entry.pattern.name) for entry in found[:2])
        raise FileError(
            files[0].parent,
            f"it holds {len(found)} separate inputs, for example {names}",
            "name one of them, or pass sequence=True to read all files as one stack",
        )
    return found[0]


def _read_file(
    path: Path, series: int | None, request: ExrRequest
) -> tuple[Any, ImageMeta, Mapping[str, Any]]:
    """Read one image of a file; last comes what the file itself holds of a sidecar."""
    suffix = kind_of(path)
    if suffix not in FILE_READERS:
        return *_read_single(path, request), {}
    result = FILE_READERS[suffix](path, series or 0)
    if result.images > 1 and series is None:
        own = result.fields.get("name")
        first = f"the first, {own}," if own else "the first"
        text = f"{path}: it holds {result.images} images; {first} was read: pass series=1 ..."
        say(text, ReadWarning, stacklevel=3)
    extra = dict(result.fields.get("extra", {}))
    if result.images > 1:
        extra["series"] = {"count": result.images, "number": series or 0}
    fields = {**result.fields, "extra": extra, "levels": result.levels}
    name = " ".join(filter(None, (ImageInput((path,)).name, fields.pop("name", ""))))
    meta = ImageMeta(axes=result.axes, name=name, source=(path,), **fields)
    return result.array, meta, result.described


def _read_single(path: Path, request: ExrRequest) -> tuple[Any, ImageMeta]:
    load = _frame_reader(path)
    extra: dict[str, Any] = {"format": suffix_of(path).lower().removeprefix(".")}
    if extra["format"] == "exr":
        frame = read_exr(path, request)
        images, extra["exr"] = dict(frame.images), frame.extra
    else:
        images = dict(load(path))
    return _assemble(ImageInput((path,)), images, extra, "", [images["color"]])


def _read_stack(source: ImageInput, request: ExrRequest) -> tuple[Any, ImageMeta]:
    load = _frame_reader(source.files[0])
    suffixes = {suffix_of(file).lower() for file in source.files}
    if len(suffixes) > 1:
        raise FileError(
            source.files[0],
            f"the frames are of different formats: {', '.join(sorted(suffixes))}",
            "name the files of one format",
        )
    extra: dict[str, Any] = {"format": suffixes.pop().removeprefix(".")}
    if _is_exr(source):
        load, extra["exr"] = _exr_frames(source, request)
    images = join(source.files, load)
    shown = sorted({0, len(source.files) // 2, len(source.files) - 1})
    extra["numbers"] = list(source.numbers)
    samples = []
    if _is_exr(source):
        samples = [np.asarray(images["color"][i]) for i in shown]
    if source.gaps:
        extra["gaps"] = list(source.gaps)
        missing = ranges_text(source.gaps, step_of(source.numbers))
        verb = "are" if len(source.gaps) > 1 else "is"
        noun = "frames" if len(source.gaps) > 1 else "frame"
        text = f"{source.pattern}: {noun} {missing} {verb} missing: the others were closed up"
        say(text, ReadWarning, stacklevel=3)
    shape = source.shape or (len(source.files),)
    images = {role: image.reshape(*shape, *image.shape[1:]) for role, image in images.items()}
    array, meta = _assemble(source, images, extra, source.axes, samples)
    return array, _described(source, meta)


def _described(source: ImageInput, meta: ImageMeta) -> ImageMeta:
    """Add what the first frame, and a file beside the frames, say of pixel size and channels."""
    beside = prairie_beside(source.files, source.axes)
    axes = meta.axes if beside is None else beside[1] + meta.axes[len(source.axes) :]
    fields: dict[str, Any] = {}
    fields_of = FRAME_FIELDS.get(suffix_of(source.files[0]).lower())
    if fields_of is not None:
        fields = fields_of(source.files[0], axes)
    names = source.channel_names
    if beside is not None:
        channels = 1 if "C" not in axes else (source.shape or (len(source.files),))[-1]
        fields = filled(beside[0].fields(axes, channels), fields)
    extra = {**fields.pop("extra", {}), **meta.extra}
    fields = {"channel_names": names, **fields} if names else fields
    return replace(meta, axes=axes, extra=extra, **fields)


def _exr_frames(
    source: ImageInput, request: ExrRequest
) -> tuple[Callable[[Path], Frame], dict[str, Any]]:
    """Return what reads each frame of a sequence, in a window that holds all of them."""
    first = source.files[0]
    extra = read_exr(first, request).extra
    windows = windows_of(source.files, extra["part"])
    window = union(windows)
    if len(set(windows)) > 1:
        text = (
            f"{source.pattern}: the frames have data windows of their own, and stand together in "
            f"{window[2] - window[0]} x {window[3] - window[1]} pixels, with 0 around them"
        )
        say(text, ReadWarning, stacklevel=5)
    # The choice of the first frame holds for all, and is said once.
    wanted = replace(request, layer=extra["label"], window=window)
    return lambda file: read_exr(file, wanted).images, extra | {"window": list(window)}


def _guides(meta: ImageMeta, given: Mapping[str, Any]) -> dict[str, Any]:
    """Read albedo and normal from files of their own."""
    window, display = (
        tuple(meta.extra.get("exr", {}).get(name, ())) or None for name in ("window", "display")
    )
    read_guides = {}
    for role, path in given.items():
        if path is None:
            continue
        source = _one_input(path, sequence=len(meta.source) > 1 or None)
        if not _is_exr(source):
            rule = f"the {role} is no OpenEXR file"
            raise FileError(source.files[0], rule, "save it as .exr, in floating point")
        if len(source.files) != len(meta.source):
            raise FileError(
                source.pattern,
                f"{len(source.files)} frames of {role} for {len(meta.source)} of the image",
                "name as many, as a pattern such as albedo_####.exr",
            )
        load = partial(read_guide, role=role, window=window, display=display)
        if source.is_stack:
            read_guides[role] = join(source.files, lambda file: {"color": load(file)})["color"]  # noqa: B023
        else:
            read_guides[role] = load(source.files[0])
    return read_guides


def _assemble(
    source: ImageInput,
    images: dict[str, Any],
    extra: dict[str, Any],
    axes: str,
    shown: list[Any],
) -> tuple[Any, ImageMeta]:
    color = images.pop("color")
    passes = {k.removeprefix(PASS): images.pop(k) for k in [*images] if k.startswith(PASS)}
    read_look = LOOK_READERS.get(suffix_of(source.files[0]).lower())
    look = _look(source.files[0], read_look) if read_look else {}
    extra |= {LOOK: look} if look else {}
    if read_look and source.is_stack:
        _mention_profiles(source, look, _look(source.files[-1], read_look))
    axes += "YXS"[: color.ndim - len(axes)]
    display: dict[str, Any] = {}
    if _is_exr(source):
        display = {"contrast_limits": (display_range(shown),), "gamma": GAMMA}
    meta = ImageMeta(
        axes, source.name, source.files, features=images, layers=passes, extra=extra, **display
    )
    return color, meta


def _mention_profiles(source: ImageInput, first: dict[str, Any], last: dict[str, Any]) -> None:
    """Say that frames have colour profiles of their own, as a stack is shown by one."""
    if any(first.get(key) != last.get(key) for key in ("icc_profile", "png")):
        text = (
            f"{source.pattern}: the colour profile of {source.files[-1].name} is not that of "
            f"{source.files[0].name}, which is taken for all frames"
        )
        say(text, ReadWarning, stacklevel=4)


def _look(file: Path, read_look: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Read how a frame is shown; what is damaged of it costs no pixel."""
    try:
        with guarded(file, lambda said: FileError(file, said, "save it again")):
            return read_look(file)
    except FileError as error:
        text = f"{file}: colour profile and printed size were left out: {error.rule}"
        say(text, ReadWarning, stacklevel=5)
        return {}


def _is_exr(source: ImageInput) -> bool:
    return suffix_of(source.files[0]).lower() == ".exr"


def _frame_reader(path: Path) -> Callable[[Path], Frame]:
    suffix = suffix_of(path).lower()
    if suffix not in FRAME_READERS:
        raise FileError(
            path,
            f"files that end in {path.suffix or 'nothing'!r} are not read"
            + (" as frames of a sequence" if suffix else ""),
            f"expected one of {', '.join(SUFFIXES)}",
        )
    return FRAME_READERS[suffix]
