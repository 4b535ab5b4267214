"""Small valid files of every format that is read, and damaged copies of them by number.

A mutant is known by its kind, a seed and its number alone: the same three give the same bytes.
"""

from __future__ import annotations

import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Files = dict[str, bytes]
"""What stands in the folder of a mutant: names and contents; the first is opened."""

# Numbers at the borders of the types that file formats hold sizes, counts and offsets in.
INTEGERS = (0, 1, 2, 3, 7, 8, 255, 256, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
TEXTS = (
    *("", "0", "-1", "1e9", "1e-300", "1e400", "nan", "inf", "-inf", "0x10", "١٢", "1 2", "None"),
    *("100000000", "999999999999999999999", "XYZCT", "TT", "µm", "../../etc/passwd", "x" * 4000),
    *("\x1b[31mred\x07", "\u202egnp.exe", "a\x00b", "\ud83d", "#12345", "#GGGGGG", "{}", "[]"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 5, 1e308, -0.0, 2**63, 10**30, float("nan"), float("inf")),
    *([], {}, [None], [[]], [1, 2, 3], [float("nan"), 5], [5, 1], ["a", "b"], [None, None]),
    *({"a": {"b": []}}, [{}], *TEXTS[:22], "\x1b[2J", "\u202e\x00\n\x1b[31m"),
)


def _stack(dtype: str = "uint16", shape: tuple[int, ...] = (3, 24, 20)) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def _tiff(folder: Path, name: str, data: np.ndarray, **how: Any) -> Files:
    import tifffile

    opening = {k: how.pop(k) for k in ("bigtiff", "byteorder", "imagej", "ome") if k in how}
    with tifffile.TiffWriter(folder / name, **opening) as tif:
        tif.write(data, **how)
    return {name: (folder / name).read_bytes()}


def _ome(folder: Path, name: str = "a.ome.tif", **how: Any) -> Files:
    named = {"Name": ["DAPI", "GFP"], "Color": [65535, -16776961]}
    sizes = {"PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.2}
    metadata = {"axes": "TCYX", "Channel": named, "TimeIncrement": 2.0, **sizes}
    data = _stack(shape=(2, 2, 24, 20))
    return _tiff(folder, name, data, ome=True, metadata=metadata, **how)


def _ome_pyramid(folder: Path) -> Files:
    import tifffile

    path, data = folder / "pyramid.ome.tif", _stack(shape=(64, 48))
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(data, subifds=1, tile=(16, 16), metadata={"axes": "YX"})
        tif.write(data[::2, ::2], subfiletype=1, tile=(16, 16))
        tif.write(data[:32], tile=(16, 16), metadata={"axes": "YX"})
    return {path.name: path.read_bytes()}


def _imagej(folder: Path) -> Files:
    luts = [np.stack([np.arange(256, dtype=np.uint8)] * 3)] * 2
    notes = {"axes": "TCYX", "unit": "um", "finterval": 3.0, "LUTs": luts, "Labels": ["a"] * 4}
    notes["Ranges"] = (0.0, 100.0, 5.0, 90.0)
    data = _stack(shape=(2, 2, 24, 20))
    return _tiff(folder, "a.tif", data, imagej=True, resolution=(5, 5), metadata=notes)


def _exr(folder: Path) -> Files:
    import OpenEXR

    path = folder / "a.exr"
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {"RGBA": _stack("float32", (40, 20, 4))}).write(str(path))
    return {path.name: path.read_bytes()}


def _exr_parts(folder: Path) -> Files:
    import OpenEXR

    path, parts = folder / "parts.exr", []
    for name, kind in (("beauty", OpenEXR.scanlineimage), ("albedo", OpenEXR.tiledimage)):
        header = {"type": kind, "compression": OpenEXR.PIZ_COMPRESSION, "name": name}
        if kind == OpenEXR.tiledimage:
            header["tiles"] = OpenEXR.TileDescription()
        parts.append(OpenEXR.Part(header, {"RGB": _stack("float16", (40, 20, 3))}, name))
    OpenEXR.File(parts).write(str(path))
    return {path.name: path.read_bytes()}


def _png(folder: Path, mode: str = "") -> Files:
    from PIL import Image

    path = folder / f"{mode or 'a'}.png"
    data = _stack("uint8", (24, 20, 3)) if mode else _stack(shape=(24, 20))
    image = Image.fromarray(data)
    (image.quantize(16) if mode == "palette" else image).save(path)
    return {path.name: path.read_bytes()}


def _jpeg(folder: Path) -> Files:
    from PIL import Image

    path = folder / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_stack("uint8", (24, 20, 3))).save(path, exif=exif)
    return {path.name: path.read_bytes()}


