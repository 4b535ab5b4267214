"""OME-Zarr stores through the command line and the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner
from yaozarrs import validate_zarr_store

from _networks import write_tiny_weights
from napari_denoise import Denoiser, DenoiseSettings, ImageMeta, read, write
from napari_denoise.batch import plan
from napari_denoise.cli import app
from napari_denoise.image import frames
from napari_denoise.io import stores

CELLS = np.random.default_rng(0).poisson(40, (2, 2, 48, 40)).astype("uint16")
META = ImageMeta("TCYX", scale=(2.0, 1.0, 0.5, 0.5), channel_names=("DAPI", "GFP"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    meta = ImageMeta(**{**vars(META), "extra": {"ome_zarr_version": "0.4"}})
    return write(tmp_path / "cells.ome.zarr", CELLS, meta)[0]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_store_becomes_a_store_of_its_version(tmp_path: Path, cells: Path, tiny: Path) -> None:
    how = ("-w", tiny, "--neighbors", "0", "--noise", "6,6")
    target = tmp_path / "clean.ome.zarr"
    result = run("denoise", cells, "-o", f"{target}/", *how)  # as shells complete folders
    assert result.exit_code == 0, result.output
    validate_zarr_store(target)
    back, meta = read(target)
    settings = DenoiseSettings(noise=(6.0, 6.0), neighbors=0)
    clean = Denoiser.load(str(tiny), "cpu")(CELLS, "TCYX", settings=settings)
    assert np.abs(np.asarray(back).astype(int) - clean).max() <= 1
    assert (meta.axes, meta.scale, meta.channel_names) == (META.axes, META.scale, ("DAPI", "GFP"))
    assert meta.extra["ome_zarr_version"] == "0.4"
    assert meta.extra["napari_denoise"]["settings"]["neighbors"] == 0
    group = zarr.open_group(target, mode="r")
    note = group.attrs["napari_denoise"]["extra"]["napari_denoise"]
    assert note == meta.extra["napari_denoise"]
    refused = run("denoise", cells, "-o", target, *how)
    assert refused.exit_code == 2 and "exists already" in refused.output.replace("\n", " ")
    again = run("denoise", cells, "-o", target, *how, "--overwrite", "--ome-zarr-version", "0.5")
    assert again.exit_code == 0, again.output
    assert zarr.open_group(target, mode="r").metadata.zarr_format == 3


def test_a_version_that_is_not_written_is_refused(tmp_path: Path, cells: Path, tiny: Path) -> None:
    wrong = ("-o", tmp_path / "x.ome.zarr", "--ome-zarr-version", "0.3")
    result = run("denoise", cells, "-w", tiny, *wrong)
    assert result.exit_code == 2 and "expected one of 0.5, 0.4" in result.output.replace("\n", " ")


def test_info_tells_of_a_store(cells: Path) -> None:
    (told,) = json.loads(run("info", cells, "--json").stdout)
    assert (told["shape"], told["axes"]) == ([2, 2, 48, 40], "TCYX")
    assert (told["format"], told["channels"]) == ("ome-zarr", ["DAPI", "GFP"])


def test_in_a_folder_stores_stay_stores(tmp_path: Path, cells: Path) -> None:
    field = write(tmp_path / "raw.zarr", CELLS, META)[0].rename(tmp_path / "field")
    tasks = plan([cells, field], tmp_path / "out")
    assert [t.target.name for t in tasks] == ["cells.ome.zarr", "field.ome.zarr"]
    (task,) = plan([tmp_path / "*.zarr"], tmp_path / "out", file_format="ome.tif")
    assert task.target == tmp_path / "out" / "cells.ome.tif"
    (task,) = plan([f"{tmp_path}/**/*.zarr"], cells)
    assert task.target == cells and task.taken == [cells]


def test_a_large_plane_is_denoised_in_windows(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = np.random.default_rng(0).poisson(40, (200, 150)).astype("uint16")
    write(tmp_path / "slide.ome.zarr", plane, ImageMeta("YX"))
    monkeypatch.setattr(frames, "LARGE_BYTES", 100)
    monkeypatch.setattr(stores, "CHUNK", 64)
    monkeypatch.setattr(stores, "SHARD", 64)
    target = tmp_path / "clean.ome.zarr"
    result = run("denoise", tmp_path / "slide.ome.zarr", "-o", target, "-w", tiny, "--noise", 6)
    assert result.exit_code == 0, result.output
    back, _ = read(target)
    clean = Denoiser.load(str(tiny), "cpu")(plane, "YX", settings=DenoiseSettings(noise=6.0))
    assert np.abs(np.asarray(back).astype(int) - clean).max() <= 1
