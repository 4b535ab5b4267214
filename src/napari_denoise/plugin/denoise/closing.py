"""Closing napari's own window during a run: napari asks, as the run cannot go on there."""

from __future__ import annotations

from typing import Any

from napari.utils.task_status import Status

from napari_denoise.plugin.denoise.running import Runner

PROVIDER = "Denoise"
WARNING = "{} is still being denoised. Closing napari cancels that: its data stay as they were."


class ClosingGuard:
    """Tells the window of a run at work; it asks before it closes, and cancels the run.

    Parameters
    ----------
    viewer
        Whose window.
    runner
        What may be at work.
    """

    def __init__(self, viewer: Any, runner: Runner) -> None:
        self._viewer, self._runner = viewer, runner
        self._told: Any = None

    def follow(self) -> None:
        """Tell of a run that began, or that it ended."""
        window = getattr(self._viewer, "window", None)
        if not hasattr(window, "_register_task_status"):  # napari has no public door to it yet
            return
        if self._runner.busy and self._told is None:
            self._told = window._register_task_status(
                PROVIDER, Status.BUSY, WARNING.format(self._runner.names), self._cancel
            )
        elif not self._runner.busy and self._told is not None:
            window._update_task_status(self._told, Status.COMPLETED)
            self._told = None

    def _cancel(self) -> bool:
        if self._runner.busy:
            self._runner.cancel()
        return True