def _npy(folder: Path, shape: tuple[int, ...] = (3, 24, 20)) -> Files:
    np.save(folder / "a.npy", _stack(shape=shape))
    return {"a.npy": (folder / "a.npy").read_bytes()}


def _sequence(folder: Path) -> Files:
    found: Files = {}
    for number in range(3):
        name = f"f_{number:03}.tif"
        found |= _tiff(folder, name, _stack(shape=(24, 20)), metadata=None)
    return found


def _sidecar(folder: Path, files: Files, axes: str, shape: list[int], name: str = "") -> Files:
    name = name or next(iter(files))
    said = {
        "napari_denoise_sidecar": 1,
        "file": name,
        "scale": [2.0, *[0.2] * (len(axes) - 1)],
        "units": ["second", *["micrometer"] * (len(axes) - 1)],
        "channel_names": ["a", "b"] if "C" in axes else [],
        "channel_colors": ["#ff0000", "#00ff00"] if "C" in axes else [],
        "contrast_limits": [[0.0, 50.0]] * (2 if "C" in axes else 1),
        "gamma": 0.5,
        "extra": {"napari_denoise": {"weights": "microscopy", "version": "0.1.0"}},
        "axes": axes,
        "shape": shape,
    }
    return files | {f"{name}.json": json.dumps(said, indent=2).encode()}


def _sidecar_ome(folder: Path) -> Files:
    return _sidecar(folder, _ome(folder), "TCYX", [2, 2, 24, 20])


def _sidecar_frames(folder: Path) -> Files:
    image = _png(folder)["a.png"]
    frames = {f"x_{number:04}.png": image for number in range(3)}
    return _sidecar(folder, frames, "TYX", [3, 24, 20], "x_####.png")


def _card(folder: Path) -> Files:
    """Give a tiny file that has a card; its tensors fit no network."""
    from safetensors.numpy import save

    card = {
        "title": "Tiny",
        "architecture": "two_scale",
        "config": {"channels": 1, "widths": [8, 16], "blocks": 2},
        "domain": "microscopy",
        "channels": 1,
        "mapping": "anscombe",
        "noise_range": [0.01, 0.2],
        "description": "Nothing",
        "training_data": [{"name": "none", "licence": "CC0"}],
        "figures": {"psnr_db": 30.5},
        "recipe": {"steps_done": 10, "noise": {"sigma": [0.0, 0.2]}},
        "libraries": {"torch": "2.6"},
    }
    tensors = {"faithful.a": np.zeros((4, 4), np.float16)}
    text = {"napari_denoise_card": json.dumps(card)}
    return {"tiny.safetensors": save(tensors, metadata=text)}


def _recipe(folder: Path) -> Files:
    text = """name = "tiny"
domain = "microscopy"
architecture = "two_scale"
batch = 8
patch = 64
[config]
channels = 1
[noise]
sigma = [0.0, 0.2]
[distortion]
steps = 1000
loss = "l2"
learning_rate = 3e-4
"""
    return {"recipe.toml": text.encode()}


def _tuning(folder: Path) -> Files:
    text = 'title = "Faithful"\nbatch = 8\npatch = 64\nclip = 0.1\nema = 0.99\n'
    return {"tuning.toml": (text + '[distortion]\nsteps = 1000\nloss = "l2"\n').encode()}


