"""Live curves: the terms of training, and PSNR and SSIM on what is held out."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.kit.parts import column, small_print

_REDRAW_MS = 1000
_MOST_POINTS = 400
_HEIGHT = 330
_LINES = {"noisy": "#8a8f9c", "base": "#f0b429"}
_ENDS = {"faithful": "#4cc38a", "realistic": "#e5484d"}
_TERM_NAMES = {"pixel": "distance", "spread": "expected error", "feature": "VGG features"}
_CALLED = {"faithful": "fine-tuned"}
_NOWHERE = float("nan")
_MOST_ABOVE = 3
_LEAST = {"psnr": 0.1, "ssim": 0.005}
"""Room above and below the lines, so that rounding does not look like a gain."""
_NO_TERMS = ("gradient_norm", "discriminator_gradient_norm")
_TERMS = ("#5b8def", "#e5484d", "#4cc38a", "#f0b429", "#b07cf0", "#8a8f9c", "#4bc0c8")


class Series:
    """Points of a line, thinned as they grow many."""

    def __init__(self) -> None:
        self.x: list[float] = []
        self.y: list[float] = []
        self._every, self._seen = 1, 0

    def add(self, x: float, y: float) -> None:
        """Append a point, or skip it where there are many."""
        self._seen += 1
        if self._seen % self._every:
            return
        self.x.append(x)
        self.y.append(y)
        if len(self.x) > _MOST_POINTS:
            self.x, self.y, self._every = self.x[::2], self.y[::2], 2 * self._every


class Curves(QWidget):  # type: ignore[misc]  # Qt has no types
    """Three plots over the steps, drawn at most once a second."""

    def __init__(self, background: str, foreground: str) -> None:
        super().__init__()
        self._colors = background, foreground
        self.terms: dict[str, Series] = {}
        self.figures: dict[str, Series] = {}
        self._figure: Any = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW_MS)
        self._timer.timeout.connect(self.draw)
        self.missing = small_print()
        self._rows = column(self)
        self._rows.addWidget(self.missing)
        self.setFixedHeight(_HEIGHT)

    def clear(self) -> None:
        """Begin anew."""
        self.terms, self.figures = {}, {}
        self._due()

    def add(
        self, step: int, terms: Mapping[str, float], figures: Mapping[str, float] | None
    ) -> None:
        """Take what a step reports, but for what is no number: no part was large enough for it."""
        counted = {name: value for name, value in terms.items() if name not in _NO_TERMS}
        for values, series in ((counted, self.terms), (figures or {}, self.figures)):
            for name, value in values.items():
                if isfinite(value):
                    series.setdefault(name, Series()).add(step, value)
        self._due()

    @property
    def measured(self) -> bool:
        """Whether there is a figure of weights that were trained."""
        return any(f"{kind}_{end}" in self.figures for kind in _LEAST for end in _ENDS)

    def stop(self) -> None:
        """Draw no more."""
        self._timer.stop()

    def _due(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def draw(self) -> None:
        """Draw all lines, or say why that cannot be."""
        if self._figure is None:
            try:
                self._make()
            except ImportError as error:  # one that does not fit to Qt, for instance
                self.missing.say(
                    f"There are no curves: matplotlib cannot be loaded ({error}). "
                    "Training goes on; python -m pip install matplotlib brings them back."
                )
                return
        for axes, title in zip(self._axes, ("Losses", "PSNR", "SSIM"), strict=True):
            axes.clear()
            self._style(axes, title)
        self._draw_terms(self._axes[0])
        for axes, kind in zip(self._axes[1:], ("psnr", "ssim"), strict=True):
            self._draw_figures(axes, kind)
        if not self.terms:  # no step to count yet
            self._axes[-1].set_xticks([])
        self._figure.canvas.draw_idle()

    def _make(self) -> None:
        # Loaded with the first curve: half a second that opening the widget need not take.
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        self._figure = Figure(figsize=(3.2, 3.3), dpi=100, layout="constrained")
        self._figure.set_facecolor(self._colors[0])
        self._figure.get_layout_engine().set(h_pad=0.03, w_pad=0.02, hspace=0.0)
        self._axes = self._figure.subplots(3, 1, sharex=True)
        canvas: Any = FigureCanvasQTAgg
        self._rows.addWidget(canvas(self._figure))

    def _style(self, axes: Any, title: str) -> None:
        background, foreground = self._colors
        axes.set_facecolor(background)
        axes.set_title(title, color=foreground, fontsize=7, loc="left", pad=2)
        axes.tick_params(which="both", colors=foreground, labelsize=6, length=2, pad=1)
        for spine in axes.spines.values():
            spine.set_color("#6a6e79")

    def _draw_terms(self, axes: Any) -> None:
        from matplotlib.ticker import NullFormatter

        lowest = float("inf")
        for (name, series), color in zip(self.terms.items(), _TERMS, strict=False):
            axes.plot(series.x, series.y, color=color, lw=0.7, alpha=0.35)
            smooth = _smooth(series.y)
            axes.plot(
                series.x,
                smooth,
                color=color,
                lw=1.2,
                label=_TERM_NAMES.get(name, name.replace("_", " ")),
            )
            lowest = min([lowest, *series.y])
        if 0 < lowest < float("inf"):
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        self._legend(axes)

    def _draw_figures(self, axes: Any, kind: str) -> None:
        digits = 2 if kind == "psnr" else 3
        seen: list[float] = []
        for name, color in _ENDS.items():
            series = self.figures.get(f"{kind}_{name}")
            if series is not None and series.y:
                label = f"{_CALLED.get(name, name)} {series.y[-1]:.{digits}f}"
                axes.plot(series.x, series.y, color=color, lw=1.3, marker=".", ms=4, label=label)
                seen += series.y
        for name, color in _LINES.items():
            series = self.figures.get(f"{kind}_{name}")
            if series is not None and series.y:
                value = series.y[-1]
                far = name == "noisy" and _far(value, seen)
                label = f"{name} {value:.{digits}f}{' ↓' if far else ''}"
                # What is far below is named only: else all the rest would be one line.
                axes.axhline(_NOWHERE if far else value, color=color, lw=1, ls="--", label=label)
                seen += [] if far else [value]
        if seen:
            margin = max((max(seen) - min(seen)) * 0.15, _LEAST[kind])
            axes.set_ylim(min(seen) - margin, max(seen) + margin)
        else:  # a scale of nothing would mislead
            axes.set_yticks([])
        self._legend(axes)

    def _legend(self, axes: Any) -> None:
        """Put the names over the plot, beside its title, where there is room for them."""
        count = len(axes.get_legend_handles_labels()[0])
        if not count:
            return
        above = count <= _MOST_ABOVE
        axes.legend(
            fontsize=6,
            frameon=False,
            labelcolor=self._colors[1],
            loc="lower right" if above else "best",
            bbox_to_anchor=(1.0, 0.94) if above else None,
            ncols=count if above else 2,
            handlelength=1.2,
            columnspacing=0.9,
            borderpad=0.1,
        )


def _smooth(values: list[float]) -> list[float]:
    """Average over the last twentieth of the points, at least five."""
    width = max(5, len(values) // 20)
    parts = (values[max(0, n - width + 1) : n + 1] for n in range(len(values)))
    return [sum(part) / len(part) for part in parts]


def _far(value: float, seen: list[float]) -> bool:
    """Whether a line is so far below the others that they would look the same beside it."""
    return bool(seen) and min(seen) - value > 3 * max(max(seen) - min(seen), 0.01)
