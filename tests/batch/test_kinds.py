"""Every kind of input through a batch, in one process and by two workers: the pixels of Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from _small import contents, photons, save
from distributed import Client

from _networks import write_tiny_weights
from napari_denoise.batch import BatchPlan, Done, Failed, Processes, plan_folder, run, survey
from napari_denoise.image import frames
from napari_denoise.image.long_work import finished
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io import stores
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.settings.denoise import DenoiseSettings

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]

SIZE = 24, 32
AXES = {"mixed.npy": "YXT", "named.npy": "TCYX"}
"""Of those whose files name none."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {
        "gray": write_tiny_weights(folder / "gray.safetensors"),
        "colour": write_tiny_weights(folder / "colour.safetensors", 3),
        "render": write_tiny_weights(folder / "render.safetensors", 3, features=8),
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one input of each kind."""
    folder = tmp_path_factory.mktemp("raw")
    few = photons(*SIZE, seed=1)
    save(folder / "codes8.ome.tif", (few // 4).astype(np.uint8))
    save(folder / "codes16.ome.tif", photons(3, *SIZE, seed=2), "TYX")
    save(folder / "float32.ome.tif", few.astype(np.float32) / 1000)
    save(folder / "rgb.png", np.dstack([few // 8] * 3).astype(np.uint8), "YXS")
    for name, axes in AXES.items():
        sizes = {"T": 3, "C": 2, "Y": SIZE[0], "X": SIZE[1]}
        np.save(folder / name, photons(*(sizes[a] for a in axes), seed=len(name)))
    light = np.random.default_rng(3).gamma(4, 0.25, (*SIZE, 3)).astype(np.float32)
    guides = {"albedo": light / light.max(), "normal": np.sin(light)}
    write(folder / "render.exr", light, ImageMeta("YXS", features=guides))
    with tifffile.TiffWriter(folder / "positions.ome.tif", ome=True) as tif:
        for number, name in enumerate(("A1/field 1", "B:2")):
            tif.write(photons(*SIZE, seed=number), metadata={"axes": "YX", "Name": name})
    _plate(folder / "plate.ome.zarr")
    return folder


def _plate(path: Path) -> None:
    wells = [{"path": f"{row}/3", "rowIndex": n, "columnIndex": 0} for n, row in enumerate("AB")]
    plate = {"plate": {"wells": wells, "rows": [], "columns": []}}
    _group(path, plate)
    for number, row in enumerate("AB"):
        _group(path / row / "3", {"well": {"images": [{"path": "0"}]}})
        step = {"type": "scale", "scale": [1.0, 1.0]}
        axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
        levels = [{"path": "0", "coordinateTransformations": [step]}]
        image = {"multiscales": [{"datasets": levels, "axes": axes}]}
        field = _group(path / row / "3" / "0", image)
        field.create_array("0", data=photons(*SIZE, seed=number))


def _group(path: Path, values: dict[str, Any]) -> Any:
    group = zarr.open_group(path, mode="a", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", **values}
    return group


def planned(raw: Path, out: Path, weights: dict[str, Path]) -> BatchPlan:
    """Plan each input with the weights and the axes that it needs."""
    tasks, found = plan_folder([raw], out)
    assert not found.missing
    kinds = {"rgb.png": "colour", "render.exr": "render"}
    own = [
        replace(
            task,
            settings=_settings(weights[kinds.get(task.source.pattern.name, "gray")]),
            axes=AXES.get(task.source.pattern.name),
        )
        for task in tasks
    ]
    return finished(survey(own, DenoiseSettings(), out, look=False))


def _settings(weights: Path) -> DenoiseSettings:
    return DenoiseSettings(weights=str(weights), device="cpu", precision="float32")


def test_every_kind_is_denoised_as_by_python_and_by_workers_alike(
    raw: Path, weights: dict[str, Path], scheduler: str, tmp_path: Path
) -> None:
    out, spread = tmp_path / "out", tmp_path / "spread"
    done = [event for event in run(planned(raw, out, weights)) if isinstance(event, Done)]
    names = {event.task.name for event in done}
    assert len(done) == 11 and names >= {
        *("codes8.ome.tif", "codes16.ome.tif", "float32.ome.tif", "rgb.png", "render.exr"),
        *(*AXES, "positions.ome.tif [B_2]", "plate.ome.zarr [A3_field_0]"),
    }, names
    for event in done:
        task = event.task
        assert task.settings is not None
        array, meta = read(
            task.source.files, axes=task.axes, series=task.source.series, sequence=False
        )
        denoiser = Denoiser.load(task.settings.weights, "cpu", "float32")
        result, after = read(task.target, axes=task.axes)
        assert (result.dtype, after.axes) == (array.dtype, meta.axes), task.name
        clean = denoiser(array, meta=meta, settings=task.settings)
        assert not np.array_equal(np.asarray(array), clean)
        np.testing.assert_array_equal(np.asarray(result), clean, task.name)
    many = list(run(planned(raw, spread, weights), Processes(scheduler=scheduler)))
    assert sum(isinstance(event, Done) for event in many) == len(done)
    assert contents(spread) == contents(out)


@contextmanager
def small_memory(scheduler: str) -> Iterator[None]:
    """Let planes of 3,000 bytes be beyond memory, and stores of small files; in workers too."""
    usual = frames.LARGE_BYTES, stores.CHUNK, stores.SHARD
    with Client(scheduler, set_as_default=False) as client:
        try:
            for process in (_sizes, lambda *sizes: client.run(_sizes, *sizes)):
                process(3000, 32, 32)
            yield
        finally:
            client.run(_sizes, *usual)
            _sizes(*usual)


def _sizes(large: int, chunk: int, shard: int) -> None:
    frames.LARGE_BYTES, stores.CHUNK, stores.SHARD = large, chunk, shard


@pytest.mark.parametrize("ending", ["ome.tif", "ome.zarr"])
def test_a_plane_beyond_memory_is_shared_in_windows(
    weights: dict[str, Path], scheduler: str, tmp_path: Path, ending: str
) -> None:
    plane = photons(48, 80)
    save(tmp_path / "raw/a.ome.tif", plane)
    settings = replace(_settings(weights["gray"]), tile=16)
    found = {}
    with small_memory(scheduler):
        for name, processes in (("one", None), ("two", Processes(0, scheduler, in_blocks=1))):
            tasks, _ = plan_folder([tmp_path / "raw"], tmp_path / name, file_format=ending)
            plan = finished(survey(tasks, settings, tmp_path / name, look=False))
            events = list(run(plan, processes))
            assert not [event.error for event in events if isinstance(event, Failed)]
            (done,) = [event for event in events if isinstance(event, Done)]
            found[name] = np.asarray(read(done.task.target)[0])
    np.testing.assert_array_equal(found["one"], found["two"])
    assert not np.array_equal(found["one"], plane)
