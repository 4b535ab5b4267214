"""The page that is seen while it trains: progress, curves, and in the end the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from magicgui import widgets as mg
from qtpy.QtWidgets import QWidget

from napari_denoise.plugin.finetune.curves import Curves
from napari_denoise.plugin.finetune.result_panel import ResultPanel
from napari_denoise.plugin.kit.parts import button, column, row, small_print
from napari_denoise.plugin.kit.text import time_text, unbroken

if TYPE_CHECKING:
    from napari_denoise.plugin.finetune.run_events import Point
    from napari_denoise.training.loop.report import StepReport


_PAUSE = "Pause after the current step; nothing is lost."
_RESUME = "Resume with the next step."


class WatchPage(QWidget):  # type: ignore[misc]  # Qt has no types
    """Progress, curves, buttons, result."""

    def __init__(self, background: str, foreground: str) -> None:
        super().__init__()
        self._step, self._stopping = "", False
        self._planned = 0
        self.plan = small_print()
        self.bar = mg.ProgressBar(value=0, min=0, max=1000)
        self.progress = small_print()
        self.curves = Curves(background, foreground)
        self.curves.setToolTip(
            "PSNR and SSIM are of a small part of the validation set, to be quick; the table at "
            "the end is of all of it, so its figures differ a little."
        )
        self.pause = button("Pause", _PAUSE)
        self.stop = button("Stop, keep the best", "End here with the best weights so far.")
        self.result = ResultPanel()
        self.again = button("Back to the pairs", "Change pairs, regions or settings.")
        rows = column(self, 6)
        for part in (self.plan, self.bar.native, self.progress):
            rows.addWidget(part)
        rows.addLayout(row(self.pause, self.stop))
        for part in (self.curves, self.result, self.again.native):
            rows.addWidget(part)

    def begin(self) -> None:
        """Show a run that begins."""
        self.curves.clear()
        self.plan.say("")
        self._step, self._stopping = "", False
        self.show_phase("Starting …")
        self.stop.enabled = True
        self.result.name.value = ""

    def show_plan(self, text: str, steps: int) -> None:
        """Say what to expect, until the plan is another one or carried out."""
        self.plan.say(unbroken(text))
        self._planned = steps

    def show_phase(self, text: str) -> None:
        """Say what is done before the first step and after the last; there is no pausing then."""
        if self._step or not self._stopping:
            self.progress.say(text)
        self.bar.native.setRange(0, 0)
        self.pause.enabled = False
        if self._step:  # it ends already
            self.stop.enabled = False

    def show_report(self, report: StepReport) -> None:
        """Show a step."""
        if report.steps != self._planned:
            self.plan.say("")
        self.bar.native.setRange(0, 1000)
        self.bar.native.setValue(int(1000 * report.step / max(report.steps, 1)))
        speed = f"{report.steps_per_second:.3g} steps/s" if report.steps_per_second else ""
        left = f"{time_text(report.seconds_left)} left" if report.seconds_left else ""
        step = f"step {report.step} of {report.steps}"
        self._step = step
        if not self._stopping:
            self.progress.say(unbroken(" · ".join(part for part in (step, speed, left) if part)))
        self.curves.add(report.step, report.terms, report.figures)
        self.pause.enabled = self.stop.enabled

    def show_known(self, points: Sequence[Point]) -> None:
        """Draw what is known before the next step."""
        for step, terms, figures in points:
            self.curves.add(step, terms, figures)

    def show_stopping(self) -> None:
        """Say that what is at work now is the last."""
        self._stopping = True
        self.progress.say("Stopping …")
        self.pause.enabled = self.stop.enabled = False

    def show_held(self, paused: bool) -> None:
        """Say that it waits."""
        if paused and not self._stopping:
            self.progress.say(f"{self._step} · paused")

    def show_state(self, running: bool, paused: bool, finished: bool) -> None:
        """Show what belongs to a run at work, held or over."""
        for part in (self.pause, self.stop):
            part.native.setVisible(running)
        self.bar.native.setVisible(running)
        self.pause.text = "Resume" if paused else "Pause"
        self.pause.tooltip = _RESUME if paused else _PAUSE
        self.curves.setVisible(not finished or self.curves.measured)
        self.result.setVisible(finished)
        if finished:
            self.plan.say("")
        self.again.native.setVisible(not running)
