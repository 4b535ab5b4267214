"""What belongs to a viewer's data and outlives every panel: history, running work, choices."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

from napari.layers import Image
from napari.utils.notifications import show_info, show_warning
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_denoise.plugin.denoise.background import Question
from napari_denoise.plugin.denoise.compare import Residuals
from napari_denoise.plugin.denoise.jobs import Jobs
from napari_denoise.plugin.denoise.running import Runner
from napari_denoise.plugin.denoise.undo import Undo
from napari_denoise.plugin.kit.closing import Work, guard
from napari_denoise.plugin.kit.docked import notify
from napari_denoise.plugin.layers.guides import Guiding
from napari_denoise.plugin.layers.history import History, default_budget
from napari_denoise.plugin.layers.source import (
    Source,
    bare,
    frames_done,
    noise_told,
    provenance,
)
from napari_denoise.plugin.preferences import Preferences


class Session:
    """The work on the layers of one viewer; panels show it, and come and go.

    It lives as long as its viewer, and is closed on the GUI thread: with the window, or when the
    viewer goes.

    Parameters
    ----------
    viewer
        Where the layers are; the session does not keep it alive.

    Signals
    -------
    changed : ()
        A run began or ended, or there is more or less to undo.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.proxy(viewer)
        self.jobs = Jobs()
        self.history = History()
        self.runner = Runner(self._viewer, self.jobs, self.history)
        self.undo = Undo(self._viewer, self.history)
        self.residuals = Residuals(self._viewer)
        self.guiding = Guiding(viewer.layers)
        self._preferred: Preferences | None = None
        self.asked: weakref.WeakSet[Image] = weakref.WeakSet()
        """Layers whose files were asked for axes."""
        self.form_values: dict[str, Any] = {}
        """What the last panel showed, for the next one."""
        self._last_said = ("", "")
        self._panels: weakref.WeakSet[Any] = weakref.WeakSet()
        self._window: weakref.ref[QMainWindow] | None = None
        self.question: Question | None = None
        viewer.layers.events.removed.connect(self._removed)
        for part in (self.runner, self.undo):
            part.said.connect(self._said)
            part.failed.connect(self._failed)
            part.changed.connect(self._changed)
        self.runner.applied.connect(self._applied)

    def prefer(self, wanted: Preferences) -> None:
        """Follow the Preferences."""
        if wanted != self._preferred:
            self._preferred = wanted
            self.history.budget = default_budget()
            self.undo.keep_budget()

    # --- panels -------------------------------------------------------------------------

    def attach(self, panel: Any) -> None:
        """Let a panel show what is said from now on."""
        self._panels.add(panel)
        if self.question is not None:
            self.question.withdraw()

    def detach(self, panel: Any) -> None:
        """Follow the end of a panel; work goes on."""
        self._panels.discard(panel)

    def follow(self, panel: QWidget) -> None:
        """Close with the window that a panel is docked in."""
        guard(panel, self, _work_of(weakref.ref(self)))
        parent: Any = panel
        while parent is not None and not isinstance(parent, QMainWindow):
            parent = parent.parent()
        if parent is not None and (self._window is None or self._window() is not parent):
            self._window = weakref.ref(parent)
            parent.destroyed.connect(_closer(weakref.ref(self)))

    def ask_about_work(self) -> None:
        """Ask whether a run goes on without a panel, once the panel is gone; it does meanwhile."""
        if self.runner.busy and not self._panels:
            window = None if self._window is None else self._window()
            self.question = Question(self.runner.names, self.runner.cancel, window)
            # Not while the window still takes the panel out.
            QTimer.singleShot(0, self.question.show)

    # --- layers -------------------------------------------------------------------------

    def source_of(self, layer: Image) -> Source:
        """Take a layer's pixels and axes; those of frames that are denoised as they were before.

        Raises
        ------
        ValueError
            The data have more or fewer dimensions than can be denoised.
        """
        source = Source.of(layer)
        note = provenance(layer)
        done = frames_done(note)
        if done is None:
            return source
        noisy = self.history.noisy_behind(layer)
        if noisy is not None:
            return replace(source, done=done, original=noisy[0])
        return replace(source, done=done, noise=noise_told(note))

    def _removed(self, event: Any) -> None:
        layer = bare(event.value)
        for part in (self.runner, self.undo, self.jobs):
            part.forget(layer)

    # --- what is said -------------------------------------------------------------------

    def _applied(self, _source: Source, _made: Image) -> None:
        self.residuals.drop_stale()
        self.undo.keep_budget()

    def _changed(self) -> None:
        self.residuals.drop_stale()
        if not self.runner.busy and self.question is not None:
            self.question.withdraw()
        self.changed.emit()

    def _said(self, kind: str, text: str) -> None:
        if self._panels:
            return
        self._last_said = (kind, text)
        (show_warning if kind == "warning" else show_info)(text)

    def _failed(self, error: Exception) -> None:
        notify(error)
        if not self._panels:
            self._last_said = ("error", str(error) or type(error).__name__)

    def take_said(self) -> tuple[str, str]:
        """Return kind and text of what was said while no panel was open, once."""
        said, self._last_said = self._last_said, ("", "")
        return said

    def close(self) -> None:
        """Stop all work and forget everything; nothing of Qt but the question is touched."""
        for part in (self.runner, self.undo):
            part.close()
        if self.question is not None:
            self.question.withdraw()
        self.jobs.clear()


_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, made when it is first asked for (GUI thread)."""
    viewer = bare(viewer)
    session = _sessions.get(viewer)
    if session is None:
        session = _sessions[viewer] = Session(viewer)
        weakref.finalize(viewer, session.close).atexit = False
    return session


def _work_of(session: weakref.ref[Session]) -> Work:
    def work() -> str:
        alive = session()
        if alive is None or not alive.runner.busy:
            return ""
        names = alive.runner.names
        return f"{names} is still being denoised. If napari closes now, that result is lost."

    return work


def _closer(session: weakref.ref[Session]) -> Any:
    def close() -> None:
        alive = session()
        if alive is not None:
            alive.close()

    return close
