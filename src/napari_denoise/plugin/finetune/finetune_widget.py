"""The Fine-tune dock widget: from a user's own pairs to weights that are better on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QLabel, QWidget

from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.denoise.jobs import Found, discover
from napari_denoise.plugin.finetune import kept as finetune_kept
from napari_denoise.plugin.finetune.drawing import Drawing
from napari_denoise.plugin.finetune.entries import PairEntry, entry_again
from napari_denoise.plugin.finetune.finetune_form import FineTuneForm
from napari_denoise.plugin.finetune.looks import Look
from napari_denoise.plugin.finetune.pairs_table import PairsTable
from napari_denoise.plugin.finetune.result_panel import SideBySide
from napari_denoise.plugin.finetune.resume_offer import ResumeOffer
from napari_denoise.plugin.finetune.run_events import (
    Asked,
    Control,
    Ended,
    GivenUp,
    Happening,
    Held,
    Known,
    Looked,
    Planned,
    Saved,
    Stepped,
    TuningPhase,
    estimate,
    finetuning,
    look_side_by_side,
    save,
)
from napari_denoise.plugin.finetune.sight import PairsInView
from napari_denoise.plugin.finetune.watch_page import WatchPage
from napari_denoise.plugin.kit.docked import DockedWidget, notify
from napari_denoise.plugin.kit.parts import (
    NO_PAIR,
    FittingScroll,
    Status,
    button,
    column,
    enable,
    keep_height,
    row,
)
from napari_denoise.plugin.kit.text import unbroken
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.apply import show_alone
from napari_denoise.weights.catalogue import free_name, gone, list_weights

if TYPE_CHECKING:
    import napari.viewer

_WIDTH = 360
_SETTLE_MS = 300
_ARRIVING_MS = 500
"""So long the page is laid out anew when the result arrives below the curves."""
_DENOISE_DOCK = "Denoise (Denoise)"
"""What the menu calls it, so that the menu finds it open."""


class FineTuneWidget(DockedWidget):
    """Fine-tune weights on pairs, watch it, and save what is better.

    Parameters
    ----------
    viewer
        Where the layers are.
    """

    # napari's style pads headers, which lie beside their rows then, and no cell.
    own_style = "QHeaderView { padding: 0; } QTableView::item { padding: 2px; }"

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._closed = False
        self._task: WorkerTask | None = None
        self._estimating: WorkerTask | None = None
        self._small_tasks: list[WorkerTask] = []
        self.control = Control()
        self.asked: Asked | None = None
        self._at_work: list[PairEntry] = []
        self.ended: Ended | None = None
        self._anyway = False
        self._saved_as = ""
        self.sight = PairsInView(viewer)
        self.side = SideBySide(viewer)
        self._build()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._look_again)
        self._arriving = QTimer(self)
        self._arriving.setSingleShot(True)
        self._arriving.setInterval(_ARRIVING_MS)
        self._arriving.timeout.connect(self._reveal_result)
        self._connect()
        self._do(discover, on_event=self._found)
        self.offer.show_kept(finetune_kept.unfinished())
        self._update()

    # --- what it looks like -------------------------------------------------------------

    def _build(self) -> None:
        theme = get_theme(self._viewer.theme)
        self.offer = ResumeOffer()
        self.pairs = PairsTable(self._viewer)
        self.drawing = Drawing(self._viewer)
        self.form = FineTuneForm()
        self.setup = QWidget()
        rows = column(self.setup, 8)
        for title, part in (
            ("1  Pairs", self.pairs),
            ("2  Regions (if you like)", self.drawing),
            ("3  Training", self.form.native),
        ):
            heading = QLabel(title)
            heading.setStyleSheet("QLabel { font-weight: bold; }")
            rows.addWidget(heading)
            rows.addWidget(part)
        rows.addStretch()  # else messages take spare height
        self.watch = WatchPage(theme.background.as_hex(), theme.text.as_hex())
        both = QWidget()
        pages = column(both)
        pages.addWidget(self.setup)
        pages.addWidget(self.watch)
        self.estimate = button(
            "How long?",
            "Time the first steps: how many fit into the time, and is there memory for them?",
        )
        self.start = button("Start", "Check the pairs, say what to expect, and train.")
        self.anyway = button("Start anyway", "Begin in spite of what is said above.")
        self.status = Status(self.anyway)
        self._scroll = FittingScroll(both)
        layout = column(self, 8)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.addWidget(self.offer)
        layout.addWidget(self._scroll)
        layout.addStretch()
        layout.addWidget(self.status)
        layout.addLayout(row(self.estimate, self.start))
        keep_height(self.offer)
        self._paint()

    def _paint(self, _event: Any = None) -> None:
        if self._closed:
            return
        result = self.watch.result  # where one of these two is in sight at a time
        main = (self.start, result.save, result.use, self.offer.resume)
        self.paint(self._viewer.theme, [button.native for button in main])
        self.pairs.show_rows()
        result.show_again()

    def sizeHint(self) -> QSize:
        """Return a width that every row fits."""
        return QSize(_WIDTH, super().sizeHint().height())

    # --- wiring -------------------------------------------------------------------------

    def _connect(self) -> None:
        self._scroll.verticalScrollBar().rangeChanged.connect(self._result_moved)
        self.pairs.changed.connect(self._pairs_changed)
        self.pairs.selected.connect(self._pair_selected)
        self.drawing.changed.connect(self._moved)
        self.drawing.said.connect(self._say)
        self.form.changed.connect(self._outdated)
        self.start.changed.connect(self._start_clicked)
        self.anyway.changed.connect(self._anyway_clicked)
        self.estimate.changed.connect(self._estimate_clicked)
        self.watch.pause.changed.connect(self._pause_clicked)
        self.watch.stop.changed.connect(self._stop_clicked)
        self.watch.again.changed.connect(self._back_clicked)
        self.watch.result.save.changed.connect(self._save_clicked)
        self.watch.result.use.changed.connect(self._use_clicked)
        self.watch.result.side_by_side.changed.connect(self._side_clicked)
        self.offer.resume.changed.connect(self._resume_clicked)
        self.offer.discard.changed.connect(self._discard_clicked)
        self.offer.later.changed.connect(lambda: self.offer.show_kept([]))
        for emitter, callback in self._viewer_events():
            emitter.connect(callback)
        # The window may delete this widget while work is going on.
        self.stop_when_deleted()

    def _viewer_events(self) -> list[tuple[Any, Callable[..., None]]]:
        layers, camera = self._viewer.layers, self._viewer.scene.camera
        return [
            (layers.events.inserted, self._layers_changed),
            (layers.events.removed, self._layers_changed),
            (layers.events.renamed, self._layers_changed),
            (layers.selection.events.changed, self._layers_changed),
            (self._viewer.dims.events.current_step, self._moved),
            (camera.events.center, self._moved),
            (camera.events.zoom, self._moved),
            (self._viewer.events.theme, self._paint),
        ]

    def _do(self, function: Callable[..., Any], *args: Any, **callbacks: Any) -> WorkerTask:
        """Run something short off the GUI thread."""
        callbacks.setdefault("on_error", self._fail)
        self._small_tasks = [task for task in self._small_tasks if task.running]
        task = WorkerTask(function, *args, **callbacks)
        self._small_tasks.append(task)
        return task

    # --- pairs and regions --------------------------------------------------------------

    def _layers_changed(self, _event: Any = None) -> None:
        if self._closed or self.side.shown:
            return
        self.pairs.offer_layers()
        self.drawing.forget_removed()
        self.drawing.show_tool()
        self._update()

    def _pairs_changed(self) -> None:
        self.drawing.set_entries(self.pairs.usable)
        self._outdated()

    def _outdated(self) -> None:
        """Take back what was said of other pairs or settings."""
        if self._estimating is not None:
            self._estimating.cancel()
        self.status.clear()
        self._update()

    def _pair_selected(self, entry: PairEntry | None) -> None:
        self.drawing.choose(entry if entry is not None and entry.usable else None)

    def _moved(self, _event: Any = None) -> None:
        if not self._closed:
            self._settle.start()

    def _look_again(self) -> None:
        """Follow where the user looks, once that has settled."""
        if self._closed:
            return
        if self.busy and self.asked is not None:
            self.control.view = self.sight.view(self._at_work)
        elif not self.watch.isVisible():
            self.drawing.refresh()

    # --- running ------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether it trains, or is paused."""
        return self._task is not None and self._task.running

    @property
    def estimating(self) -> bool:
        """Whether it times the first steps."""
        return self._estimating is not None and self._estimating.running

    @property
    def paused(self) -> bool:
        """Whether it is held."""
        return self.busy and self.control.paused.is_set()

    def _ask(self) -> Asked | None:
        """Put together what is chosen; None, and a message, where something is wrong."""
        pairs = tuple(entry.pair for entry in self.pairs.usable)
        if not pairs:
            self._say(
                "warning", "Add a pair first: a noisy image and a clean one, or a noisy stack."
            )
            return None
        try:
            settings = self.form.settings(align=self.pairs.aligned)
            regions = self.drawing.regions()
        except ValueError as error:
            self._say("error", str(error))
            return None
        return Asked(pairs, settings, finetune_kept.new_folder(), regions, anyway=self._anyway)

    def _start_clicked(self) -> None:
        self._anyway = False
        self._begin_asked()

    def _anyway_clicked(self) -> None:
        self._anyway = True
        self._begin_asked()

    def _begin_asked(self) -> None:
        asked = self._ask()
        if asked is not None and not self._anyway and (doubts := self.pairs.doubts):
            text = (
                "Training on a clean image that is none teaches the network to blur or to invent. "
                "Look at these pairs, or start anyway:"
            )
            self._say("warning", "\n".join([text, *(f"! {doubt}." for doubt in doubts)]), True)
        elif asked is not None:
            entries = self.pairs.usable
            if not any(entry.layer in self._viewer.layers for entry in entries):
                entries[0] = self.drawing.shown(entries[0])  # something to watch
            self.begin(asked, entries)

    def begin(self, asked: Asked, entries: Sequence[PairEntry]) -> None:
        """Train, in the background, on pairs that may be in the viewer."""
        if self.busy:
            return
        self._at_work = list(entries)
        self.asked, self.ended, self.control = asked, None, Control()
        self.control.view = self.sight.view(self._at_work)
        self.status.clear()
        self.offer.show_kept([])
        self.drawing.hide_parts()
        self.watch.begin()
        if self._estimating is not None:
            self._estimating.cancel()
        if self.estimating:
            self.watch.show_phase("Ending the estimate …")
        self._task = WorkerTask(
            finetuning,
            asked,
            self.control,
            on_event=self._happened,
            on_error=self._failed,
            on_end=self._update,
            after=self._estimating,  # both would train, and each would slow the other's clock
        )
        self._update()

    def _estimate_clicked(self) -> None:
        asked = None if self.estimating else self._ask()
        if asked is not None:
            self.estimate.enabled = False
            self._estimating = self._do(
                estimate, asked, on_event=self._happened, on_end=self._update
            )

    def _happened(self, event: Happening) -> None:
        if self._closed:
            return
        if isinstance(event, TuningPhase):
            self.watch.show_phase(event.text)
            if not self.busy:
                self._say("info", event.text)
        elif isinstance(event, Planned):
            self._planned(event)
        elif isinstance(event, Known):
            self.watch.show_known(event.points)
        elif isinstance(event, Stepped):
            self.watch.show_report(event.report)
            if event.report.note:
                kind = "warning" if event.report.warning else "info"
                self._say(kind, event.report.note)
        elif isinstance(event, Held):
            self.watch.show_held(self.paused)
        elif isinstance(event, Looked):
            self.sight.show(event.look, self._at_work)
        elif isinstance(event, GivenUp):
            self._given_up()
        else:
            self._over(event)

    def _planned(self, event: Planned) -> None:
        text = event.plan.describe()
        text = text[0].upper() + text[1:] + "."
        self.watch.show_plan(text, event.plan.settings.steps)
        notes = " ".join(f"{_sentence(note, self._at_work)}." for note in event.notes)
        if event.refused or not event.plan.fits:
            text += " That may not fit: choose a smaller batch or patch under Advanced."
            self._say("warning", unbroken(f"{text} {notes}"), remedy=event.refused)
        elif not self.busy:
            self._say("info", unbroken(f"{text} {notes}"))
        elif notes:
            self._say("info", notes)

    def _over(self, event: Ended) -> None:
        self.ended = event
        self.sight.remove()
        title = event.tuning.pairs[0].name
        verdicts = event.tuning.material.verdicts
        self.watch.result.show_result(
            event.result,
            free_name(f"{title} fine-tuned"),
            event.curves,
            [f"{v.pair}: {finding}" for v in verdicts for finding in v.warnings],
            [f"{v.pair}: {finding}" for v in verdicts for finding in v.doubts],
        )
        if event.error is None:
            self.status.clear()
        else:
            self._fail(event.error, f"It stopped: {event.error} What was reached is kept.")
        self.watch.progress.say("")

    def _given_up(self) -> None:
        resumed = self.asked is not None and self.asked.resume
        kept = " What it had reached before is kept." if resumed else ""
        self._offer_again()
        self._say("info", f"Stopped before the first step.{kept}")

    def _failed(self, error: Exception) -> None:
        """Show an error from before the first step; after it, `Ended` carries it."""
        if self.asked is not None:
            finetune_kept.put_away(self.asked.folder)
        self._offer_again()
        self._fail(error)

    def _offer_again(self) -> None:
        """Offer what can be gone on with, and the pairs that were at work, to begin anew."""
        self.offer.show_kept(finetune_kept.unfinished())
        if not self.pairs.entries:
            self.pairs.set_entries(self._at_work)

    def _pause_clicked(self) -> None:
        paused = self.control.paused
        if paused.is_set():
            paused.clear()
        else:
            paused.set()
        self._update()

    def _stop_clicked(self) -> None:
        self.control.stopped.set()
        self.watch.show_stopping()

    def _back_clicked(self) -> None:
        self.side.remove()
        self._leave_result()
        self.ended, self.asked = None, None
        self.status.clear()
        self._offer_again()
        self._layers_changed()
        self._update()

    def _leave_result(self) -> None:
        """Keep on disk only what can be gone on with."""
        if self.ended is not None and self.asked is not None and not self.busy:
            finetune_kept.put_away(self.asked.folder)

    # --- the result ---------------------------------------------------------------------

    def _save_clicked(self) -> None:
        if self.ended is None:
            return
        name = str(self.watch.result.name.value).strip()
        self._do(save, self.ended.tuning, name, self.ended.result, on_event=self._saved)

    def _saved(self, event: Saved) -> None:
        self._saved_as = event.info.name
        if self.asked is not None:
            finetune_kept.close(self.asked.folder)
        self.side.remove()
        self.watch.result.show_saved(event.info.name)
        shown = [entry.layer for entry in self._at_work if entry.layer in self._viewer.layers]
        if shown:  # what Denoise would now be asked for
            self._viewer.layers.selection.active = shown[0]
        self.status.clear()
        found = list_weights()
        self.form.fill_base(found)
        for widget in self._viewer.window.dock_widgets.values():
            if isinstance(widget, DenoiseWidget):
                widget.form.fill_weights(found)

    def _use_clicked(self) -> None:
        """Open Denoise on the noisy layer, with the weights that were just saved."""
        self.side.remove()
        layers = [x.layer for x in self._at_work if x.layer in self._viewer.layers]
        if layers:
            self._viewer.layers.selection = set(layers[:1])
            show_alone(self._viewer, layers[0])
        denoise = self._open_denoise()
        denoise.form.fill_weights(list_weights())
        if self._saved_as in denoise.form.weights.choices:
            denoise.form.weights.value = self._saved_as
        else:
            self._say("error", gone(self._saved_as))

    def _open_denoise(self) -> DenoiseWidget:
        window = self._viewer.window
        found = [x for x in window.dock_widgets.values() if isinstance(x, DenoiseWidget)]
        if not found:
            found = [DenoiseWidget(self._viewer)]
            window.add_dock_widget(found[0], name=_DENOISE_DOCK, tabify=True)
        dock = found[0].parentWidget()
        dock.show()
        dock.raise_()
        return found[0]

    def _side_clicked(self) -> None:
        if self.side.shown:
            self.side.remove()
        elif self.ended is not None:
            self.watch.result.side_by_side.enabled = False
            self._do(
                look_side_by_side,
                self.ended.tuning,
                self.control.view,
                on_event=self._show_side,
                on_end=self._update,
            )

    def _show_side(self, look: Look) -> None:
        layers = [entry.layer for entry in self._at_work if entry.layer is not None]
        self.side.show(look, layers[0].units[-2:] if layers else None)

    # --- going on -----------------------------------------------------------------------

    def _resume_clicked(self) -> None:
        kept = self.offer.kept
        if kept is None:
            return
        try:
            pairs, regions = tuple(kept.pairs()), kept.regions
        except finetune_kept.UNREADABLE as error:
            self._say("error", f"It cannot be gone on with: {error}")
            return
        entries = [entry_again(pair, self._viewer.layers) for pair in pairs]
        entries[:1] = map(self.drawing.shown, entries[:1])  # something to watch
        self.begin(Asked(pairs, kept.settings, kept.folder, regions, resume=True), entries)

    def _discard_clicked(self) -> None:
        if self.offer.kept is not None and self.offer.agreed_to_discard():
            finetune_kept.discard(self.offer.kept.folder)
        self.offer.show_kept(finetune_kept.unfinished())

    # --- showing the state --------------------------------------------------------------

    def _update(self, _event: Any = None) -> None:
        """Show and enable what makes sense now."""
        if self._closed:
            return
        over = self.ended is not None and not self.busy
        watching = self.busy or over
        if over and self.watch.result.isHidden():
            self._arriving.start()
        self.setup.setVisible(not watching)
        self.watch.setVisible(watching)
        for part in (self.start, self.estimate):
            part.native.setVisible(not watching)
            enable(part, bool(self.pairs.usable), NO_PAIR)
        if self.estimating:
            self.estimate.enabled = False
        self.watch.show_state(self.busy, self.paused, over)
        self.watch.result.side_by_side.text = "Hide them" if self.side.shown else "Side by side"
        self.watch.result.side_by_side.enabled = over

    def _result_moved(self, *_range: int) -> None:
        if self._arriving.isActive():
            self._reveal_result()

    def _reveal_result(self) -> None:
        """Scroll to what came out, and in any case to its figures."""
        for part in (self.watch.result, self.watch.result.table):
            self._scroll.ensureWidgetVisible(part)

    def _say(self, kind: str, text: str, remedy: bool = False) -> None:
        if not self._closed:
            self.status.say(kind, text, remedy=remedy)

    def _fail(self, error: Exception, text: str = "") -> None:
        notify(error)
        self._say("error", text or str(error) or type(error).__name__)

    def _found(self, found: Found) -> None:
        self.form.fill_devices(found.devices)

    # --- the end ------------------------------------------------------------------------

    def at_work(self) -> str:
        """Tell what closing napari would cut off."""
        if not self.busy:
            return ""
        return (
            "Fine-tuning is still at work. If napari closes now it stops, and can be resumed "
            "when Fine-tune is opened again."
        )

    def shut_down(self) -> None:
        """Stop all work; it can be gone on with."""
        if self._closed:
            return
        self._settle.stop()
        self._arriving.stop()
        self.watch.curves.stop()
        for emitter, callback in self._viewer_events():
            emitter.disconnect(callback)
        self.stop_work()
        self.sight.remove()
        self.drawing.hide_parts()

    def stop_work(self) -> None:
        """Stop all work, touching nothing of Qt: the window may have deleted that."""
        if self._closed:
            return
        self._closed = True
        self.control.paused.clear()
        self.control.stopped.set()
        for task in (self._task, *self._small_tasks):
            if task is not None:
                task.detach()
        self.pairs.stop_work()
        self.drawing.stop_work()
        self._leave_result()


def _sentence(note: str, entries: Sequence[PairEntry]) -> str:
    """Begin with a capital letter, unless it begins with what a pair is called."""
    named = any(note.startswith(entry.pair.name) for entry in entries)
    return note if named else note[0].upper() + note[1:]
