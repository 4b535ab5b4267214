"""The Batch dock widget: many files, planned, denoised in the background, and resumed."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui import widgets as mg
from napari.experimental import link_layers
from napari.layers import Layer
from qtpy.QtCore import QModelIndex, QSize
from qtpy.QtWidgets import QApplication, QFileDialog, QProgressBar, QWidget

from napari_denoise.batch import (
    Adapted,
    BatchPlan,
    Connected,
    Done,
    Ended,
    Failed,
    PlanRow,
    Progress,
    Resume,
    Skipped,
    Started,
)
from napari_denoise.plugin.batch.background import Run
from napari_denoise.plugin.batch.batch_form import BatchForm
from napari_denoise.plugin.batch.own_settings import OwnSettings
from napari_denoise.plugin.batch.plan_table import PlanTable
from napari_denoise.plugin.batch.running import (
    Asked,
    Missing,
    Own,
    Pair,
    key_of,
    planned,
    read_pair,
)
from napari_denoise.plugin.kit.docked import DockedWidget, notify
from napari_denoise.plugin.kit.parts import (
    FittingScroll,
    Section,
    Status,
    Text,
    button,
    column,
    row,
)
from napari_denoise.plugin.kit.text import time_text
from napari_denoise.plugin.kit.workers import WorkerTask

if TYPE_CHECKING:
    import napari.viewer

_EMPTY = (
    "Drop files or folders here, or choose them above. Then choose a folder for the results and "
    "press Plan."
)


class BatchWidget(DockedWidget):
    """Plan a batch, run it, and look at what became of each input.

    Parameters
    ----------
    viewer
        Where pairs are shown.
    """

    own_style = "QHeaderView { padding: 0; } QTableView::item { padding: 2px; }"

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._closed = False
        self._planning: WorkerTask | None = None
        self._looking: WorkerTask | None = None
        self.run: Run | None = None
        self.inputs: tuple[str, ...] = ()
        self.own: dict[str, Own] = {}
        self.report: Path | None = None
        self.adapted: list[str] = []
        self.setAcceptDrops(True)
        self._build()
        self._connect()
        self.update_state()

    def _build(self) -> None:
        self.files = button("Files …", "Choose the images to denoise.")
        self.from_folder = button("Folder …", "Choose a folder with images to denoise.")
        self.named = Text()
        self.form = BatchForm()
        self.plan = button("Plan", "Look at all inputs and say what would be done.")
        self.table = PlanTable()
        self.empty = Text()
        self.empty.say(_EMPTY)
        self.gap = QWidget()
        self.own_form = OwnSettings()
        self.own_section = Section(
            "Selected rows", self.own_form, "Settings of single inputs, in place of those above."
        )
        self.start = button("Start", "Denoise what waits; what is finished is left alone.")
        self.pause = button("Pause", "Stop computing until Resume; nothing is lost.")
        self.cancel = button("Cancel", "Stop. Start goes on later with what is left.")
        self.retry = button("Retry failed", "Try again what failed, and do what is left.")
        self.command = button("Copy as command", "Copy the line that does this in a terminal.")
        self.show_report = button("Report", "Open batch.html: what became of each input.")
        self.bar = QProgressBar()
        self.bar.setToolTip("How much of the whole batch is done.")
        self.status = Status(self.show_report)
        rows = column(self, 6)
        rows.setContentsMargins(8, 6, 8, 6)
        rows.addLayout(row(self.files, self.from_folder))
        rows.addWidget(self.named)
        settings = QWidget()
        below = column(settings, 6)
        below.addWidget(self.form)
        below.addWidget(self.own_section)
        rows.addWidget(FittingScroll(settings))
        rows.addLayout(row(self.plan, self.command))
        rows.addWidget(self.empty)
        rows.addWidget(self.table, 1)
        rows.addWidget(self.gap, 1)
        rows.addWidget(self.status)
        rows.addWidget(self.bar)
        rows.addLayout(row(self.start, self.pause, self.cancel, self.retry))
        self._paint()

    def _paint(self, _event: Any = None) -> None:
        if not self._closed:
            self.paint(self._viewer.theme, [self.start.native])

    def sizeHint(self) -> QSize:
        """Return a width that the first columns fit."""
        return QSize(460, super().sizeHint().height())

    def _connect(self) -> None:
        clicks: list[tuple[mg.PushButton, Callable[[], None]]] = [
            (self.files, self._ask_files),
            (self.from_folder, self._ask_folder),
            (self.plan, self.make_plan),
            (self.start, self._start),
            (self.pause, self._pause),
            (self.cancel, self._cancel),
            (self.retry, self._retry),
            (self.command, self._copy),
            (self.show_report, self._open_report),
            (self.own_form.apply, self._apply_own),
        ]
        for clicked, act in clicks:
            clicked.changed.connect(lambda _value=None, act=act: act())
        self.form.on_change(self.update_state)
        self.table.doubleClicked.connect(self.look_at)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self.update_state())
        self._viewer.events.theme.connect(self._paint)
        self.stop_when_deleted()

    # --- what is asked for --------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Take what is dropped as the inputs."""
        self.take([url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()])

    def take(self, inputs: list[str]) -> None:
        """Take files and folders as the inputs."""
        if self.busy or not inputs:
            return
        self.inputs, self.own = tuple(inputs), {}
        more = f" and {len(inputs) - 1} more" if len(inputs) > 1 else ""
        self.named.say(f"{inputs[0]}{more}")
        self.table.lines.clear()
        self.status.clear()
        self.update_state()

    def _ask_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Images to denoise")
        self.take(names)

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder of images")
        self.take([name] if name else [])

    def asked(self) -> Asked | None:
        """Put together what is chosen; None, and a message, where something is missing."""
        if not self.inputs:
            self.status.say("warning", "Choose files or a folder first, or drop them here.")
            return None
        if self.form.folder is None:
            self.status.say("warning", "Choose a folder for the results first.")
            return None
        try:
            return self.form.asked(self.inputs, self.own)
        except ValueError as error:
            self.status.say("error", str(error))
            return None

    def _copy(self) -> None:
        asked = self.asked()
        if asked is None:
            return
        QApplication.clipboard().setText(asked.command())
        if self.own:
            self.status.say(
                "warning",
                f"The command is copied. It holds no settings of single inputs: {len(self.own)} "
                "would be denoised like the others.",
            )
        else:
            self.status.say("good", "The command is copied: paste it into a terminal.")

    # --- planning -----------------------------------------------------------------------

    @property
    def planning(self) -> bool:
        """Whether inputs are being looked at."""
        return self._planning is not None and self._planning.running

    @property
    def busy(self) -> bool:
        """Whether it denoises, or is paused."""
        return self.run is not None and self.run.running

    def make_plan(self) -> None:
        """Look at all inputs, in the background."""
        asked = self.asked()
        if asked is None or self.busy:
            return
        if self._planning is not None:
            self._planning.detach()
        self.table.lines.clear()
        self.status.say("info", "Looking at the inputs …")
        self._planning = WorkerTask(
            planned,
            asked,
            on_event=self.happened,
            on_error=self.failed,
            on_end=self.update_state,
            after=self._planning,
        )
        self.update_state()

    def _apply_own(self) -> None:
        chosen = self.table.chosen()
        try:
            own = self.own_form.value()
        except ValueError as error:
            self.status.say("error", str(error))
            return
        for line in chosen:
            self.own[key_of(line.row.task)] = own
            if own == Own():
                del self.own[key_of(line.row.task)]
        self.make_plan()

    # --- running ------------------------------------------------------------------------

    def _start(self) -> None:
        self.begin(Resume())

    def _retry(self) -> None:
        self.begin(Resume(retry_failed=True))

    def begin(self, resume: Resume) -> None:
        """Denoise what waits, in the background."""
        asked = self.asked()
        if asked is None or self.busy:
            return
        if self._planning is not None:
            self._planning.detach()
        self.report, self.adapted = None, []
        self.status.say("info", "Looking at the inputs …")
        self.run = Run(asked, resume, self, after=self._planning)
        self.update_state()

    def _pause(self) -> None:
        if self.run is not None:
            self.run.pause(not self.run.paused)
            self.status.say("info", "Paused." if self.run.paused else "Denoising …")
        self.update_state()

    def _cancel(self) -> None:
        if self.run is not None and self.busy:
            self.run.cancel()
            self.table.lines.stopped()
            self.status.say("warning", "Cancelled: Start goes on with what is left.")
        elif self._planning is not None:
            self._planning.cancel()
        self.update_state()

    def failed(self, error: Exception) -> None:
        """Show why it ended."""
        notify(error)
        self.status.say("error", str(error))

    def happened(self, event: Any) -> None:
        """Show what happened."""
        lines = self.table.lines
        if isinstance(event, PlanRow):
            lines.put(event)
            self.empty.say("")
        elif isinstance(event, Missing):
            self.status.say("warning", event.text)
        elif isinstance(event, BatchPlan):
            self._show_plan(event)
        elif isinstance(event, Started):
            lines.tell(event.task, "info", "denoising …")
        elif isinstance(event, Adapted):
            lines.tell(event.task, "good" if event.used else "info", "adapted", event.text)
            self.adapted.append(event.text)
        elif isinstance(event, Connected):
            self.status.say("info", f"{event.workers} processes are at work.")
        elif isinstance(event, Progress):
            self._show_progress(event)
        elif isinstance(event, Done):
            kind = "warning" if event.warnings else "good"
            lines.tell(event.task, kind, "done", "\n".join(event.warnings))
        elif isinstance(event, Failed):
            if event.error is not lines.error_of(event.task):  # its plan says what it lacks
                lines.tell(event.task, "error", "failed", str(event.error))
        elif isinstance(event, Skipped):
            kind = "error" if event.failed else "good"
            lines.tell(event.task, kind, "failed before" if event.failed else "skipped", event.why)
        elif isinstance(event, Ended):
            self._ended(event)

    def _show_plan(self, plan: BatchPlan) -> None:
        self.table.problems_first()
        if self.busy:
            self.status.say("info", "Denoising …")
            return
        waiting, problems = len(plan.waiting), sum(bool(entry.problem) for entry in plan.rows)
        text = f"{waiting} of {len(plan.rows)} inputs will be denoised"
        if plan.seconds is not None:
            text += f", in about {time_text(plan.seconds)}"
        text += f"; {problems} cannot: look at the first rows." if problems else "."
        self.status.say("warning" if problems else "info", text)

    def _show_progress(self, event: Progress) -> None:
        share = event.what or "measuring …" if event.step is None else f"{event.step.fraction:.0%}"
        self.table.lines.tell(event.task, "info", share)
        self.bar.setValue(round(100 * event.overall))
        left = "" if event.seconds_left is None else f", {time_text(event.seconds_left)} left"
        if self.run is not None and not self.run.paused:
            self.status.say("info", f"Denoising: {event.overall:.0%} done{left}.")

    def _ended(self, event: Ended) -> None:
        self.report = event.report
        self.bar.setValue(100)
        text = f"{event.done} denoised, {event.failed} failed, {event.skipped} were finished."
        text = "\n".join([text, *self.adapted])
        kind = "warning" if event.failed else "good"
        self.status.say(kind, text, remedy=event.report is not None)

    def _open_report(self) -> None:
        if self.report is not None and not webbrowser.open(self.report.absolute().as_uri()):
            self.status.say("info", f"No browser opened. The report is {self.report.absolute()}.")

    def update_state(self) -> None:
        """Enable what can be done now."""
        if self._closed:
            return
        busy, idle = self.busy, not self.busy and not self.planning
        known = bool(self.table.lines.lines)
        self.files.enabled = self.from_folder.enabled = not busy
        self.form.enable(not busy)
        self.plan.enabled = self.start.enabled = idle and bool(self.inputs)
        self.command.enabled = bool(self.inputs)
        self.pause.enabled = busy
        self.pause.text = "Resume" if self.run is not None and self.run.paused else "Pause"
        self.cancel.enabled = not idle
        tried = self.run is not None  # what a plan refuses was not tried yet
        self.retry.enabled = idle and any(
            line.row.act == "failed" or (tried and line.kind == "error")
            for line in self.table.lines.lines
        )
        self.empty.setVisible(not known)
        self.bar.setVisible(busy)
        self.table.setVisible(known)
        self.gap.setVisible(not known)
        self.own_section.setVisible(known and not busy)
        self.own_form.apply.enabled = idle and bool(self.table.selectionModel().selectedRows())

    # --- a pair to look at --------------------------------------------------------------

    def look_at(self, index: QModelIndex) -> None:
        """Open an input and its result side by side."""
        task = self.table.at(index).row.task
        if self._looking is not None:
            self._looking.detach()
        self._looking = WorkerTask(read_pair, task, on_event=self._show_pair, on_error=self.failed)

    def _show_pair(self, pair: Pair) -> None:
        layers = self._viewer.layers
        before = [layers.append(layer) or layer for layer in map(_layer, pair.before)]
        after = [layers.append(layer) or layer for layer in map(_layer, pair.after)]
        for one, other in zip(before, after, strict=False):
            other.name = f"{one.name} denoised"
            link_layers([one, other], _linked(one, other))
        grid = self._viewer.canvas.grid
        grid.stride = max(len(before), 1)
        grid.enabled = bool(after)
        self._viewer.reset_view()
        if not after:
            self.status.say("info", "There is no result yet: only the input is shown.")

    # --- the end ------------------------------------------------------------------------

    def at_work(self) -> str:
        """Tell what closing napari would cut off."""
        if self.run is None or not self.run.running:
            return ""
        return (
            "A batch is still at work. If napari closes now it stops; the same batch skips what "
            "is finished and does the rest."
        )

    def stop_work(self) -> None:
        """Stop all work, touching nothing of Qt."""
        self._closed = True
        for task in (self._planning, self._looking):
            if task is not None:
                task.detach()
        if self.run is not None and not self.run.in_background:
            self.run.stop()

    def dock_closed(self) -> None:
        """Ask what to do with a run that is going on; it goes on until that is answered."""
        if self.run is not None and self.run.running:
            self.run.leave()
            self.run.ask()
        super().dock_closed()

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer."""
        if not self._closed:
            self._viewer.events.theme.disconnect(self._paint)
        self.stop_work()


def _layer(data: Any) -> Layer:
    return Layer.create(*data)


def _linked(one: Layer, other: Layer) -> tuple[str, ...]:
    """Name what both share: contrast that is the same makes them comparable."""
    names = ("contrast_limits", "gamma", "colormap", "visible")
    return tuple(name for name in names if hasattr(one, name) and hasattr(other, name))
