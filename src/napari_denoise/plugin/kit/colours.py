"""Colours of the widgets, made of the theme's own so that every text can be read on it."""

from __future__ import annotations

import colorsys
from typing import Any

from napari.utils.theme import get_theme

ROLE = "denoiseRole"
"""Property of a Qt widget that the style goes by: `SMALL`, or the kind of a message."""
SMALL = "small"
KINDS = ("info", "good", "warning", "error")
"""What a message may be."""
READABLE = 4.5
"""Least contrast of text and background, by WCAG 2 (AA)."""
_FAINT = 0.68
"""Share of the text's colour in small print, where that can be read."""
_GREEN = 0.38
Rgb = tuple[float, float, float]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    high, low = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, text: str, background: str) -> str:
    """Move a colour towards that of the text until it can be read on a background."""
    shade, target = _rgb(colour), _rgb(text)
    for step in range(21):
        found = _hex(_mix(target, shade, step / 20))
        if contrast(found, background) >= READABLE:
            return found
    return text


class Colours:
    """Those of one theme, for all widgets of the process.

    Attributes
    ----------
    text, background, small
        Of the page, and of small print on it.
    kinds
        By the kind of a message.
    """

    def __init__(self) -> None:
        self._theme = ""
        self.take("dark")

    def take(self, name: str) -> None:
        """Follow a theme of napari by its name."""
        if name == self._theme:
            return
        theme: Any = get_theme(name)
        self._theme = name
        self.text, self.background = _plain(theme.text), _plain(theme.background)
        self._current = _plain(theme.current)
        warning = _plain(theme.warning)
        _, light, saturation = colorsys.rgb_to_hls(*_rgb(warning))
        green = _hex(colorsys.hls_to_rgb(_GREEN, light, saturation))
        bare = {
            "info": _plain(theme.icon),
            "good": green,
            "warning": warning,
            "error": _plain(theme.error),
        }
        self.kinds = {k: readable(c, self.text, self.background) for k, c in bare.items()}
        faint = _hex(_mix(_rgb(self.text), _rgb(self.background), _FAINT))
        self.small = readable(faint, self.text, self.background)

    def style(self) -> str:
        """Return the style sheet of small print and of messages."""
        stripes = "".join(
            f"QFrame#status[{ROLE}='{kind}'] {{ border-left: 3px solid {colour}; }}"
            for kind, colour in self.kinds.items()
        )
        return f"QLabel[{ROLE}='{SMALL}'] {{ font-size: 8.5pt; color: {self.small}; }}{stripes}"

    def main_action(self) -> str:
        """Return the style sheet of the button that is to be pressed next."""
        return f"QPushButton:enabled {{ background-color: {self._current}; font-weight: bold; }}"


def _plain(colour: Any) -> str:
    """Write a colour of a theme with six digits."""
    return _hex(tuple(v / 255 for v in colour.as_rgb_tuple()[:3]))


def _rgb(colour: str) -> Rgb:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{round(255 * min(max(v, 0), 1)):02x}" for v in colour)


def _mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(one, other, strict=True))
    return red, green, blue


def _luminance(colour: Rgb) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


colours = Colours()
"""Those in use."""
