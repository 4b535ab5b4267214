"""A run: from the checks before it to the result in its layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari.layers import Image
from napari.utils.progress import cancelable_progress
from psygnal import Signal

from napari_denoise.plugin.denoise.jobs import (
    Advanced,
    Finished,
    Jobs,
    Measured,
    RunPhase,
    Work,
    run,
)
from napari_denoise.plugin.kit.text import names_text, progress_text, time_text
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.apply import assign, covers, insert_above, show_instead, twin
from napari_denoise.plugin.layers.history import AddedEntry, History, UndoEntry
from napari_denoise.plugin.layers.source import (
    Source,
    current_frame,
    current_point,
    frames_done,
    provenance,
    set_provenance,
    stamped,
)
from napari_denoise.settings.denoise import DenoiseSettings

_THROTTLE = 0.25
"""Seconds between two updates of the progress bar: each paints the window, which takes long in
software and over remote desktops."""


@dataclass(frozen=True)
class Order:
    """What the user asked for."""

    settings: DenoiseSettings
    this_frame: bool = False
    in_place: bool = True
    again: bool = False
    """Denoise what is denoised already."""


class Refused(Exception):
    """A run that must not start; the message says why and what to do."""


class DenoisedAlready(Refused):
    """It may start when the user insists."""


class Runner:
    """One run at a time over some layers.

    Signals
    -------
    said : (kind, text)
        Something for the status line; kind is "info", "good", "warning" or "error".
    progressed : (text, fraction)
        How far it is.
    measured : (Measured,)
        A job became ready.
    applied : (Source, Image)
        A result arrived: what it was made from, and the layer that holds it.
    failed : (Exception,)
        The worker ended in an error.
    changed : ()
        It began or ended.
    """

    said = Signal(str, str)
    progressed = Signal(str, float)
    measured = Signal(object)
    applied = Signal(object, object)
    failed = Signal(object)
    changed = Signal()

    def __init__(self, viewer: Any, jobs: Jobs, history: History) -> None:
        self._viewer, self._jobs, self._history = viewer, jobs, history
        self._task: WorkerTask | None = None
        self._works: list[Work] = []
        self._finished: list[Work] = []
        self._order: Order | None = None
        self._bar: Any = None
        self._began = self._shown = self._started = 0.0
        self._notes: list[str] = []
        self._unchanged: list[str] = []
        self.progress = ("", 0.0)
        """How far it is, for a panel that opens meanwhile."""
        self.progressed.connect(self._remember)

    def _remember(self, text: str, fraction: float) -> None:
        self.progress = (text, fraction)

    @property
    def names(self) -> str:
        """The layers at work."""
        return names_text([work.source.layer.name for work in self._works])

    @property
    def busy(self) -> bool:
        """Whether a run is at work."""
        return self._task is not None and self._task.running

    def start(self, sources: Sequence[Source], order: Order) -> None:
        """Begin.

        Raises
        ------
        Refused
            With the reason and the remedy.
        """
        if self.busy:
            raise Refused("A run is at work already: let it finish or cancel it first.")
        if not sources:
            raise Refused("There is nothing to denoise: select an image layer.")
        _refuse_locked(sources, order)
        works = [self._work(source, order) for source in sources]
        _refuse_denoised(works, order)
        self._works = works
        self._finished, self._notes, self._order = [], [], order
        self._unchanged = []
        self._began = self._shown = 0.0
        self._started = time.monotonic()
        names = names_text([s.layer.name for s in sources])
        self._bar = cancelable_progress(total=100, desc=f"Denoising {names}")
        self._task = WorkerTask(
            run,
            self._jobs,
            self._works,
            order.settings,
            on_event=self._on_event,
            on_error=self._on_error,
            on_end=self._on_end,
        )
        self.progressed.emit("Starting …", 0.0)
        self.changed.emit()

    def _work(self, source: Source, order: Order) -> Work:
        if not order.this_frame:
            return Work(source, _rest(source) if source.done else None)
        point = current_point(self._viewer, source.layer)
        if point is None:
            raise Refused(
                f"The sliders are outside “{source.layer.name}”: move them to the frame to "
                "denoise, or choose the whole stack."
            )
        alone = not order.in_place or not source.in_memory
        frame = current_frame(source, point)
        if frame in source.done and order.again:  # once more, as was asked for
            source = replace(source, original=None)
        return Work(source, (frame,), alone)

    def cancel(self) -> None:
        """Stop within a tile."""
        if self._task is not None and self._task.running and not self._task.cancelled:
            self._task.cancel()
            self.progressed.emit("Cancelling …", 0.0)

    def close(self) -> None:
        """Stop and call nobody any more."""
        if self._task is not None:
            self._task.detach()
        self._close_bar()

    def forget(self, layer: Image) -> None:
        """Follow the removal of a layer from the viewer."""
        for work in self._works:
            if self.busy and work.source.layer is layer and work not in self._finished:
                work.dropped = True
                self._notes.append(f"“{layer.name}” was removed: its result was dropped.")

    def _on_event(self, event: Any) -> None:
        # Cancel in napari's activity dock only sets a flag on a bar that is updated by hand.
        if self._bar.is_canceled:
            self.cancel()
        elif isinstance(event, RunPhase):
            self._began = 0.0
            self.progressed.emit(f"{event.work.source.layer.name}: {event.text} …", 0.0)
        elif isinstance(event, Measured):
            self.measured.emit(event)
        elif isinstance(event, Advanced):
            self._advance(event)
        elif isinstance(event, Finished) and not event.work.dropped:
            self._finish(event)

    def _advance(self, event: Advanced) -> None:
        now = time.monotonic()
        self._began = self._began or now
        if now - self._shown < _THROTTLE and event.fraction < 1:
            return
        self._shown = now
        text = progress_text(event.done, event.total, event.fraction, now - self._began)
        if len(self._works) > 1:
            text = f"{event.work.source.layer.name}: {text}"
        share = (self._works.index(event.work) + event.fraction) / len(self._works)
        self.progressed.emit(text, share)
        self._bar.update(int(100 * share) - self._bar.n)

    def _finish(self, event: Finished) -> None:
        work = event.work
        self._finished.append(work)
        layer = work.source.layer
        note = _note(work, event.note)
        self._notes += [f"“{layer.name}”: {text}." for text in event.warnings]
        if event.unchanged:
            self._unchanged.append(layer.name)
        elif self._may_replace(event):
            told = provenance(layer)
            before, after, axes = work.source.levels, event.levels, work.source.axes
            self._history.push(UndoEntry(layer, before, after, axes, told, note, self._order))
            set_provenance(layer, note)  # first: whoever hears of new data asks what they are
            assign(layer, event.levels)
            self.applied.emit(work.source, layer)
        else:
            self._add(work, event, note)

    def _add(self, work: Work, event: Finished, note: dict[str, Any]) -> None:
        """Show a result in a layer of its own, in place of the one that it was made from."""
        layer, frame, offset = work.source.layer, work.frame, None
        if frame is not None:
            index = work.source.layout.frames[frame]
            offset = [0 if isinstance(i, slice) else i for i in index][: layer.ndim]
        made = twin(layer, event.levels, f"{layer.name} (denoised)", offset, visible=True)
        set_provenance(made, note)
        insert_above(self._viewer, layer, made)
        hide = self._hides(work)
        self._history.push(AddedEntry(work.source, made, frame, hide, self._order))
        if frame is not None or not self._in_place:  # else it is what changed that is looked at
            show_instead(self._viewer, layer, made, hide=hide)
        self.applied.emit(work.source, made)

    @property
    def _in_place(self) -> bool:
        return self._order is None or self._order.in_place

    def _hides(self, work: Work) -> bool:
        """Whether a result in its own layer hides the one below, as the preview does.

        A frame by itself lies over the stack, whose other frames stay in sight where they can.
        """
        layer = work.source.layer
        wanted = not covers(layer) if work.alone else not self._in_place
        return bool(wanted and layer in self._viewer.layers and layer.visible)

    def _may_replace(self, event: Finished) -> bool:
        work = event.work
        if not self._in_place:
            return False
        name = work.source.layer.name
        if work.alone:
            self._notes.append(
                f"“{name}” is not held in memory: the frame lies over it as a new layer."
            )
            return False
        if event.edited or not work.source.current:
            self._notes.append(f"“{name}” was changed meanwhile: the result is a new layer.")
            return False
        if work.source.layer.locked:
            self._notes.append(f"“{name}” was locked meanwhile: the result is a new layer.")
            return False
        return True

    def _on_error(self, error: Exception) -> None:
        self._notes.clear()
        self.failed.emit(error)

    def _on_end(self) -> None:
        task, self._task = self._task, None
        self._close_bar()
        names = [w.source.layer.name for w in self._finished]
        done = names_text([name for name in names if name not in self._unchanged])
        if self._unchanged:
            self._notes.append(_unchanged(names_text(self._unchanged), self._order))
        if task is not None and task.cancelled:
            left = " Everything else is as it was." if done else " Nothing was changed."
            self.said.emit("info", "Cancelled." + (f" Denoised: {done}." if done else "") + left)
        elif self._notes:
            self.said.emit("warning", "\n".join(dict.fromkeys(self._notes)))
        elif done:
            took = time_text(time.monotonic() - self._started)
            self.said.emit("good", f"Denoised: {done}, in {took}.")
        self._works, self._order = [], None
        self.changed.emit()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _refuse_locked(sources: Sequence[Source], order: Order) -> None:
    locked = [s.layer.name for s in sources if s.layer.locked]
    if locked and order.in_place:
        raise Refused(
            f"Locked: {names_text(locked)}. Unlock it in the layer list, or choose "
            "“New layer” as the output."
        )


def _refuse_denoised(works: Sequence[Work], order: Order) -> None:
    for work in works:
        note = provenance(work.source.layer)
        if note is None or order.again or _other_frames(note, work.frames):
            continue
        when = str(note.get("time", ""))[:16].replace("T", " ")
        raise DenoisedAlready(
            f"“{work.source.layer.name}” is denoised already ({note.get('weights', '?')}, "
            f"{when}). Once more takes away detail."
        )


def _rest(source: Source) -> tuple[int, ...]:
    """Return the frames that are not denoised yet."""
    return tuple(n for n in range(len(source.layout.frames)) if n not in source.done)


def _unchanged(names: str, order: Order | None) -> str:
    if order is not None and order.settings.strength == 0:
        return f"At a strength of 0 % nothing was taken out of {names}."
    return f"No noise was found in {names}: nothing was changed. State the noise if there is some."


def _other_frames(note: dict[str, Any], frames: tuple[int, ...] | None) -> bool:
    """Whether only frames other than the wanted ones are denoised."""
    done = frames_done(note)
    return done is not None and (frames is None or not set(frames) & set(done))


def _note(work: Work, made_by: dict[str, Any]) -> dict[str, Any]:
    """Write down what was done; frames denoised one by one add up.

    Where those of before were made by other settings, these stand beside them.
    """
    if work.frames is None:
        return stamped(made_by, None)
    old = provenance(work.source.layer)
    if work.alone or old is None:
        return stamped(made_by, work.frames)
    before = frames_done(old)
    if before is None:  # all were
        return stamped(made_by, None)
    together = tuple(sorted({*before, *work.frames}))
    every = len(together) == len(work.source.layout.frames)
    note = stamped(made_by, None if every else together)
    others = [*old.get("earlier", ())]
    if old.get("settings") != made_by.get("settings"):
        others.append({"frames": list(before), "settings": old.get("settings")})
    return {**note, "earlier": others} if others else note