def _regions(folder: Path) -> Files:
    drawn = [
        {"kind": "train", "rectangle": [0, 0, 64, 32], "frame": 1},
        {"kind": "validate", "polygon": [[0, 0], [5, 0], [5, 9]], "pair": "a"},
    ]
    return {"regions.json": json.dumps({"napari_denoise_regions": 1, "regions": drawn}).encode()}


def _noise(folder: Path) -> Files:
    channel = {"gain": 2.0, "offset": 100.0, "read_noise": 3.0, "skewness": 1.0}
    content = {"napari_denoise_noise": 1, "measured_on": "a.tif", "channels": [channel]}
    return {"noise.json": json.dumps(content).encode()}


SEEDS: dict[str, Callable[[Path], Files]] = {
    "tiff": lambda at: _tiff(at, "a.tif", _stack(), photometric="minisblack", metadata=None),
    "tiff-tiles": lambda at: _tiff(
        at, "t.tif", _stack("uint8", (2, 40, 40, 3)), tile=(16, 16), compression="zlib"
    ),
    "tiff-lzw": lambda at: _tiff(
        at,
        "l.tif",
        _stack(),
        photometric="minisblack",
        compression="lzw",
        predictor=True,
        byteorder=">",
        metadata=None,
    ),
    "tiff-palette": lambda at: _tiff(
        at,
        "p.tif",
        _stack("uint8", (24, 20)),
        photometric="palette",
        colormap=np.random.default_rng(1).integers(0, 2**16, (3, 256)).astype(np.uint16),
    ),
    "bigtiff": lambda at: _tiff(
        at, "b.tif", _stack("float32"), photometric="minisblack", bigtiff=True
    ),
    "ome": _ome,
    "ome-zstd": lambda at: _ome(at, compression="zstd"),
    "ome-pyramid": _ome_pyramid,
    "imagej": _imagej,
    "sequence": _sequence,
    "exr": _exr,
    "exr-parts": _exr_parts,
    "png": _png,
    "png-palette": lambda at: _png(at, "palette"),
    "jpeg": _jpeg,
    "npy": _npy,
    "sidecar-npy": lambda at: _sidecar(at, _npy(at), "TYX", [3, 24, 20]),
    "sidecar-ome": _sidecar_ome,
    "sidecar-frames": _sidecar_frames,
    "card": _card,
    "recipe": _recipe,
    "tuning": _tuning,
    "regions": _regions,
    "noise": _noise,
}


TRAINING = ("recipe", "tuning", "regions", "noise")
"""Kinds whose readers load PyTorch, for seconds."""


def mutant(kind: str, files: Files, seed: int, number: int) -> Files:
    """Damage one of the files of a kind; a sidecar rather than its image."""
    rng = random.Random(f"{seed} {kind} {number}")  # noqa: S311
    names = [name for name in files if name.endswith(".json")] or list(files)
    name = rng.choice(names)
    ways = [_flipped, _flipped, _cut, _inserted, _removed, _numbers, *_ways_of(name, files[name])]
    data = files[name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(ways)(data, rng)
    if name.endswith(".png") and rng.random() < 0.5:
        data = _summed(data)
    return files | {name: data}


def _ways_of(name: str, data: bytes) -> list[Callable[[bytes, random.Random], bytes]]:
    """Changes that know the format, more often than those that do not."""
    if name.endswith(".json"):
        return [_json] * 12
    if name.endswith(".toml"):
        return [_toml] * 8
    if name.endswith(".npy"):
        return [_npy_header] * 6
    if name.endswith(".safetensors"):
        return [_card_json] * 8
    if name.endswith(".tif"):
        return [_tag] * 6 + ([_xml] * 6 if b"<OME" in data else []) + [_note] * 2
    if name.endswith(".png"):
        return [_png_header] * 4
    return []


def _place(data: bytes, rng: random.Random) -> int:
    """Mostly near either end, where headers are."""
    near = min(len(data), 512)
    start, end = rng.choice(((0, near), (len(data) - near, len(data)), (0, len(data))))
    return rng.randrange(start, end) if start < end else 0


def _flipped(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if out:
            place = _place(data, rng)
            out[place] ^= rng.choice((1, 0x80, 0xFF, rng.randrange(256)))
    return bytes(out)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice((rng.randrange(len(data) + 1), _place(data, rng)))]


def _inserted(data: bytes, rng: random.Random) -> bytes:
    place, count = _place(data, rng), rng.choice((1, 2, 8, 100, 3000))
    what = rng.choice((b"\0" * count, rng.randbytes(count), b"[" * count, data[place:][:count]))
    return data[:place] + what + data[place:]


def _removed(data: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 8, 100)) :]


