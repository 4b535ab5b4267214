"""The Denoise dock widget: shows the state, and hands the user's wishes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_warning
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, QTimer

from napari_denoise.plugin.denoise.actions import Actions
from napari_denoise.plugin.denoise.compare import Compare, Residuals
from napari_denoise.plugin.denoise.jobs import Found, Jobs, Measured, discover, measure_layers
from napari_denoise.plugin.denoise.previewing import Preview
from napari_denoise.plugin.denoise.running import DenoisedAlready, Order, Refused, Runner
from napari_denoise.plugin.denoise.settings_form import SettingsForm
from napari_denoise.plugin.denoise.undo import Undo
from napari_denoise.plugin.kit.docked import EXPECTED, DockedWidget, notify
from napari_denoise.plugin.kit.parts import EmptyState, FittingScroll, Header, column, keep_height
from napari_denoise.plugin.kit.text import (
    cost_text,
    frames_used_text,
    names_text,
    neighbors_text,
    noise_lines,
    provenance_text,
    shape_text,
    size_text,
)
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.guides import Guiding
from napari_denoise.plugin.layers.history import History
from napari_denoise.plugin.layers.source import (
    Source,
    axes_of,
    bare,
    current_frame,
    current_point,
    levels_of,
    provenance,
    targets,
)
from napari_denoise.weights.catalogue import WeightsError

if TYPE_CHECKING:
    import napari.viewer

    from napari_denoise.inference.stack import StackJob

_SETTLE_MS = 300
"""Wait this long after the last change before measuring or previewing."""
_WIDTH = 340
_DENOISED = "Denoised already: the noise that is left is not measured."
_RESIDUAL = (
    "What was taken out of “{}” lies to the right of it. It should look like noise: any "
    "structure in it is missing from the result."
)
_PLUGIN, _SAMPLE = "napari-denoise", "fluorescence"


class DenoiseWidget(DockedWidget):
    """Denoise image layers in place, after a look at a preview; every run can be undone.

    Parameters
    ----------
    viewer
        Where the layers are.
    budget
        Bytes of earlier data that Undo keeps in memory; None for a quarter of it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, budget: int | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._jobs = Jobs()
        self.history = History(budget)
        self.preview = Preview(viewer, self._jobs)
        self.runner = Runner(viewer, self._jobs, self.history)
        self.undo = Undo(viewer, self.history)
        self.compare = Compare(self.history)
        self.residuals = Residuals(viewer)
        self._guiding = Guiding(viewer.layers)
        self._sources: list[Source] = []
        self._watched: list[Image] = []
        self._made: list[tuple[Source, Image]] = []
        self._measuring: WorkerTask | None = None
        self._closed = False
        self._problem = ""
        self._build()
        self._settle = self._timer(self._settled)
        self._look = self._timer(self._show_preview)
        self._connect()
        self._discovery = WorkerTask(discover, on_event=self._found, on_error=self._fail)
        self._select()

    # --- what it looks like -------------------------------------------------------------

    def _build(self) -> None:
        self.form = SettingsForm()
        self.empty = EmptyState(self._open_sample)
        self.header = Header()
        self._scroll = FittingScroll(self.form.native)
        self.actions = Actions()
        self._paint_run_button()
        layout = column(self, 8)
        layout.setContentsMargins(8, 6, 8, 6)
        for part in (self.empty, self.header, self._scroll, self.actions):
            layout.addWidget(part)
        for part in (self.empty, self.header, self.actions):
            keep_height(part)
        layout.addStretch()

    def _paint_run_button(self, _event: Any = None) -> None:
        """Make the main action stand out, in the theme's own colour."""
        if self._closed:
            return
        self.actions.paint_run(get_theme(self._viewer.theme).current.as_hex())

    def sizeHint(self) -> QSize:
        """Return a width that every row fits."""
        return QSize(_WIDTH, super().sizeHint().height())

    # --- wiring -------------------------------------------------------------------------

    def _timer(self, callback: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(_SETTLE_MS)
        timer.timeout.connect(callback)
        return timer

    def _connect(self) -> None:
        self.actions.preview.native.toggled.connect(self._toggle_preview)
        self.actions.run.changed.connect(self._run_clicked)
        self.actions.again.changed.connect(self._again_clicked)
        self.actions.cancel.changed.connect(self.runner.cancel)
        self.actions.undo.changed.connect(self._undo_clicked)
        self.actions.residual.changed.connect(self._residual_clicked)
        self.actions.compare.native.pressed.connect(self._start_comparing)
        self.actions.compare.native.released.connect(self._stop_comparing)
        self.form.changed.connect(self._settings_changed)
        self.form.guides.chosen.connect(self._guide_chosen)
        for part in (self.preview, self.runner, self.undo):
            part.said.connect(self._say)
            part.failed.connect(self._fail)
            part.changed.connect(self._update)
        self.preview.measured.connect(self._measured)
        self.runner.measured.connect(self._measured)
        self.runner.progressed.connect(self._progress)
        self.runner.applied.connect(self._applied)
        self.runner.changed.connect(self._settle_again)
        self.undo.changed.connect(self.residuals.drop_stale)
        for emitter, callback in self._viewer_events():
            emitter.connect(callback)
        # The window may delete this widget while work is going on.
        self.stop_when_deleted(self.preview, self.runner, self.undo)

    def _viewer_events(self) -> list[tuple[Any, Callable[..., None]]]:
        layers, dims = self._viewer.layers, self._viewer.dims
        camera = self._viewer.scene.camera
        return [
            (layers.events.inserted, self._select),
            (layers.events.removed, self._removed),
            (layers.events.reordered, self._select),
            (layers.events.renamed, self._select),
            (layers.selection.events.changed, self._select),
            (self._viewer.events.theme, self._paint_run_button),
            (dims.events.current_step, self._moved),
            (dims.events.order, self._moved),
            (dims.events.ndisplay, self._moved),
            (camera.events.center, self._moved),
            (camera.events.zoom, self._moved),
        ]

    # --- layers -------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[Source, ...]:
        """The layers that Run would denoise."""
        return tuple(self._sources)

    def _select(self, _event: Any = None) -> None:
        """Follow the selection in the layer list, and the data of what is selected."""
        if self._closed or self.compare.active:
            return
        self._problem = ""
        sources = []
        for layer in targets(self._viewer.layers):
            try:
                sources.append(Source.of(layer))
            except ValueError as error:
                self._problem = f"“{layer.name}”: {error}"
        self._take(self._guiding.attach(sources))
        self._watch(self._guiding.watched(sources))
        self.form.guides.offer(self._guiding.offer(self._sources))
        self._update()

    def _take(self, sources: list[Source]) -> None:
        """Work with these from now on; nothing is measured anew where they are the same."""
        if _same(sources, self._sources):
            return
        others = [s.layer for s in sources] != [s.layer for s in self._sources]
        self._sources = sources
        if others:
            self.form.unpicked()
            if not self.runner.busy:
                self.actions.status.clear()  # it spoke of other layers
        if others or not self.runner.busy:
            self._say_of_noise()
        else:
            self.form.noise_known = False  # a result came in; what it is follows the run's end
        self.actions.status.withdraw_remedy()
        self._settle.start()

    def _watch(self, layers: list[Image]) -> None:
        """Follow new data of these layers, and of no others."""
        if layers == self._watched:
            return
        for layer in self._watched:
            layer.events.data.disconnect(self._select)
        self._watched = layers
        for layer in layers:
            layer.events.data.connect(self._select)

    def _guide_chosen(self, role: str, choice: str) -> None:
        self._guiding.choose(self._sources[0].layer, role, choice)
        self._select()

    def _removed(self, event: Any) -> None:
        if self._closed:
            return
        layer = bare(event.value)
        for part in (self.runner, self.preview, self.undo, self._jobs):
            part.forget(layer)
        self._made = [(s, m) for s, m in self._made if layer not in (s.layer, m)]
        self._select()

    def _settings_changed(self) -> None:
        self._settle.start()

    def _settle_again(self) -> None:
        """Catch up, after a run, with what was selected while it worked."""
        if not (self.form.noise_known or self._closed or self.runner.busy):
            self._settle.start()

    # --- measuring ----------------------------------------------------------------------

    def _settled(self) -> None:
        """Act on the settings and the selection once they have stopped changing."""
        if self._closed or self.runner.busy or not self._weights_there():
            return
        if self.preview.active:
            self._show_preview()
        elif self._unmeasured:
            self._measure(self._unmeasured)
        else:
            self._say_of_noise()  # a run may have ended since: its layer is denoised now

    def _weights_there(self) -> bool:
        """Say so where the chosen weights were renamed or removed since they were listed."""
        try:
            self.form.check_weights()
        except WeightsError as error:
            self._fail(error)
            return False
        return True

    @property
    def _unmeasured(self) -> list[Source]:
        """Layers whose noise is worth knowing: all that are not denoised already."""
        return [s for s in self._sources if provenance(s.layer) is None]

    def _say_of_noise(self) -> None:
        """Say what will be known of the noise, before it is."""
        if self._unmeasured:
            self.form.measuring()
        else:
            self.form.show_noise(_DENOISED if self._sources else "", known=False)

    def _measure(self, sources: Sequence[Source]) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
        self.form.measuring()
        self._measuring = WorkerTask(
            measure_layers,
            self._jobs,
            tuple(sources),
            self.form.settings(),
            on_event=self._measured,
            on_error=self._measure_failed,
        )

    def _measure_failed(self, error: Exception) -> None:
        self.form.show_noise("", known=False)
        if isinstance(error, EXPECTED):  # nobody asked for it: the status is enough
            self._say("error", str(error))
        else:
            self._fail(error)

    def _measured(self, event: Measured) -> None:
        """Show what a prepared job knows of the data."""
        job, source = event.job, event.source
        if self._closed or all(s.layer is not source.layer for s in self._sources):
            return
        model = job.noise[0]
        automatic = "Estimated: " if self.form.noise.value == "auto" else "Used: "
        self.form.show_noise(automatic + noise_lines(job.noise))
        low, high = source.layer.contrast_limits
        self.form.suggest_noise(model, float(model.variance((low + high) / 2)) ** 0.5)
        self.form.show_picked(job.info.name)
        self._say_of_neighbors(source, job)
        cost = job.cost()
        total = sum(s.nbytes for s in self._sources)
        self.form.cost.say(cost_text(cost.tile, cost.bytes, cost.recompute, total))

    def _say_of_neighbors(self, source: Source, job: StackJob) -> None:
        if source.frames == 1:
            return
        if job.neighbors is None:
            why = job.why_alone or "each frame is denoised by itself"
            self.form.neighbors_note.say(f"{why[0].upper()}{why[1:]}.")
        else:
            letter, radius = job.neighbors.letter, job.neighbors.radius
            self.form.neighbors_note.say(neighbors_text(letter, radius))

    def _found(self, found: Found) -> None:
        self.form.fill_devices(found.devices)

    # --- preview ------------------------------------------------------------------------

    def _toggle_preview(self, on: bool) -> None:
        if on:
            self._show_preview()
        else:
            self.preview.stop()
            self.actions.status.clear()

    def _show_preview(self) -> None:
        if self._closed or self.runner.busy or not self.actions.preview.native.isChecked():
            return
        if not self._weights_there():
            self.actions.check_preview(self.preview.active)
            return
        if not self.preview.show(self._sources, self.form.settings()):
            self.actions.check_preview(False)

    def _moved(self, _event: Any = None) -> None:
        if not self._closed and self.preview.active:
            self._look.start()

    # --- run, undo ----------------------------------------------------------------------

    def _run_clicked(self) -> None:
        self.run()

    def _again_clicked(self) -> None:
        self.run(again=True)

    def run(self, again: bool = False) -> None:
        """Denoise what is selected, as the form says.

        Parameters
        ----------
        again
            Also what is denoised already.
        """
        self._stop_comparing()
        if not self._weights_there():
            return
        order = Order(
            self.form.settings(),
            this_frame=self.form.this_frame,
            in_place=self.form.output.value == "in_place",
            again=again,
        )
        try:
            self.runner.start(self._sources, order)
        except Refused as refusal:
            self._refuse(refusal)
            return
        if self._measuring is not None:
            self._measuring.cancel()
        self.preview.stop()
        self.actions.status.clear()

    def _refuse(self, refusal: Refused) -> None:
        self.actions.status.say(
            "warning", str(refusal), remedy=isinstance(refusal, DenoisedAlready)
        )
        if not isinstance(refusal, DenoisedAlready):
            show_warning(str(refusal))

    def _applied(self, source: Source, made: Image) -> None:
        note = provenance(made) or {}
        if used := note.get("neighbors", {}).get("frames_used"):
            self.form.neighbors_note.say(frames_used_text(used, note["neighbors"]["most"]))
        if made is not source.layer:
            self._made.append((source, made))
        self.residuals.drop_stale()
        self.undo.keep_budget()

    def _undo_clicked(self) -> None:
        self._stop_comparing()
        self.undo.step()

    # --- looking at what was done -------------------------------------------------------

    def _start_comparing(self) -> None:
        if self.preview.active:
            self.preview.hide(True)
            return
        layers = [s.layer for s in self._sources]
        covers = [m for s, m in self._made if m in layers or s.layer in layers]
        self.compare.press(layers, covers)

    def _stop_comparing(self) -> None:
        if self.preview.active:
            self.preview.hide(False)
        self.compare.release()

    def _pair(self) -> tuple[Source, Image] | None:
        """Return a noisy source and the layer that holds its result, of the same shape."""
        for source in self._sources:
            layer = source.layer
            original = self.history.original(layer)
            if original is not None:
                return Source(layer, original, axes_of(layer)), layer
            for noisy, made in reversed(self._made):
                fits = tuple(levels_of(made)[0].shape) == tuple(noisy.array.shape)
                if fits and layer in (noisy.layer, made):
                    return noisy, made
        return None

    def _residual_clicked(self) -> None:
        pair = self._pair()
        if pair is not None:
            point = current_point(self._viewer, pair[0].layer)
            frame = 0 if point is None else current_frame(pair[0], point)
            self.residuals.show(*pair, frame)
            self._say("info", _RESIDUAL.format(pair[1].name))

    # --- showing the state --------------------------------------------------------------

    def _update(self) -> None:
        """Show and enable what makes sense now."""
        if self._closed:
            return
        images = any(isinstance(x, Image) for x in self._viewer.layers)
        running = self.runner.busy
        self.empty.setVisible(not images)
        for part in (self.header, self._scroll, self.actions):
            part.setVisible(images)
        self._scroll.setEnabled(not running)
        self.form.offer_scope(any(s.frames > 1 for s in self._sources))
        self.form.offer_neighbors(
            [a for a in "TZ" if any(s.layout.size(a) > 1 for s in self._sources)]
        )
        self.actions.show_running(running)
        self.actions.run.enabled = bool(self._sources)
        self.actions.preview.enabled = bool(self._sources) and not running
        self.actions.check_preview(self.preview.active)
        last = self.history.last()
        possible = last is not None and not running and not self.undo.busy
        self.actions.show_undo(last.layer.name if last else None, possible)
        self.actions.compare.enabled = self.preview.active or self._pair() is not None
        self.actions.residual.enabled = self._pair() is not None
        self._show_header()

    def _show_header(self) -> None:
        if not self._sources:
            text = self._problem or "Select one or more image layers in the layer list."
            self.header.show_layers("No layer to denoise", text)
            return
        first = self._sources[0]
        facts = shape_text(first.array.shape, first.axes, first.array.dtype)
        names = [s.layer.name for s in self._sources]
        size = size_text(sum(s.nbytes for s in self._sources))
        if len(names) > 1:
            facts = f"{len(names)} layers, one after the other"
        notes = [n for s in self._sources if (n := provenance(s.layer))]
        note = provenance_text(notes[0]) if notes else ""
        self.header.show_layers(names_text(names), f"{facts} · {size}", note or self._problem)

    def _say(self, kind: str, text: str) -> None:
        if not self._closed:
            self.actions.status.say(kind, text)

    def _fail(self, error: Exception) -> None:
        notify(error)
        self._say("error", str(error) or type(error).__name__)

    def _progress(self, text: str, fraction: float) -> None:
        if self._closed:
            return
        self.actions.show_progress(text, fraction)

    def _open_sample(self) -> None:
        self._viewer.open_sample(_PLUGIN, _SAMPLE)

    # --- the end ------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Stop all work and leave the layers as they are."""
        if self._closed:
            return
        self._settle.stop()
        self._look.stop()
        self.compare.release()
        for emitter, callback in self._viewer_events():
            emitter.disconnect(callback)
        self._watch([])
        self.stop_work()

    def stop_work(self) -> None:
        """Stop all work, touching nothing of Qt: the window may have deleted that."""
        if self._closed:
            return
        self._closed = True
        for task in (self._measuring, self._discovery):
            if task is not None:
                task.detach()
        for part in (self.preview, self.runner, self.undo):
            part.close()
        self._jobs.clear()


def _same(a: Sequence[Source], b: Sequence[Source]) -> bool:
    return len(a) == len(b) and all(x.same_as(y) for x, y in zip(a, b, strict=True))
