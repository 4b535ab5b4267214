"""A watched folder: files are taken once they stopped growing, and once only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _small import outcomes, photons, save

from napari_denoise.batch import Done, Waiting, plan_folder, watch
from napari_denoise.batch.plan import BatchTask
from napari_denoise.batch.watch import Arrivals
from napari_denoise.settings.denoise import DenoiseSettings


def test_a_file_comes_once_it_stopped_growing(tmp_path: Path) -> None:
    file = tmp_path / "raw/a.npy"
    save(file, photons(8, 8))
    tasks, _ = plan_folder([file.parent], tmp_path / "out", sequence=False)
    arrivals = Arrivals(settle=5)
    assert arrivals.whole(tasks, 0) == ([], 1)
    with file.open("ab") as stream:
        stream.write(b"more")
    assert arrivals.whole(tasks, 6) == ([], 1)
    assert arrivals.whole(tasks, 10.9) == ([], 1)
    assert arrivals.whole(tasks, 11) == (tasks, 0)
    assert arrivals.whole(tasks, 99) == ([], 0)
    with file.open("ab") as stream:
        stream.write(b"more")
    assert arrivals.whole(tasks, 100) == ([], 1)
    file.unlink()
    assert arrivals.whole(tasks, 200) == ([], 0)


def test_what_arrives_is_denoised_and_a_restart_does_nothing_twice(
    tiny: Path, tmp_path: Path
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    settings = DenoiseSettings(weights=str(tiny), device="cpu", precision="float32")

    def find() -> list[BatchTask]:
        return plan_folder([raw], out, sequence=False)[0]

    def started() -> object:
        return watch(find, settings, out, settle=0, every=0.001)

    events = started()
    assert next(events) == Waiting(0)  # the folder is empty
    np.save(raw / "a.npy", photons(24, 30))
    while not isinstance(event := next(events), Done):
        pass
    assert event.task.name == "a.npy"
    events.close()
    np.save(raw / "b.npy", photons(24, 30, seed=1))
    events = started()
    while not isinstance(event := next(events), Done):
        pass
    assert event.task.name == "b.npy"
    events.close()
    assert [pair for pair in outcomes(out) if pair[1] == "done"] == [
        ("a.npy", "done"),
        ("b.npy", "done"),
    ]
