"""The noise of the selected layers: measured in the background, and said of each by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.layers import Image
from psygnal import Signal

from napari_denoise.plugin.denoise.jobs import Jobs, Measured, measure_layers
from napari_denoise.plugin.denoise.settings_form import SettingsForm
from napari_denoise.plugin.kit.text import (
    alone_text,
    cost_text,
    frames_used_text,
    layers_noise,
    neighbors_text,
    noise_lines,
)
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.source import Source, is_done, provenance

if TYPE_CHECKING:
    from napari_denoise.inference.stack import StackJob

_DENOISED = "Denoised already: the noise that is left is not measured."


class Measuring:
    """Measures, and tells the form.

    Parameters
    ----------
    form
        Shows what is known.
    jobs
        Those of the session.

    Signals
    -------
    ready : (Measured,)
        A layer's job became ready.
    failed : (Exception,)
        The worker ended in an error.
    """

    ready = Signal(object)
    failed = Signal(object)

    def __init__(self, form: SettingsForm, jobs: Jobs) -> None:
        self._form, self._jobs = form, jobs
        self._sources: list[Source] = []
        self._lines: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._task: WorkerTask | None = None

    def take(self, sources: Sequence[Source]) -> None:
        """Speak of these layers from now on."""
        self._sources = list(sources)

    @property
    def wanted(self) -> list[Source]:
        """Layers whose noise is worth knowing: all that hold noisy frames."""
        return [s for s in self._sources if not is_done(s.layer)]

    def announce(self, running: bool = False) -> None:
        """Say what will be known of the noise, before it is; during a run nothing is measured."""
        self._lines.clear()
        if running:
            self._form.noise.show("", known=False)
        elif self.wanted:
            # In as many lines as the answer often has.
            self._form.noise.show("Measuring the noise …\n\N{NO-BREAK SPACE}", known=False)
        else:
            self._form.noise.show(_DENOISED if self._sources else "", known=False)
            if self._sources:
                self._say_of_result(self._sources[0])

    def start(self) -> None:
        """Measure what is worth it."""
        self.cancel()
        self.announce()
        self._task = WorkerTask(
            measure_layers,
            self._jobs,
            tuple(self.wanted),
            self._form.settings(),
            on_event=self.ready.emit,
            on_error=self.failed.emit,
        )

    def show(self, event: Measured) -> None:
        """Show what a prepared job knows of the data."""
        job, source = event.job, event.source
        if all(s.layer is not source.layer for s in self._sources):
            return
        form, first = self._form, not self._lines
        self._lines[source.layer] = noise_lines(job.noise)
        form.noise.show(self._text(source), known=True)
        if first or len(self._sources) == 1:
            low, high = source.layer.contrast_limits
            form.noise.suggest(job.noise[0], float(job.noise[0].variance((low + high) / 2)) ** 0.5)
            form.noise.measured(job.noise, source.layer.name)
        form.show_picked(job.info.name)
        self._say_of_neighbors(source, job)
        cost = job.cost()
        total = sum(s.nbytes for s in self._sources)
        form.cost.say(cost_text(cost.tile, cost.bytes, cost.recompute, total))

    def _text(self, source: Source) -> str:
        if source.noise is not None and self._form.noise.kind.value == "auto":
            how = "As for the frames that are denoised already: "
        else:
            how = "Estimated: " if self._form.noise.kind.value == "auto" else "Used: "
        wanted = [s.layer for s in self.wanted]
        known = [(layer.name, self._lines[layer]) for layer in wanted if layer in self._lines]
        return layers_noise(how, known, len(wanted))

    def _say_of_result(self, source: Source) -> None:
        """Say what is known of a run that is over, in the place of what would be measured."""
        note = (provenance(source.layer) or {}).get("neighbors", {})
        if used := note.get("frames_used"):
            self._form.neighbors_note.say(frames_used_text(used, note["most"]))
        self._form.show_picked("")

    def _say_of_neighbors(self, source: Source, job: StackJob) -> None:
        if max(source.layout.size(letter) for letter in "TZ") == 1:
            return
        note = self._form.neighbors_note
        if source.noise is not None:
            note.say("None: which frames were noisy before is not known any more.")
        elif job.neighbors is None:
            note.say(alone_text(job.why_alone))
        else:
            note.say(neighbors_text(job.neighbors.letter, job.neighbors.radius))

    def cancel(self) -> None:
        """Leave what is being measured."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Stop and call nobody any more."""
        if self._task is not None:
            self._task.detach()
