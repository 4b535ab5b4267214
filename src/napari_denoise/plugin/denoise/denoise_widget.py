"""The Denoise dock widget: shows the state, and hands the user's wishes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtCore import QSize, QTimer
from qtpy.QtGui import QShowEvent

from napari_denoise.plugin import commands, contributions, preferences
from napari_denoise.plugin.denoise import last_settings, shortcuts
from napari_denoise.plugin.denoise.actions import Actions
from napari_denoise.plugin.denoise.heading import show_layers
from napari_denoise.plugin.denoise.jobs import Found, Measured, discover
from napari_denoise.plugin.denoise.looking import Looking
from napari_denoise.plugin.denoise.measuring import Measuring
from napari_denoise.plugin.denoise.previewing import Preview
from napari_denoise.plugin.denoise.running import DenoisedAlready, Order, Refused
from napari_denoise.plugin.denoise.selection import Selection
from napari_denoise.plugin.denoise.session import session_of
from napari_denoise.plugin.denoise.settings_form import SettingsForm
from napari_denoise.plugin.kit.docked import EXPECTED, DockedWidget, notify
from napari_denoise.plugin.kit.parts import EmptyState, FittingScroll, Header, column, keep_height
from napari_denoise.plugin.kit.text import frames_used_text
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.source import Source, bare, provenance
from napari_denoise.weights.catalogue import WeightsError

if TYPE_CHECKING:
    import napari.viewer

_SETTLE_MS = 300
"""Wait this long after the last change before measuring or previewing."""
_WIDTH = 340
_PLUGIN, _SAMPLE = "napari-denoise", "fluorescence"


class DenoiseWidget(DockedWidget):
    """Denoise image layers in place, after a look at a preview; every run can be undone.

    History and running work live with the viewer (`session`): the widget may be closed and opened.

    Parameters
    ----------
    viewer
        Where the layers are.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._prefer(preferences.refresh())
        self.preview = Preview(viewer, self.session.jobs)
        self.selection = Selection(viewer, self.session, self._select)
        self._tasks: list[WorkerTask] = []
        self._closed = False
        self._build()
        self.measuring = Measuring(self.form, self.session.jobs)
        chosen = lambda: self.selection.sources  # noqa: E731
        self.looking = Looking(viewer, self, self.session, self.preview, chosen)
        self._settle = self._timer(self._settled)
        self._look = self._timer(self._show_preview)
        self._connect()
        self._do(discover, on_event=self._found)
        self.session.attach(self)
        self._select()
        self._catch_up()

    def _prefer(self, wanted: preferences.Preferences) -> None:
        """Follow what the Preferences say now."""
        self.session = session_of(self._viewer)
        self.session.prefer(wanted)

    def _catch_up(self) -> None:
        """Show the run that works already, or what was said while no panel was open."""
        self.form.begin_again(self.session.form_values)
        if self.runner.busy:
            self._progress(*self.runner.progress)
        self._say(*self.session.take_said())

    # --- what it looks like -------------------------------------------------------------

    def _build(self) -> None:
        self.form = SettingsForm(preferences.current())
        self.empty = EmptyState(self._open_sample)
        self.header = Header()
        self._scroll = FittingScroll(self.form.native)
        self.actions = Actions()
        self._paint()
        layout = column(self, 8)
        layout.setContentsMargins(8, 6, 8, 6)
        for part in (self.empty, self.header, self._scroll):
            layout.addWidget(part)
        layout.addStretch()
        layout.addWidget(self.actions)
        for part in (self.empty, self.header, self.actions):
            keep_height(part)

    def _paint(self, _event: Any = None) -> None:
        """Take the colours of the theme."""
        if not self._closed:
            self.paint(self._viewer.theme, [self.actions.run.native])

    def sizeHint(self) -> QSize:
        """Return a width that every row fits."""
        return QSize(_WIDTH, super().sizeHint().height())

    def showEvent(self, event: QShowEvent) -> None:
        """Learn in which window it is docked: work ends with that."""
        super().showEvent(event)
        self.session.follow(self)

    # --- wiring -------------------------------------------------------------------------

    @property
    def runner(self) -> Any:
        """What runs, of the session."""
        return self.session.runner

    def _timer(self, callback: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(_SETTLE_MS)
        timer.timeout.connect(callback)
        return timer

    def _connect(self) -> None:
        session, actions, form = self.session, self.actions, self.form
        actions.preview.native.toggled.connect(self._toggle_preview)
        actions.run.changed.connect(lambda: self.run())
        actions.again.changed.connect(lambda: self.run(again=True))
        actions.cancel.changed.connect(self.runner.cancel)
        actions.undo.changed.connect(self._undo_clicked)
        actions.redo.changed.connect(self._redo_clicked)
        actions.save.changed.connect(lambda: contributions.save_denoised(self._viewer))
        actions.residual.native.toggled.connect(self._residual_clicked)
        actions.adapt.changed.connect(self._adapt)
        pressing = {name: partial(getattr(commands, name), self._viewer) for name in shortcuts.KEYS}
        self._shortcuts = shortcuts.bind(self, pressing)
        actions.wipe.native.toggled.connect(self._wipe_clicked)
        actions.compare.native.pressed.connect(self.looking.start_comparing)
        actions.compare.native.released.connect(self.looking.stop_comparing)
        form.changed.connect(self._settings_changed)
        form.guides.chosen.connect(self._guide_chosen)
        form.axes.chosen.connect(self._select)
        wipe = self.looking.wipe
        for said in (
            self.preview.said,
            self.looking.said,
            wipe.said,
            form.axes.said,
            form.noise.said,
        ):
            said.connect(self._say)
        for failed in (self.preview.failed, self.selection.failed, form.noise.failed, wipe.failed):
            failed.connect(self._fail)
        self.measuring.failed.connect(self._measure_failed)
        for changed in (self.preview.changed, wipe.changed):
            changed.connect(self._update)
        self.selection.taken.connect(self._taken)
        for measured in (self.preview.measured, self.measuring.ready):
            measured.connect(self._measured)
        for signal, callback in self._session_signals():
            signal.connect(callback)
        for emitter, callback in self._viewer_events():
            emitter.connect(callback)
        # The window may delete this widget while work is going on.
        self.stop_when_deleted(self.preview)
        session.follow(self)

    def _session_signals(self) -> list[tuple[Any, Callable[..., None]]]:
        runner, undo = self.session.runner, self.session.undo
        return [
            (runner.said, self._say),
            (undo.said, self._say),
            (runner.failed, self._say_failed),
            (undo.failed, self._say_failed),
            (runner.measured, self._measured),
            (runner.progressed, self._progress),
            (runner.applied, self._applied),
            (self.session.changed, self._update),
            (runner.changed, self._settle_again),
        ]

    def _viewer_events(self) -> list[tuple[Any, Callable[..., None]]]:
        layers, dims = self._viewer.layers, self._viewer.dims
        camera = self._viewer.scene.camera
        return [
            (layers.events.inserted, self._select),
            (layers.events.removed, self._removed),
            (layers.events.reordered, self._select),
            (layers.events.renamed, self._select),
            (layers.selection.events.changed, self._select),
            (self._viewer.events.theme, self._paint),
            (dims.events.current_step, self._moved),
            (dims.events.order, self._moved),
            (dims.events.ndisplay, self._turned),
            (camera.events.center, self._moved),
            (camera.events.zoom, self._moved),
        ]

    def _do(self, function: Callable[..., Any], *args: Any, **callbacks: Any) -> None:
        """Run something short off the GUI thread."""
        callbacks.setdefault("on_error", self._fail)
        self._tasks = [task for task in self._tasks if task.running]
        self._tasks.append(WorkerTask(function, *args, **callbacks))

    # --- layers -------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[Source, ...]:
        """The layers that Run would denoise."""
        return tuple(self.selection.sources)

    def _select(self, _event: Any = None) -> None:
        """Follow the selection in the layer list, and the data of what is selected."""
        if self._closed or self.looking.compare.active:
            return
        self.selection.follow()
        self.form.guides.offer(self.selection.guides)
        self.form.axes.offer(self.selection.layers)
        self._update()

    def _taken(self, others: bool) -> None:
        """Work with other sources from now on."""
        self.measuring.take(self.selection.sources)
        if others:
            self.form.unpicked()
            self.form.noise.follow(self.selection.layers)
            if not self.runner.busy:
                self.actions.status.clear()  # it spoke of other layers
        if others or not self.runner.busy:
            self.measuring.announce(self.runner.busy)
        else:
            self.form.noise.known = False  # a result came in; what it is follows the run's end
        self.actions.status.withdraw_remedy()
        self._settle.start()

    def _guide_chosen(self, role: str, choice: str) -> None:
        self.selection.choose_guide(role, choice)
        self._select()

    def _removed(self, event: Any) -> None:
        if not self._closed:
            self.preview.forget(bare(event.value))
            self._select()

    def _settings_changed(self) -> None:
        self._settle.start()

    def _settle_again(self) -> None:
        """Catch up, after a run, with what was selected while it worked."""
        if not (self.form.noise.known or self._closed or self.runner.busy):
            self._settle.start()

    # --- measuring ----------------------------------------------------------------------

    def _settled(self) -> None:
        """Act on the settings and the selection once they have stopped changing."""
        if self._closed or self.runner.busy or not self._weights_there():
            return
        if self.preview.active:
            self._show_preview()
        elif self.measuring.wanted:
            self.measuring.start()
        else:
            self.measuring.announce()  # a run may have ended since: its layer is denoised now

    def _weights_there(self) -> bool:
        """Say so where the chosen weights were renamed or removed since they were listed."""
        try:
            self.form.check_weights()
        except WeightsError as error:
            self._fail(error)
            return False
        return True

    def _measure_failed(self, error: Exception) -> None:
        if self._closed:
            return
        self.form.noise.show("", known=False)
        if isinstance(error, EXPECTED):  # nobody asked for it: the status is enough
            self._say("error", str(error))
        else:
            self._fail(error)

    def _measured(self, event: Measured) -> None:
        if self._closed:
            return
        self.measuring.show(event)
        if event.source.layer in self.selection.layers:
            self.form.of_kind(event.kind)

    def _found(self, found: Found) -> None:
        if not self._closed:
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
        if not self.preview.show(self.selection.sources, self.form.settings()):
            self.actions.check_preview(False)

    def _moved(self, _event: Any = None) -> None:
        if not self._closed and self.preview.active:
            self._look.start()

    def _turned(self, _event: Any = None) -> None:
        """Take overlays away before the canvas is 3-D: removing a layer then can crash it."""
        if self._closed:
            return
        if self._viewer.dims.ndisplay == 3 and self.preview.active:
            self.preview.stop()
            self.preview.say_needs_2d()
        self._moved()

    # --- run, undo ----------------------------------------------------------------------

    def run(self, again: bool = False) -> None:
        """Denoise what is selected, as the form says.

        Parameters
        ----------
        again
            Also what is denoised already.
        """
        self.looking.stop_comparing()
        if not self._weights_there():
            return
        self._prefer(preferences.refresh())
        order = Order(
            self.form.settings(),
            this_frame=self.form.this_frame,
            in_place=self.form.output.value == "in_place",
            again=again,
        )
        try:
            self.runner.start(self.selection.sources, order)
        except Refused as refusal:
            self._refuse(refusal)
            return
        self.measuring.cancel()
        self.preview.stop()
        self.actions.status.clear()
        self._remember()

    def _remember(self) -> None:
        """Keep the settings for data of this kind, once it is known which that is."""
        kind = self.session.jobs.kinds.get(self.selection.layers[0], "")
        if kind and preferences.current().remember:
            self.form.ran()
            self._do(last_settings.remembering, kind, self.form.remembered())

    def _refuse(self, refusal: Refused) -> None:
        again = isinstance(refusal, DenoisedAlready)
        self.actions.status.say("warning", str(refusal), remedy=again)
        if not again:
            show_warning(str(refusal))

    def _applied(self, _source: Source, made: Image) -> None:
        if self._closed:
            return
        note = (provenance(made) or {}).get("neighbors", {})
        if used := note.get("frames_used"):
            self.form.neighbors_note.say(frames_used_text(used, note["most"]))

    def _undo_clicked(self) -> None:
        self.looking.stop_comparing()
        self.session.undo.step()

    def _redo_clicked(self) -> None:
        self.looking.stop_comparing()
        self.session.undo.step_forward()

    def _adapt(self) -> None:
        from napari_denoise.plugin.finetune.adapting import adapt_to  # loads what training needs

        adapt_to(self._viewer, self.selection.layers[0])

    def _wipe_clicked(self, on: bool) -> None:
        self.looking.toggle_wipe(on)
        self._update()

    def _residual_clicked(self, on: bool) -> None:
        self.looking.toggle_residual(on)
        self._update()

    # --- showing the state --------------------------------------------------------------

    def _update(self) -> None:
        """Show and enable what makes sense now."""
        if self._closed:
            return
        images = any(isinstance(x, Image) for x in self._viewer.layers)
        running, history = self.runner.busy, self.session.history
        self.empty.setVisible(not images)
        for part in (self.header, self._scroll, self.actions):
            part.setVisible(images or running)
        self._scroll.setEnabled(not running)
        self.form.suit(self.selection.sources)
        actions = self.actions
        actions.show_running(running)
        actions.run.enabled = bool(self.selection.sources)
        actions.preview.enabled = bool(self.selection.sources) and not running
        actions.check(actions.preview, self.preview.active)
        idle = not running and not self.session.undo.busy
        actions.show_history(
            [e.layer.name for e in history.last_run()],
            [e.layer.name for e in history.next_run()],
            idle,
        )
        found = self.looking.pair is not None
        actions.compare.enabled = self.preview.active or found
        self.looking.wipe.follow_soon()
        actions.wipe.enabled = actions.compare.enabled
        actions.check(actions.wipe, self.looking.wipe.active)
        actions.residual.enabled = found
        actions.offer_adapting(not running and self.selection.is_one_stack)
        actions.save.enabled = bool(self.selection.sources) and not running
        actions.check(actions.residual, self.looking.residual_shown)
        show_layers(self.header, self.selection)

    def _say(self, kind: str, text: str) -> None:
        if not self._closed:
            self.actions.status.say(kind or "info", text)

    def _fail(self, error: Exception) -> None:
        notify(error)
        self._say_failed(error)

    def _say_failed(self, error: Exception) -> None:
        self._say("error", str(error) or type(error).__name__)

    def _progress(self, text: str, fraction: float) -> None:
        if not self._closed:
            self.actions.show_progress(text, fraction)

    def _open_sample(self) -> None:
        self._viewer.open_sample(_PLUGIN, _SAMPLE)

    # --- the end ------------------------------------------------------------------------

    def dock_closed(self) -> None:
        """Leave the work to the session, and let the user say whether it goes on."""
        super().dock_closed()
        self.session.ask_about_work()

    def shut_down(self) -> None:
        """Let go of the viewer; work that runs goes on, and the history stays."""
        if self._closed:
            return
        self._settle.stop()
        self._look.stop()
        self.looking.compare.release()
        self.looking.wipe.stop()
        self.session.form_values = self.form.state
        for emitter, callback in self._viewer_events():
            emitter.disconnect(callback)
        self.selection.let_go()
        self.stop_work()

    def stop_work(self) -> None:
        """Stop what is done for this panel, touching nothing of Qt: it may be deleted."""
        if self._closed:
            return
        self._closed = True
        for signal, callback in self._session_signals():
            signal.disconnect(callback, missing_ok=True)
        for task in self._tasks:
            task.detach()
        self.measuring.close()
        self.selection.close()
        self.form.noise.stop_work()
        self.preview.close()
        self.session.detach(self)
