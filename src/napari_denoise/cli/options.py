"""Texts of options -> values of `DenoiseSettings`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from napari_denoise.settings.denoise_fields import NOISE_RULE
from napari_denoise.settings.noise import NoiseModel

_FIELDS = [field.name for field in fields(NoiseModel)]


def parse_noise(text: str) -> Any:
    """Read the noise option.

    Parameters
    ----------
    text
        ``auto``, ``12.5``, ``3,5,auto`` (per channel), ``gain=2,offset=100,read_noise=3``,
        several models apart by ``;``, or the same as JSON.

    Returns
    -------
    A value for `DenoiseSettings.noise`.

    Raises
    ------
    ValueError
        The text is none of these.
    """
    stripped = text.strip()
    if stripped.startswith(("{", "[")):
        return _from_json(stripped)
    apart = ";" if ";" in stripped or "=" in stripped else ","
    values = tuple(_entry(part.strip(), text) for part in stripped.split(apart))
    return values[0] if len(values) == 1 else values


def assumed_offset(text: str, noise: Any) -> str:
    """Say that a model has a gain but leaves the offset to be taken as 0; else nothing.

    Parameters
    ----------
    text, noise
        The option, and what `parse_noise` made of it.
    """
    entries = noise if isinstance(noise, tuple) else (noise,)
    models = [entry for entry in entries if isinstance(entry, dict)]
    if not any(model.get("gain") and "offset" not in model for model in models):
        return ""
    return (
        f"--noise {text}: no offset is given, so 0 is assumed; where the camera adds a constant "
        "(the mean of a dark image), give it: gain=2,offset=100"
    )


def parse_number(text: str) -> Any:
    """Read an option that is ``auto`` or a number."""
    return int(text) if text.strip().isdigit() else text


def _from_json(text: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _model(pairs, text))
    except json.JSONDecodeError as error:
        raise ValueError(f"noise {text!r} is not valid JSON ({error})") from error
    if value == []:
        raise ValueError(f"noise {text!r} is empty; expected {NOISE_RULE}")
    entries = [_checked(entry, text) for entry in (value if isinstance(value, list) else [value])]
    return tuple(entries) if isinstance(value, list) else entries[0]


def _entry(part: str, whole: str) -> Any:
    if "=" not in part:
        return _checked(part if part == "auto" else _number(part, whole), whole)
    items = [item.partition("=") for item in part.split(",")]
    return _model([(key.strip(), _value(value, whole)) for key, _, value in items], whole)


def _value(text: str, whole: str) -> Any:
    numbers = tuple(_number(part, whole) for part in text.split("/"))
    return numbers[0] if len(numbers) == 1 else numbers


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"noise {whole!r}: {text!r} is not a number; expected {NOISE_RULE}"
        ) from None


def _checked(entry: Any, whole: str) -> Any:
    if entry == "auto" or isinstance(entry, dict):  # that one is checked already
        return entry
    if not _is_number(entry):
        raise ValueError(f"noise {whole!r}: {entry!r} is not understood; expected {NOISE_RULE}")
    if math.isfinite(entry) and entry >= 0:
        return float(entry)
    raise ValueError(
        f"noise {whole!r}: a standard deviation (sigma) of {entry}; expected 0 or more"
    )


def _model(pairs: Sequence[tuple[str, Any]], whole: str) -> dict[str, Any]:
    """Check names and kinds of the fields; their ranges are checked with the settings."""
    model: dict[str, Any] = {}
    for name, value in pairs:
        if name not in _FIELDS:
            raise ValueError(
                f"noise {whole!r}: a noise model has no {name!r}; it has {', '.join(_FIELDS)}"
            )
        if name in model:
            raise ValueError(f"noise {whole!r}: it gives {name} twice; give it once")
        lags = name.startswith("correlation")
        if name == "inverted":
            value = _truth(value, whole)
        elif not (_are_lags(value) if lags else _is_number(value)):
            kind = "two numbers or more, such as 0.3/0.1" if lags else "a number"
            raise ValueError(f"noise {whole!r}: {name} is {value!r}; expected {kind}")
        model[name] = value
    if not model:
        raise ValueError(f"noise {whole!r}: a noise model is empty; it has {', '.join(_FIELDS)}")
    return model


def _truth(value: Any, whole: str) -> bool:
    if value in (0, 1):  # true and false of JSON are
        return bool(value)
    raise ValueError(f"noise {whole!r}: inverted is {value!r}; expected 1 or 0")


def _are_lags(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) >= 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
