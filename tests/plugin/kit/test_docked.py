"""A dock that was closed dies by Qt, on the GUI thread, not in some later collection."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from superqt.utils import WorkerBase

PATIENCE_MS = 120_000


@pytest.mark.parametrize("title", ["Denoise", "Fine-tune"])
def test_qt_deletes_a_closed_dock_without_any_collection(
    make_napari_viewer_proxy: Any, qtbot: Any, title: str
):
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-denoise", title)
    deleted: list[str] = []
    for part in (widget, widget.form.native):
        part.destroyed.connect(lambda: deleted.append("part"))
    gc.disable()
    try:
        viewer.window.remove_dock_widget(widget)
        qtbot.waitUntil(lambda: len(deleted) == 2, timeout=PATIENCE_MS)
    finally:
        gc.enable()
    widget.shut_down()  # once more does no harm
    WorkerBase.await_workers(PATIENCE_MS)
