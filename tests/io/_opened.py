"""Open files one after the other as a user would, and judge what comes of each.

A process of its own: reads the folders of mutants from stdin, and writes a line of JSON for each
to the pipe whose number it is given. What libraries print goes where its output goes.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

LONGEST = 1500
"""Characters of a message that a person still reads."""
_COLOR = re.compile(r"#[0-9a-f]{6}")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def wrong_meta(array: Any, meta: Any) -> str:
    """Say what of the metadata cannot be true; empty where all of it can."""
    shape, axes = tuple(array.shape), meta.axes
    channels = shape[axes.index("C")] if "C" in axes else 1
    if len(axes) != len(shape):
        return f"axes {axes} for {shape}"
    for name, right in (
        ("scale", lambda v: type(v) is float and math.isfinite(v) and v > 0),
        ("units", lambda v: v is None or (type(v) is str and 0 < len(v) <= 64)),
    ):
        value = getattr(meta, name)
        if not isinstance(value, tuple) or len(value) != len(shape) or not all(map(right, value)):
            return f"{name} {value!r:.80}"
    for name, right in (
        ("channel_names", lambda v: type(v) is str and len(v) <= 1000),
        ("channel_colors", lambda v: type(v) is str and bool(_COLOR.fullmatch(v.lower()))),
        ("contrast_limits", _is_range),
    ):
        value = getattr(meta, name)
        if not isinstance(value, tuple) or not all(map(right, value)):
            return f"{name} {value!r:.80}"
        if value and len(value) != channels:
            return f"{name} {len(value)} for {channels} channels"
    if type(meta.gamma) is not float or not (math.isfinite(meta.gamma) and meta.gamma > 0):
        return f"gamma {meta.gamma!r:.80}"
    bits = meta.extra.get("significant_bits")
    if bits is not None and (type(bits) is not int or not 0 < bits <= 64):
        return f"significant_bits {bits!r:.80}"
    shown = (meta.name, *meta.channel_names, *(unit or "" for unit in meta.units))
    return next((f"control characters {text!r:.80}" for text in shown if _CONTROL.search(text)), "")


def _is_range(value: Any) -> bool:
    plain = type(value) is tuple and len(value) == 2 and all(type(v) is float for v in value)
    return plain and all(map(math.isfinite, value)) and value[0] < value[1]


def _read(files: list[Path]) -> str:
    """Plan and open files as a batch does, and read a frame."""
    import numpy as np

    from napari_denoise.batch import find_inputs
    from napari_denoise.io.errors import listening
    from napari_denoise.io.read import read

    with listening() as said:
        (source, *_) = find_inputs(files)
        array, meta = read(source.files, sequence=source.is_stack)
        spanned = [slice(None) if letter in "YXS" else 0 for letter in meta.axes]
        frame = np.asarray(array[tuple(spanned)])
    if problem := wrong_meta(array, meta):
        return f"silent: {problem}"
    wanted = tuple(n for n, where in zip(array.shape, spanned, strict=True) if where != 0)
    if frame.shape != wanted or frame.dtype != array.dtype:
        return f"silent: frame {frame.shape} {frame.dtype} of {array.shape} {array.dtype}"
    if any(_CONTROL.search(text) for text in said):
        return f"terminal: {said!r:.200}"
    return "ok"


def _card(files: list[Path]) -> str:
    from napari_denoise.cli.card_lines import print_card
    from napari_denoise.weights.catalogue import read_info

    before = os.dup(1)
    info = read_info(files[0])
    path = files[0].with_suffix(".txt")
    with path.open("w", encoding="utf-8") as shown:
        os.dup2(shown.fileno(), 1)
        try:
            print_card(info)
            sys.stdout.flush()
        finally:
            os.dup2(before, 1)
            os.close(before)
    text = path.read_text(encoding="utf-8")
    return f"terminal: {text!r:.200}" if _CONTROL.search(text) else "ok"


def open_one(files: list[Path]) -> str:
    """Open a mutant with what reads its kind; the files that are images are named together."""
    name = files[0].name
    if name.endswith(".safetensors"):
        return _card(files)
    if name == "recipe.toml":
        from napari_denoise.training.loop.run import read_recipe

        read_recipe(files[0])
    elif name == "tuning.toml":
        from napari_denoise.training.finetune.step_plan import load_recipe

        load_recipe(str(files[0]))
    elif name == "regions.json":
        from napari_denoise.training.data.regions import read_regions

        read_regions(files[0])
    elif name == "noise.json":
        from napari_denoise.inference.noise_files import load_noise

        load_noise(files[0])
    else:
        return _read([file for file in files if file.suffix != ".json"])
    return "ok"


def judged(files: list[Path]) -> str:
    """Open a mutant and name the class of what came of it, with a few words."""
    try:
        return open_one(files)
    except MemoryError as error:
        return f"memory: {error!s:.100}"
    except ValueError as error:
        text = str(error)
        place = files[0].parent
        if str(place) not in text and type(error).__name__ != "FileError":
            return f"raw: {type(error).__name__} {text:.200}"
        if _CONTROL.search(text):
            return f"terminal: {text!r:.200}"
        return f"long: {len(text)} {text:.200}" if len(text) > LONGEST else f"error: {text:.200}"
    except Exception as error:  # noqa: BLE001 - which type it is, is the question
        return f"raw: {type(error).__name__} {error!s:.200}"


def main(answers: int, memory: int, training: bool) -> None:
    """Answer for one folder after the other."""
    import napari_denoise.batch
    import napari_denoise.cli.card_lines
    import napari_denoise.io.read
    import napari_denoise.weights.catalogue

    if training:
        import napari_denoise.training.finetune.step_plan
        import napari_denoise.training.loop.run  # noqa: F401
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    flush = ctypes.CDLL(None).fflush
    with os.fdopen(answers, "w") as pipe:
        pipe.write("ready\n")
        pipe.flush()
        for line in sys.stdin:
            files = [Path(name) for name in json.loads(line)]
            start = time.perf_counter()
            outcome = judged(files)
            sys.stdout.flush()
            sys.stderr.flush()
            flush(None)
            pipe.write(json.dumps([outcome, time.perf_counter() - start]) + "\n")
            pipe.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), bool(sys.argv[3]))