def _numbers(data: bytes, rng: random.Random) -> bytes:
    """Write a number of 2, 4 or 8 bytes somewhere."""
    form = rng.choice("HIQ")
    limit = 2 ** (8 * struct.calcsize(form))
    packed = struct.pack(rng.choice("<>") + form, rng.choice(INTEGERS) % limit)
    place = _place(data, rng)
    return data[:place] + packed + data[place + len(packed) :]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list and dictionary with each of its keys."""
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(entry)


def _json(data: bytes, rng: random.Random) -> bytes:
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = [p for p in _places(whole) if p[1] not in ("napari_denoise_sidecar",)]
    if not places:
        return data
    held, key = rng.choice(places)
    what = rng.randrange(5)
    if what == 0:
        del held[key]
    elif what == 1 and isinstance(held, list):
        held.extend(held[key:] * rng.choice((1, 20)))
    elif what == 2:
        deep: Any = held[key]
        for _ in range(rng.choice((1, 50))):
            deep = [deep]
        held[key] = deep
    else:
        held[key] = rng.choice(VALUES)
    text = json.dumps(whole)
    if rng.random() < 0.05:
        text = text.replace('"gamma"', '"deep": ' + "[" * 50000 + "]" * 50000 + ', "gamma"')
    return text.encode("utf-8", "surrogatepass")


def _toml(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    name, _, _ = lines[place].partition(b"=")
    value = rng.choice((*VALUES, *TEXTS))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    lines[place] = name + b"= " + text
    return b"\n".join(lines)


def _npy_header(data: bytes, rng: random.Random) -> bytes:
    header = data[10:128].decode("latin-1")
    found = list(re.finditer(r"\d+|'[^']*'|False|\([^)]*\)", header))
    if not found:
        return data
    hit = rng.choice(found)
    kinds = ("'|O8'", "'<f16'", "'<c8'", "'>u2'", "'|V8'", "'U1000000000'", "True", "None", "{}")
    shapes = ("(2**31,)", "(1e9, 3)", "(3, -24, 20)", "(" * 50, "0, 20", "-1")
    value = rng.choice((*map(str, INTEGERS), *kinds, *shapes))
    changed = (header[: hit.start()] + value + header[hit.end() :]).rstrip() + "\n"
    return data[:8] + struct.pack("<H", len(changed)) + changed.encode("latin-1") + data[128:]


def _card_json(data: bytes, rng: random.Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = json.loads(data[8 : 8 + length])
        card = header["__metadata__"]["napari_denoise_card"].encode()
    except (ValueError, KeyError, AttributeError, TypeError):
        return data
    changed = _json(card, rng) if rng.random() < 0.8 else _flipped(card, rng)
    header["__metadata__"]["napari_denoise_card"] = changed.decode("utf-8", "replace")
    text = json.dumps(
        header if rng.random() < 0.8 else json.loads(_json(data[8 : 8 + length], rng))
    )
    return struct.pack("<Q", len(text)) + text.encode() + data[8 + length :]


def _xml(data: bytes, rng: random.Random) -> bytes:
    """Give an attribute of OME-XML another value, of the same length or at the end of the file."""
    found = list(re.finditer(rb'(\w+)="([^"]*)"', data))
    if not found:
        return data
    hit = rng.choice(found)
    text = rng.choice(TEXTS).encode("utf-8", "surrogatepass").replace(b'"', b"")
    if rng.random() < 0.3:
        text = str(rng.choice(INTEGERS)).encode()
    start = data.rfind(b"<?xml", 0, hit.start())
    end = data.find(b"</OME>", hit.start()) + len(b"</OME>")
    if start < 0 or end < len(b"</OME>"):
        return data
    xml = data[start : hit.start(2)] + text + data[hit.end(2) : end]
    return _moved(data, start, xml)


def _moved(data: bytes, start: int, text: bytes) -> bytes:
    """Let the tag whose value began at `start` tell of a text at the end of the file."""
    for place, code, big, order in _tags(data):
        form = order + ("HHQQ" if big else "HHII")
        if struct.calcsize(form) > len(data) - place:
            continue
        found, kind, _, value = struct.unpack_from(form, data, place)
        if code == found == 270 and value == start:
            tag = struct.pack(form, found, kind, len(text) + 1, len(data))
            return data[:place] + tag + data[place + len(tag) :] + text + b"\0"
    return data


def _tags(data: bytes) -> Iterator[tuple[int, int, bool, str]]:
    """Position and code of each tag of the first pages, whether they are BigTIFF's, byte order."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
    if not order or len(data) < 16:
        return
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    where, how, size, step = (8, "Q", 8, 20) if big else (4, "I", 2, 12)
    seen: set[int] = set()
    (start,) = struct.unpack_from(order + how, data, where)
    while 0 < start < len(data) - size and start not in seen and len(seen) < 8:
        seen.add(start)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        for entry in range(min(count, 64)):
            place = start + size + entry * step
            if place + step > len(data):
                return
            yield place, struct.unpack_from(order + "H", data, place)[0], big, order
        end = start + size + count * step
        if end + struct.calcsize(how) > len(data):
            return
        (start,) = struct.unpack_from(order + how, data, end)


