"""Names of physical units: those of the file formats, and those of pint and napari."""

from __future__ import annotations

import re

_PREFIXES = {
    "Y": "yotta",
    "Z": "zetta",
    "E": "exa",
    "P": "peta",
    "T": "tera",
    "G": "giga",
    "M": "mega",
    "k": "kilo",
    "h": "hecto",
    "da": "deca",
    "": "",
    "d": "deci",
    "c": "centi",
    "m": "milli",
    "µ": "micro",
    "n": "nano",
    "p": "pico",
    "f": "femto",
    "a": "atto",
    "z": "zepto",
    "y": "yocto",
}
_OME = {
    **{f"{symbol}m": f"{word}meter" for symbol, word in _PREFIXES.items()},
    **{f"{symbol}s": f"{word}second" for symbol, word in _PREFIXES.items()},
    "Å": "angstrom",
    "in": "inch",
    "ft": "foot",
    "yd": "yard",
    "mi": "mile",
    "pc": "parsec",
    "pixel": "pixel",
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
    "feet": "foot",
    "dekameter": "decameter",
    # UCUM
    "Ao": "angstrom",
    "[in_i]": "inch",
    "[ft_i]": "foot",
    "[yd_i]": "yard",
    "[mi_i]": "mile",
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
