"""PrairieView: single TIFFs beside an XML that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from napari_denoise.io.errors import FileError
from napari_denoise.io.stated import Stated


def is_prairie(path: Path) -> bool:
    """Whether a file is the XML of a PrairieView acquisition."""
    if path.suffix.lower() != ".xml":
        return False
    with path.open("rb") as file:
        return b"<PVScan" in file.read(2000)


def prairie_files(path: Path) -> list[Path]:
    """Files that the XML lists and that are there, in its order.

    Raises
    ------
    FileError
        The XML is damaged, or none of its files is there.
    """
    names = [file.get("filename") or "" for file in _root(path).iter("File")]
    files = [path.parent / name for name in dict.fromkeys(names) if name]
    there = [file for file in files if file.is_file()]
    if not there:
        raise FileError(path, "none of the files that it lists is there", "put them beside it")
    return there


def prairie_beside(files: Sequence[Path], axes: str) -> tuple[Stated, str] | None:
    """Read what the XML beside some frames says of them, and the letters of their axes.

    Parameters
    ----------
    files
        Of one stack.
    axes
        What their names count, as far as names tell.

    Returns
    -------
    None where there is no such XML, or it does not list them.
    """
    for path in sorted(files[0].parent.glob("*.xml")):
        try:
            if not is_prairie(path):
                continue
            root = _root(path)
        except (FileError, OSError):
            continue
        listed = {file.get("filename"): file for file in root.iter("File")}
        if all(file.name in listed for file in files):
            return _stated(root, listed, files, axes)
    return None


def _stated(
    root: ElementTree.Element,
    listed: dict[str | None, ElementTree.Element],
    files: Sequence[Path],
    axes: str,
) -> tuple[Stated, str]:
    sequences = root.findall("Sequence")
    depth = any("ZSeries" in (sequence.get("type") or "") for sequence in sequences)
    if depth and "Z" not in axes:
        axes = axes.replace("T", "Z", 1)
    elif not depth and "Z" in axes and "T" not in axes:
        axes = axes.replace("Z", "T", 1)
    sizes: dict[str, tuple[float, str | None]] = {}
    for letter in "XYZ":
        size = _micrometres(root, f"{letter}Axis")
        if size:
            sizes[letter] = (size, "micrometer")
    groups = sequences if depth else [*root.iter("Frame")]
    times = [_time(entry) for entry in groups]
    known = [time for time in times if time is not None]
    if len(known) > 1 and known[-1] > known[0]:
        sizes["T"] = ((known[-1] - known[0]) / (len(known) - 1), "second")
    elif (period := _period(root)) is not None:
        sizes["T"] = (period, "second")
    names = dict.fromkeys(listed[file.name].get("channelName") or "" for file in files)
    return Stated("prairieview", sizes, channel_names=tuple(names)), axes


def _micrometres(root: ElementTree.Element, axis: str) -> float | None:
    for value in root.iter("PVStateValue"):
        if value.get("key") == "micronsPerPixel":
            for entry in value.iter("IndexedValue"):
                if entry.get("index") == axis:
                    return abs(_number(entry.get("value")) or 0)
    return None


def _time(entry: ElementTree.Element) -> float | None:
    frame = entry if entry.tag == "Frame" else entry.find("Frame")
    return (
        None if frame is None else _number(frame.get("absoluteTime") or frame.get("relativeTime"))
    )


def _period(root: ElementTree.Element) -> float | None:
    found = (v for v in root.iter("PVStateValue") if v.get("key") == "framePeriod")
    return next((period for v in found if (period := _number(v.get("value")))), None)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _root(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(path.read_bytes())  # noqa: S314 - expat stops what grows
    except ElementTree.ParseError as error:
        raise FileError(path, f"it is no whole XML ({error})", "copy or export it again") from error
