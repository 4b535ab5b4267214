"""Text that comes from files, fit to be shown: no control characters, not too long."""

from __future__ import annotations

import json
import re
from typing import Any

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What moves the cursor, turns the direction of writing, or cannot be encoded."""


def printable(text: str) -> str:
    r"""Write characters that steer a terminal as escapes, such as ``\x1b``.

    Line breaks and tabs stay. Bytes of a file's name that are not UTF-8 become escapes too.
    """
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


def printable_json(text: str) -> str:
    """Write such characters in the strings of JSON text as JSON's own escapes."""
    return _UNSEEN.sub(lambda found: json.dumps(found.group())[1:-1], text)


def shown(value: Any, most: int = 80) -> str:
    """Return the `repr` of a value, cut to about so many characters."""
    # A value of a damaged file may be nested too deeply, or a number of a million digits.
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        text = f"<{type(value).__name__}>"
    return shortened(text, most)


def shortened(text: str, most: int = 80) -> str:
    """Cut a text to about so many characters, its end after an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
