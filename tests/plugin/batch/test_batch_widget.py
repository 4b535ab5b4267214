"""The Batch widget in a real viewer: plan, run, retry, pause, cancel, and look."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from _bench import PATIENCE_MS, noisy
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog
from superqt.utils import WorkerBase
from typer.testing import CliRunner

from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.plugin.batch.batch_widget import BatchWidget

SHARE_A_VIEWER = True


class Table:
    """The widget, and the patience to wait for it."""

    def __init__(self, viewer: Any, widget: BatchWidget, qtbot: Any, folder: Path) -> None:
        self.viewer, self.widget, self.qtbot, self.folder = viewer, widget, qtbot, folder

    def until(self, condition: Any) -> None:
        self.qtbot.waitUntil(condition, timeout=PATIENCE_MS)

    def plan(self) -> None:
        self.widget.plan.native.click()
        self.until(lambda: not self.widget.planning)

    def start(self) -> None:
        self.widget.start.native.click()

    def end(self) -> None:
        self.until(lambda: not self.widget.busy)

    def statuses(self) -> dict[str, str]:
        return {x.row.task.name: x.status for x in self.widget.table.lines.lines}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in "ab":
        write(folder / f"{name}.ome.tif", noisy((40, 48)), ImageMeta("YX"))
    return folder


@pytest.fixture
def table(viewer: Any, qtbot: Any, raw: Path, tmp_path: Path, one_thread: None) -> Iterator[Table]:
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Batch")
    widget.take([str(raw)])
    widget.form.output.value = tmp_path / "out"
    yield Table(viewer, widget, qtbot, tmp_path / "out")
    widget.shut_down()
    WorkerBase.await_workers(PATIENCE_MS)
    with suppress(LookupError, RuntimeError):  # a test may have closed it
        viewer.window.remove_dock_widget(widget)


def test_settings_of_the_batch_go_into_plan_and_command(table: Table) -> None:
    widget = table.widget
    widget.form.noise.value, widget.form.neighbors.value = "12", "off"
    table.plan()
    settings = {
        line.row.task.settings or widget.asked().settings for line in widget.table.lines.lines
    }
    assert {(one.noise, one.neighbors) for one in settings} == {(12.0, 0)}
    assert "--noise 12.0 --neighbors 0" in widget.asked().command()
    widget.form.noise.value = "loud"
    assert widget.asked() is None
    assert "noise" in widget.status.text and widget.status.kind == "error"


def test_a_plan_lists_problems_first_and_a_run_ends_with_a_report(table: Table, raw: Path) -> None:
    (raw / "z.ome.tif").write_bytes(b"no image")
    table.plan()
    shown = table.widget.table.shown()
    assert [line.row.task.name for line in shown] == ["z.ome.tif", "a.ome.tif", "b.ome.tif"]
    assert shown[0].kind == "error"
    assert "z.ome.tif" in shown[0].tip
    table.start()
    table.end()
    found = table.statuses()
    assert found == {"a.ome.tif": "done", "b.ome.tif": "done", "z.ome.tif": "cannot be denoised"}
    assert table.widget.report == table.folder / "batch.html"
    assert table.widget.report.is_file()
    (raw / "z.ome.tif").unlink()
    write(raw / "z.ome.tif", noisy((40, 48)), ImageMeta("YX"))
    assert table.widget.retry.enabled
    table.widget.retry.native.click()
    table.end()
    assert table.statuses()["z.ome.tif"] == "done"
    assert (table.folder / "z.ome.tif").is_file()


def test_a_paused_run_waits_and_a_cancelled_one_is_gone_on_with(table: Table) -> None:
    table.start()
    table.widget.pause.native.click()
    assert table.widget.pause.text == "Resume"
    table.qtbot.wait(100)
    assert table.widget.busy
    table.widget.cancel.native.click()
    table.end()
    assert not list(table.folder.glob("*.tif"))
    table.start()
    table.end()
    assert set(table.statuses().values()) == {"done"}
    table.plan()
    assert set(table.statuses().values()) == {"finished before"}


def test_settings_of_selected_rows_are_their_own(table: Table) -> None:
    table.plan()
    table.widget.table.selectRow(0)
    table.widget.own_form.weights.value = "photo"
    table.widget.own_form.neighbors.value = "off"
    table.widget.own_form.apply.native.click()
    table.until(lambda: not table.widget.planning)
    rows = {x.row.task.name: x.row for x in table.widget.table.lines.lines}
    assert rows["a.ome.tif"].weights == "photo"
    assert rows["a.ome.tif"].task.settings.neighbors == 0
    assert rows["b.ome.tif"].weights == "microscopy"
    assert rows["b.ome.tif"].task.settings is None


def test_the_copied_command_is_what_the_terminal_takes(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_denoise import batch
    from napari_denoise.cli.commands import app

    form = table.widget.form
    everything = {
        form.recursive: True, form.weights: "microscopy", form.noise: "12", form.neighbors: "off",
        form.name: "{stem} clean", form.format: "OME-Zarr", form.dtype: "float32",
        form.one_noise: True, form.layers: "every view", form.guess_axes: True, form.workers: 2,
        form.separate: True,
    }  # fmt: skip
    for part, value in everything.items():
        part.value = value
    form.adapt.value = 5
    assert {*everything, form.adapt} == {*form.parts} - {form.output}
    table.widget.command.native.click()
    words = shlex.split(QApplication.clipboard().text())
    seen: list[Any] = []
    survey = batch.survey
    monkeypatch.setattr(batch, "survey", lambda *a, **k: seen.append((a, k)) or survey(*a, **k))
    CliRunner().invoke(app, [*words[1:], "--dry-run", "--json"], catch_exceptions=False)
    (tasks, settings, folder), more = seen[0]
    asked = table.widget.asked()
    assert asked is not None
    assert (settings, folder) == (asked.settings, asked.folder)
    assert [task.target.name for task in tasks] == ["a clean.ome.zarr", "b clean.ome.zarr"]
    assert {task.choice for task in tasks} == {asked.choice}
    wanted = {name: getattr(asked, name) for name in ("one_noise", "guess_axes", "adapt")}
    assert {name: more[name] for name in wanted} == wanted
    assert words[-2:] == ["--workers", "2"]


def test_what_is_seldom_asked_is_done(table: Table) -> None:
    form = table.widget.form
    form.name.value, form.format.value, form.dtype.value = "{stem}_clean", "OME-Zarr", "float32"
    form.one_noise.value = True
    table.start()
    table.end()
    for name in "ab":
        array, meta = read(table.folder / f"{name}_clean.ome.zarr")
        assert array.dtype == np.float32
        noise = meta.extra["napari_denoise"]["settings"]["noise"]
        assert noise != "auto"
    form.name.value = "{nobody}"
    table.start()
    table.end()
    assert "{nobody}" in table.widget.status.text
    assert table.widget.status.kind == "error"


def test_a_process_of_its_own_denoises_for_the_widget(table: Table) -> None:
    table.widget.form.workers.value = 1
    table.start()
    table.end()
    assert table.statuses() == {"a.ome.tif": "done", "b.ome.tif": "done"}
    assert len(list(table.folder.glob("*.tif"))) == 2


def test_guessed_axes_wait_for_the_row_or_for_a_tick(table: Table, raw: Path) -> None:
    tifffile.imwrite(raw / "c.tif", noisy((2, 40, 48)))
    table.plan()
    assert table.statuses()["c.tif"] == "say its axes"
    table.widget.form.guess_axes.value = True
    table.plan()
    assert table.statuses()["c.tif"] == "waiting"


def test_files_are_dropped_and_chosen_and_the_report_opens(
    table: Table, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = table.widget
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(raw / "a.ome.tif")), QUrl("https://example.org/b.tif")])
    action, left, none = Qt.CopyAction, Qt.LeftButton, Qt.NoModifier
    entered = QDragEnterEvent(QPoint(9, 9), action, mime, left, none)
    QApplication.sendEvent(widget, entered)
    assert entered.isAccepted()
    QApplication.sendEvent(widget, QDropEvent(QPointF(9, 9), action, mime, left, none))
    assert widget.inputs == (str(raw / "a.ome.tif"),)
    chosen = [str(raw / "b.ome.tif")], "Images"
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: chosen)
    widget.files.native.click()
    assert widget.inputs == (str(raw / "b.ome.tif"),)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(raw))
    widget.from_folder.native.click()
    assert widget.inputs == (str(raw),)
    table.start()
    table.end()
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert widget.show_report.native.isVisibleTo(widget)
    widget.show_report.native.click()
    assert opened == [(table.folder / "batch.html").absolute().as_uri()]


def test_a_double_click_shows_input_and_result_side_by_side(table: Table) -> None:
    table.start()
    table.end()
    table.widget.look_at(table.widget.table.model().index(0, 0))
    table.until(lambda: len(table.viewer.layers) == 2)
    before, after = table.viewer.layers
    assert table.viewer.canvas.grid.enabled
    before.contrast_limits = (0, 77)
    assert list(after.contrast_limits) == [0, 77]
    assert not np.array_equal(before.data, after.data)


def test_a_dock_that_closes_asks_and_the_run_goes_on(table: Table) -> None:
    table.start()
    run = table.widget.run
    assert run is not None
    table.viewer.window.remove_dock_widget(table.widget)
    assert run.question is not None
    assert run.running
    table.until(lambda: not run.running)
    assert len(list(table.folder.glob("*.tif"))) == 2


def test_empty_state_and_missing_choices_are_said(table: Table) -> None:
    table.widget.form.output.value = None
    table.widget.inputs = ()
    table.widget.plan.native.click()
    assert "Choose files or a folder first" in table.widget.status.text


def test_a_dock_that_closes_can_cancel_the_run(table: Table) -> None:
    table.start()
    run = table.widget.run
    assert run is not None
    table.widget.pause.native.click()
    table.viewer.window.remove_dock_widget(table.widget)
    assert run.question is not None
    run.question.buttons()[1].click()
    table.until(lambda: not run.running)
    assert not list(table.folder.glob("*.tif"))


def test_a_batch_of_the_terminal_is_gone_on_with(table: Table, raw: Path) -> None:
    from napari_denoise.cli.commands import app

    command = ["batch", str(raw / "a.ome.tif"), "-o", str(table.folder), "--quiet"]
    assert CliRunner().invoke(app, command).exit_code == 0
    table.plan()
    assert table.statuses() == {"a.ome.tif": "finished before", "b.ome.tif": "waiting"}
    before = (table.folder / "a.ome.tif").stat().st_mtime_ns
    table.start()
    table.end()
    assert table.statuses()["b.ome.tif"] == "done"
    assert (table.folder / "a.ome.tif").stat().st_mtime_ns == before
