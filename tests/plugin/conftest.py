"""Fixtures for tests in a real viewer: tiny weights, and the widget in its dock."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins
from napari.settings import get_settings
from napari.utils._proxies import PublicOnlyProxy
from npe2.manifest import _bases as npe2_files
from superqt.utils import WorkerBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from _bench import PATIENCE_MS, Bench, noisy
from _tuning import TuningBench

from _networks import write_tiny_weights
from napari_denoise.plugin.denoise import cameras, last_settings
from napari_denoise.plugin.denoise.denoise_widget import DenoiseWidget
from napari_denoise.plugin.denoise.session import _sessions as sessions
from napari_denoise.plugin.denoise.session import session_of
from napari_denoise.plugin.finetune.finetune_widget import FineTuneWidget
from napari_denoise.plugin.layers.source import bare
from napari_denoise.weights import catalogue


@pytest.fixture(scope="session", autouse=True)
def manifests_are_parsed_once() -> Iterator[None]:
    """Spare every viewer the parsing of all manifests, a tenth of its test."""
    name = "_load_yaml_no_duplicates"
    parse = cache(getattr(npe2_files, name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npe2_files, name, lambda file: deepcopy(parse(file.read())))
        yield


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny networks under the names of the bundled ones."""
    folder = tmp_path_factory.mktemp("weights")
    write_tiny_weights(folder / "microscopy.safetensors", channels=1, realistic=True)
    write_tiny_weights(folder / "photo.safetensors", channels=3, realistic=True)
    write_tiny_weights(folder / "render.safetensors", channels=3, features=8)
    return folder


@pytest.fixture(autouse=True)
def only_tiny_weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "BUNDLED", weights_folder)
    monkeypatch.setattr(catalogue, "user_folder", lambda: weights_folder / "none")


@pytest.fixture(autouse=True)
def only_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember nothing from test to test, nor among the user's own files."""
    monkeypatch.setattr(last_settings, "file", lambda: tmp_path / "own" / "last.json")
    monkeypatch.setattr(cameras, "folder", lambda: tmp_path / "own" / "noise")


@pytest.fixture(scope="module")
def kept_viewer(qapp: Any) -> Iterator[Any]:
    """One viewer for all tests of a module, as a new one takes a second."""
    app = NapariApplication("kept_app")  # one of its own: in napari's, commands are registered once
    app.injection_store.namespace = _napari_names
    for registering in (_initialize_plugins, init_qactions):
        registering.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NapariApplication, "get_app_model", staticmethod(lambda *_: app))
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        viewer = napari.Viewer(show=False, show_welcome_screen=False)
        window = viewer.window._qt_window
        patch.setattr(window, "_save_current_window_settings", lambda: None)
        yield viewer
        viewer.close()
        del viewer, window
        gc.collect()
    Application.destroy("kept_app")
    for registering in (_initialize_plugins, init_qactions):
        registering.cache_clear()


@pytest.fixture
def viewer(request: pytest.FixtureRequest, qtbot: Any) -> Iterator[Any]:
    """A viewer that lets plugins at its public parts alone.

    Modules that say `SHARE_A_VIEWER` get one for all tests; each finds it empty.
    """
    if not shared(request):
        yield request.getfixturevalue("make_napari_viewer_proxy")()
        return
    kept = request.getfixturevalue("kept_viewer")
    yield PublicOnlyProxy(kept)
    kept.layers.clear()
    kept.dims.ndisplay = 2
    kept.canvas.grid.enabled, kept.canvas.grid.stride = False, 1
    kept.theme = "dark"
    get_settings().reset()


@pytest.fixture
def bench(request: pytest.FixtureRequest, viewer: Any, qtbot: Any) -> Iterator[Bench]:
    """A viewer with the widget docked; everything is stopped afterwards."""
    widget = DenoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Denoise")
    yield Bench(viewer, widget, qtbot)
    widget.shut_down()
    session_of(viewer).close()
    sessions.pop(bare(viewer), None)
    WorkerBase.await_workers(PATIENCE_MS)
    if shared(request):
        viewer.window.remove_dock_widget(widget)


@pytest.fixture
def tuning(
    request: pytest.FixtureRequest,
    viewer: Any,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> Iterator[TuningBench]:
    """A viewer with the Fine-tune widget docked, and a folder for its weights alone."""
    monkeypatch.setattr(catalogue, "user_folder", lambda: tmp_path / "home" / "weights")
    widget = FineTuneWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    yield TuningBench(viewer, widget, qtbot)
    widget.shut_down()
    WorkerBase.await_workers(PATIENCE_MS)
    if shared(request):
        viewer.window.remove_dock_widget(widget)


def shared(request: pytest.FixtureRequest) -> bool:
    """Whether all tests of a module have one viewer."""
    return getattr(request.module, "SHARE_A_VIEWER", False)


@pytest.fixture
def stack() -> np.ndarray:
    """Six frames of photon noise over a gradient, uint16."""
    return noisy((6, 40, 56))
