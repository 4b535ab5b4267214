"""What is selected, as sources: with guides, originals, and axes asked of their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.layers import Image
from psygnal import Signal

from napari_denoise.plugin.denoise.session import Session
from napari_denoise.plugin.kit.workers import WorkerTask
from napari_denoise.plugin.layers.guides import GuideOffer
from napari_denoise.plugin.layers.source import Source, targets
from napari_denoise.plugin.layers.stated_axes import FileSays, ask_file, askable, take

LEAST_FRAMES = 3
"""Over time or depth, for a stack that weights may be adapted to."""


class Selection:
    """Follows the layer list, and the data of what is selected in it.

    Parameters
    ----------
    viewer
        Where the layers are.
    session
        Knows originals and guides.
    heard
        Called when a layer that is followed has other data, or other axes.

    Signals
    -------
    taken : (bool,)
        There are other sources now; whether these are of other layers.
    failed : (Exception,)
        A file could not be asked.
    """

    taken = Signal(bool)
    failed = Signal(object)

    def __init__(self, viewer: Any, session: Session, heard: Callable[..., None]) -> None:
        self._viewer, self._session, self._heard = viewer, session, heard
        self._watched: list[Image] = []
        self._tasks: list[WorkerTask] = []
        self.sources: list[Source] = []
        self.problem = ""
        """Why a selected layer cannot be denoised."""

    @property
    def layers(self) -> list[Image]:
        """The layers of the sources."""
        return [source.layer for source in self.sources]

    @property
    def is_one_stack(self) -> bool:
        """Whether it is one layer, with frames over time or depth that can tell of each other."""
        if len(self.sources) != 1:
            return False
        layout = self.sources[0].layout
        return max(layout.size("T"), layout.size("Z")) >= LEAST_FRAMES

    @property
    def guides(self) -> GuideOffer | None:
        """What albedo and normal can be chosen."""
        return self._session.guiding.offer(self.sources)

    def follow(self) -> None:
        """Look anew at what is selected; nothing is told where it is the same."""
        self.problem = ""
        sources = []
        for layer in targets(self._viewer.layers):
            try:
                sources.append(self._session.source_of(layer))
            except ValueError as error:
                self.problem = f"“{layer.name}”: {error}"
        guiding = self._session.guiding
        attached = guiding.attach(sources)
        if not _same(attached, self.sources):
            others = [s.layer for s in attached] != self.layers
            self.sources = attached
            if others:
                self._ask_files()
            self.taken.emit(others)
        self._watch(guiding.watched(sources))

    def choose_guide(self, role: str, choice: str) -> None:
        """Take another albedo or normal for the only source."""
        self._session.guiding.choose(self.sources[0].layer, role, choice)

    def _ask_files(self) -> None:
        """Ask the files behind layers for axes, before these are guessed."""
        for layer in self.layers:
            path = askable(layer)
            if path is None or layer in self._session.asked:
                continue
            self._session.asked.add(layer)
            self._tasks = [task for task in self._tasks if task.running]
            self._tasks.append(
                WorkerTask(
                    ask_file,
                    layer,
                    path,
                    tuple(int(n) for n in _array_of(layer).shape),
                    bool(layer.rgb),
                    on_event=self._file_says,
                    on_error=self.failed.emit,
                )
            )

    def _file_says(self, says: FileSays) -> None:
        if take(says):
            self._heard()

    def _watch(self, layers: list[Image]) -> None:
        """Follow new data of these layers, and of no others."""
        if layers == self._watched:
            return
        for layer in self._watched:
            layer.events.data.disconnect(self._heard)
        self._watched = layers
        for layer in layers:
            layer.events.data.connect(self._heard)

    def let_go(self) -> None:
        """Follow no layer any more."""
        self._watch([])

    def close(self) -> None:
        """Stop asking files, touching nothing of Qt."""
        for task in self._tasks:
            task.detach()


def _array_of(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _same(a: Sequence[Source], b: Sequence[Source]) -> bool:
    return len(a) == len(b) and all(x.same_as(y) for x, y in zip(a, b, strict=True))
