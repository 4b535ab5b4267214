"""Every image of a file is an input, with a result of its own name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_denoise.batch import check_outputs, denoise_file, plan
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.errors import FileError
from napari_denoise.settings.denoise import DenoiseSettings


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for number, name in enumerate(("A1/field 1", "A1/field 2", "B:1")):
            noise = np.random.default_rng(number).poisson(200 * (number + 1), (40, 48))
            tif.write(noise.astype("uint16"), metadata={"axes": "YX", "Name": name})
    return path


def test_each_image_gets_its_own_result(plate: Path) -> None:
    tasks = plan([plate], plate.parent / "clean")
    names = ["plate_A1_field_1.ome.tif", "plate_A1_field_2.ome.tif", "plate_B_1.ome.tif"]
    assert [task.target.name for task in tasks] == names
    check_outputs(tasks, overwrite=False)
    denoiser = Denoiser.load("microscopy")
    for number, task in enumerate(tasks):
        done = denoise_file(task, denoiser, DenoiseSettings())
        with tifffile.TiffFile(done.files[0]) as tif:
            assert abs(tif.asarray().mean() - 200 * (number + 1)) < 5


@pytest.mark.parametrize("wanted", [{"series": 2}, {"position": "b_1"}, {"position": "2"}])
def test_one_image_is_chosen_by_number_or_name(plate: Path, wanted: dict[str, object]) -> None:
    (task,) = plan([plate], plate.parent / "one.ome.tif", **wanted)  # type: ignore[arg-type]
    assert (task.source.series, task.name) == (2, "plate.ome.tif [B_1]")


def test_what_is_not_there_or_does_not_fit_is_refused(plate: Path) -> None:
    with pytest.raises(FileError, match=r"no image 'C1'; choose one of 0: A1_field_1, 1: "):
        plan([plate], plate.parent / "clean", position="C1")
    with pytest.raises(ValueError, match="series 1 and position 'B' both name an image"):
        plan([plate], plate.parent / "clean", series=1, position="B")
    with pytest.raises(ValueError, match=r"3 inputs, .*or one image of the file \(--position"):
        plan([plate], plate.parent / "one.ome.tif")


def test_formats_that_are_not_written_become_ome_tiff(plate: Path) -> None:
    target = plate.with_name("plate.stk")
    tifffile.imwrite(target, np.zeros((8, 8), "uint16"))
    (task,) = plan([target], plate.parent / "clean")
    assert task.target.name == "plate.ome.tif"
