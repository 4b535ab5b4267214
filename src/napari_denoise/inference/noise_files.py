"""Noise models kept in a file, or measured on another image, such as one of the same camera."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import napari_denoise
from napari_denoise.inference.described import Described, described
from napari_denoise.io.atomic import replacing
from napari_denoise.io.errors import FileError, FileExists
from napari_denoise.io.guarded import guarded
from napari_denoise.io.inputs import expand
from napari_denoise.io.read import read
from napari_denoise.measure.channels import measured, measured_noise
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.noise import NoiseModel
from napari_denoise.settings.text import shown
from napari_denoise.weights.catalogue import find_weights

_MARK, _VERSION = "napari_denoise_noise", 1


def measured_models(stack: Described, weights: str) -> Sequence[NoiseModel | None]:
    """Measure every channel as denoising does: after the logarithm for renders that have values.

    Returns
    -------
    None for channels of only NaN or infinity.
    """
    found = measured_noise(stack.array, stack.layout)
    card = find_weights(weights).card
    if card.mapping != "log" or None in found:
        return found
    asked = stack.settings_for(card, DenoiseSettings())
    return [channel.noise for channel in measured(stack.array, stack.layout, card, asked)]


def save_noise(path: str | Path, models: Sequence[NoiseModel | None], source: str) -> None:
    """Write the models of an image's channels as JSON, for `load_noise`.

    Parameters
    ----------
    path
        Is not replaced if it is there.
    models
        Per channel.
    source
        What they were measured on, for people.

    Raises
    ------
    FileError
        It is there already or cannot be written, or a channel has no model.
    """
    target = Path(path).expanduser()
    if None in models:
        raise FileError(
            target,
            f"channel {list(models).index(None)} of {source} holds only NaN or infinity, which "
            "tells no noise",
            "leave that channel out",
        )
    if target.exists():
        raise FileExists(target, "it exists already", "choose another name, or delete it first")
    content = {
        _MARK: _VERSION,
        "measured_on": source,
        "version": napari_denoise.__version__,
        "channels": [vars(model) for model in models],
    }
    with replacing([target], overwrite=False) as (temporary,):
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def load_noise(path: str | Path) -> tuple[NoiseModel, ...]:
    """Return the noise of each channel that a file tells.

    Parameters
    ----------
    path
        JSON from `save_noise`, or an image or stack, on which it is measured.

    Raises
    ------
    FileError
        It is not there, or tells no noise.
    """
    files = expand(path) if Path(path).suffix.lower() != ".json" else [Path(path).expanduser()]
    try:
        stamps = tuple(file.stat().st_mtime_ns for file in files)
    except OSError as error:
        raise FileError(
            files[0], f"it cannot be read ({error.strerror})", "look at its name"
        ) from error
    return _loaded(str(path), stamps)


@lru_cache(maxsize=8)
def _loaded(path: str, _stamps: tuple[int, ...]) -> tuple[NoiseModel, ...]:
    """Read a file once for all stacks of a batch."""
    if Path(path).suffix.lower() == ".json":
        return _parsed(Path(path).expanduser())
    array, meta = read(path)
    stack = described(array, meta=meta)
    models = measured_models(stack, stack.weights())
    known = tuple(model for model in models if model is not None)
    if len(known) < len(models) or NoiseModel() in known:
        raise FileError(
            Path(path),
            "no noise was found in it, or not in all of its channels",
            "name an image with noise, or state the noise",
        )
    return known


def _parsed(path: Path) -> tuple[NoiseModel, ...]:
    remedy = "write it with: napari-denoise info IMAGE --save-noise " + path.name
    with guarded(path, lambda said: FileError(path, f"it cannot be read as JSON ({said})", remedy)):
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or _MARK not in content:
        raise FileError(path, "it is JSON, but holds no noise models", remedy)
    if content[_MARK] != _VERSION:
        raise FileError(
            path,
            f"it holds noise models of version {shown(content[_MARK])}, expected {_VERSION}",
            "update napari-denoise",
            value=content[_MARK],
        )
    channels = content.get("channels")
    try:
        if not isinstance(channels, list) or not channels:
            raise ValueError("it lists no channels")
        noise = DenoiseSettings.parse({"noise": channels}).noise
        if not isinstance(noise, tuple) or not all(isinstance(n, NoiseModel) for n in noise):
            raise ValueError("a channel is no noise model")
    except ValueError as error:
        raise FileError(path, f"its noise models cannot be used ({error})", remedy) from error
    return tuple(model for model in noise if isinstance(model, NoiseModel))
