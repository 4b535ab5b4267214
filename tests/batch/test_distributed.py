"""Two processes of a real scheduler: the same results as one, and a lost worker costs its unit."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _small import contents, photons, planned, save
from distributed import Client

from napari_denoise.batch import Connected, Done, Failed, Processes, Progress, Started, run
from napari_denoise.batch.shared import SharedStack
from napari_denoise.batch.units import denoise_region
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.stores import PreparedStore
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


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("neighbors", [0, 1])
def test_regions_of_one_stack_equal_the_whole(
    scheduler: str, tiny: Path, tmp_path: Path, neighbors: int
) -> None:
    stack = photons(7, 32, 64)
    source = save(tmp_path / "raw/a.ome.tif", stack, "TYX")
    plan = planned([source], tmp_path / "out", tiny, file_format="ome.zarr", neighbors=neighbors)
    processes = Processes(scheduler=scheduler, in_blocks=1)
    (done,) = [event for event in run(plan, processes) if isinstance(event, Done)]
    result, meta = read(done.task.target)
    settings = DenoiseSettings(neighbors=neighbors)
    denoiser = Denoiser.load(str(tiny), "cpu", "float32")
    np.testing.assert_array_equal(np.asarray(result), denoiser(stack, "TYX", settings=settings))
    note = meta.extra["napari_denoise"]
    assert note["weights"] == "tiny"
    assert ("frames_used" in note.get("neighbors", {})) == (neighbors > 0)
    assert [file.name for file in (tmp_path / "out").glob(".*")] == [".batch.lock"]
    assert replace(done, seconds=0).frames == 7


@pytest.fixture
def small_files(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stores of two frames a file, here and in the workers."""
    from napari_denoise.io import stores

    monkeypatch.setattr(stores, "SHARD", 64)
    with Client(scheduler, set_as_default=False) as client:
        client.run(_two_frames_a_file)
        yield
        client.run(_two_frames_a_file, stores.SHARD * 64)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_regions_that_are_whole_are_kept_and_not_done_twice(
    scheduler: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    source = save(tmp_path / "raw/a.ome.tif", photons(12, 32, 64), "TYX")
    out, alone = tmp_path / "out", tmp_path / "alone"
    options = {"file_format": "ome.zarr", "neighbors": 1}
    processes = Processes(scheduler=scheduler, in_blocks=1)
    with monkeypatch.context() as patched:
        if how == "killed":  # who is killed tidies nothing up
            patched.setattr(SharedStack, "leave", lambda *_: None)
        events = run(planned([source], out, tiny, **options), processes)
        while not (isinstance(event := next(events), Progress) and _share(event) >= 0.3):
            pass
        events.close()
    (kept,) = out.glob(".*.kept")
    record = (kept / ".regions.jsonl").read_text().splitlines()[1:]
    assert 2 <= len(record) < 6
    if how == "killed":  # the files of the last one were not brought to the disk
        (*_, last) = [json.loads(line) for line in record]
        store = kept_store_of(kept)
        for file in store.files(tuple(slice(*side) for side in last["region"])):
            file.write_bytes(b"")
        record.pop()
    sent: list[Any] = []
    submit = Client.submit
    monkeypatch.setattr(
        Client, "submit", lambda self, do, *a, **k: sent.append(do) or submit(self, do, *a, **k)
    )
    (done,) = [e for e in run(planned([source], out, tiny, **options), processes)
               if isinstance(e, Done)]  # fmt: skip
    assert sent.count(denoise_region) == 6 - len(record)
    assert done.kept == f"{len(record)} of 6 parts kept from an earlier run"
    assert [file.name for file in out.glob(".*")] == [".batch.lock"]
    assert not list(done.task.target.glob(".regions*"))
    list(run(planned([source], alone, tiny, **options), processes))
    assert contents(out) == contents(alone)


def _share(event: Progress) -> float:
    return event.step.fraction if event.step else 0.0


def kept_store_of(folder: Path) -> PreparedStore:
    return PreparedStore(folder, folder, (12, 32, 64), np.dtype("uint16"), ImageMeta("TYX"), "0.5")


@pytest.mark.usefixtures("small_files")
def test_regions_of_other_settings_are_not_gone_on_with(
    scheduler: str, tiny: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "raw/a.ome.tif", photons(12, 32, 64), "TYX")
    out, options = tmp_path / "out", {"file_format": "ome.zarr", "neighbors": 0}
    processes = Processes(scheduler=scheduler, in_blocks=1)
    events = run(planned([source], out, tiny, **options), processes)
    while not (isinstance(event := next(events), Progress) and _share(event) > 0):
        pass
    events.close()
    assert list(out.glob(".*.kept"))
    (done,) = [e for e in run(planned([source], out, tiny, strength=0.5, **options), processes)
               if isinstance(e, Done)]  # fmt: skip
    assert done.kept == ""
    assert not list(out.glob(".*.kept"))


def _two_frames_a_file(side: int = 64) -> None:
    from napari_denoise.io import stores

    stores.SHARD = side