def _tag(data: bytes, rng: random.Random) -> bytes:
    """Change the code, type, count or value of a tag; or where the next page is."""
    tags = list(_tags(data))
    if not tags:
        return data
    place, _, big, order = rng.choice(tags)
    offsets = (
        (0, "H"),
        (2, "H"),
        (4, "Q" if big else "I"),
        (12 if big else 8, "Q" if big else "I"),
    )
    more, form = rng.choice((*offsets, offsets[3], offsets[3]))
    pages = [p for p, *_ in tags]
    number = rng.choice((*INTEGERS, rng.randrange(70000), rng.choice(pages), len(data) - 8))
    packed = struct.pack(order + form, number % 2 ** (8 * struct.calcsize(form)))
    if rng.random() < 0.15:  # the chain of pages
        place, more = max(pages) + (20 if big else 12), 0
        packed = struct.pack(order + ("Q" if big else "I"), rng.choice(pages) - (8 if big else 2))
    return data[: place + more] + packed + data[place + more + len(packed) :]


def _note(data: bytes, rng: random.Random) -> bytes:
    """Change a value among ImageJ's or tifffile's notes, in place."""
    found = list(re.finditer(rb"(?<=[=:])[\w. ]+(?=[\n,}])", data))
    if not found:
        return data
    hit = rng.choice(found)
    size = hit.end() - hit.start()
    text = rng.choice(TEXTS).encode("utf-8", "surrogatepass")[:size].ljust(size)
    return data[: hit.start()] + text + data[hit.end() :]


def _summed(data: bytes) -> bytes:
    """Let the sums of a PNG's chunks be right, so that what is behind them is looked at."""
    out, place = bytearray(data), 8
    while place + 12 <= len(out):
        end = place + 8 + int.from_bytes(out[place : place + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(bytes(out[place + 4 : end])))
        place = end + 4
    return bytes(out)


def _png_header(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    if len(out) < 33:
        return data
    place = rng.choice((16, 20, 24, 25, 26, 27, 28))
    value = rng.choice(INTEGERS)
    out[place : place + 4] = struct.pack(">I", value) if place < 24 else out[place : place + 4]
    if place >= 24:
        out[place] = value & 0xFF
    out[29:33] = struct.pack(">I", zlib.crc32(bytes(out[12:29])))
    return bytes(out)
