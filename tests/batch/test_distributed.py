"""Two processes of a real scheduler: the same results as one, and a lost worker costs its unit."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _small import contents, photons, planned, save
from distributed import Client

from napari_denoise.batch import Connected, Done, Failed, Processes, Started, run
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.read import read
from napari_denoise.settings.denoise import DenoiseSettings

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]


def test_two_workers_give_what_one_process_gives(
    scheduler: str, tiny: Path, tmp_path: Path
) -> None:
    for number, name in enumerate("abcd"):
        save(tmp_path / f"raw/{name}.ome.tif", photons(40, 48, seed=number))
    (tmp_path / "raw/bad.tif").write_bytes(b"no image")
    out, alone = tmp_path / "out", tmp_path / "alone"
    events = list(run(planned([tmp_path / "raw"], out, tiny), Processes(scheduler=scheduler)))
    (connected,) = [event for event in events if isinstance(event, Connected)]
    assert connected.workers == 2
    assert connected.dashboard.startswith("http")
    assert len([event for event in events if isinstance(event, Done)]) == 4
    list(run(planned([tmp_path / "raw"], alone, tiny)))
    assert contents(out) == contents(alone)


def test_a_killed_worker_costs_its_unit(scheduler: str, tiny: Path, tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        save(tmp_path / f"raw/{name}.ome.tif", photons(6, 80, 96, seed=number), "TYX")
    out, alone = tmp_path / "out", tmp_path / "alone"
    done: list[Any] = []
    killed = False
    for event in run(planned([tmp_path / "raw"], out, tiny), Processes(scheduler=scheduler)):
        if isinstance(event, Started) and not killed:
            killed = True
            with Client(scheduler, set_as_default=False) as client:
                process = next(iter(client.run(os.getpid).values()))
            os.kill(process, signal.SIGKILL)
        done += [event] if isinstance(event, (Done, Failed)) else []
    assert [getattr(event, "error", None) for event in done] == [None] * 3
    list(run(planned([tmp_path / "raw"], alone, tiny)))
    assert contents(out) == contents(alone)


@pytest.mark.parametrize("neighbors", [0, 1])
def test_regions_of_one_stack_equal_the_whole(
    scheduler: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, neighbors: int
) -> None:
    from napari_denoise.io import stores

    monkeypatch.setattr(stores, "SHARD", 64)  # two frames a file, here and in the store's name
    stack = photons(7, 32, 64)
    source = save(tmp_path / "raw/a.ome.tif", stack, "TYX")
    plan = planned([source], tmp_path / "out", tiny, file_format="ome.zarr", neighbors=neighbors)
    processes = Processes(scheduler=scheduler, in_blocks=1)
    with Client(scheduler, set_as_default=False) as client:
        client.run(_two_frames_a_file)
        try:
            (done,) = [event for event in run(plan, processes) if isinstance(event, Done)]
        finally:
            client.run(_two_frames_a_file, stores.SHARD * 64)
    result, meta = read(done.task.target)
    settings = DenoiseSettings(neighbors=neighbors)
    denoiser = Denoiser.load(str(tiny), "cpu", "float32")
    np.testing.assert_array_equal(np.asarray(result), denoiser(stack, "TYX", settings=settings))
    note = meta.extra["napari_denoise"]
    assert note["weights"] == "tiny"
    assert ("frames_used" in note.get("neighbors", {})) == (neighbors > 0)
    assert [file.name for file in (tmp_path / "out").glob(".*")] == [".batch.lock"]
    assert replace(done, seconds=0).frames == 7


def _two_frames_a_file(side: int = 64) -> None:
    from napari_denoise.io import stores

    stores.SHARD = side
