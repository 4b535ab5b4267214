"""Names of physical units: those of the file formats, and those of pint and napari."""

from __future__ import annotations

import re

_OME = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "in": "inch",
    "pixel": "pixel",
    "ns": "nanosecond",
    "µs": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
_SPELLINGS = {
    "um": "micrometer",
    "μm": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "us": "microsecond",
    "μs": "microsecond",
    "sec": "second",
    "msec": "millisecond",
    "hr": "hour",
    "px": "pixel",
    "pixels": "pixel",
    "inches": "inch",
}
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_SYMBOLS = {name: symbol for symbol, name in _OME.items()}


def unit_name(text: str | None) -> str | None:
    """Full name of a unit ("µm", "micron" -> "micrometer"); None if it is not known."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text or "").strip().strip("\0")
    text = text.removeprefix("Â")  # UTF-8 that was read as Latin-1
    for table in (_OME, _SPELLINGS):
        if text in table:
            return table[text]
    folded = text.lower().replace("metre", "meter")
    if folded in _SPELLINGS:
        return _SPELLINGS[folded]
    return next((name for name in _SYMBOLS if folded in (name, f"{name}s")), None)


def ome_symbol(unit: str | None) -> str | None:
    """Symbol that OME-XML uses for a unit; None if it has none."""
    return _SYMBOLS.get(unit_name(unit) or "")
