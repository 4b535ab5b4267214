from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_denoise.io.errors import FileError
from napari_denoise.io.images import chosen, images_of
from napari_denoise.io.inputs import ImageInput


def positions(path: Path, *names: str) -> ImageInput:
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name in names:
            tif.write(np.zeros((2, 8, 8), "uint16"), metadata={"axes": "TYX", "Name": name})
    return ImageInput((path,))


def test_a_file_of_positions_is_an_input_for_each(tmp_path: Path) -> None:
    source = positions(tmp_path / "p.ome.tif", "Pos/1", "Pos:1", "", "pos_1")
    images = images_of(source)
    assert [image.series for image in images] == [0, 1, 2, 3]
    assert [image.label for image in images] == ["Pos_1", "Pos_1_1", "image2", "pos_1_3"]
    assert images[0].name == "p_Pos_1"
    assert images_of(images[1]) == [images[1]]


def test_a_file_of_one_image_stays_as_it_is(tmp_path: Path) -> None:
    source = positions(tmp_path / "p.ome.tif", "Pos1")
    assert images_of(source) == [source]
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    broken = ImageInput((tmp_path / "broken.tif",))
    assert images_of(broken) == [broken]


def test_an_image_is_chosen_by_number_or_name(tmp_path: Path) -> None:
    images = images_of(positions(tmp_path / "p.ome.tif", "A1", "B2"))
    assert chosen(images, "b2") is images[1]
    assert chosen(images, 0) is images[0]
    with pytest.raises(FileError, match=r"no image 'C3'; choose one of 0: A1, 1: B2"):
        chosen(images, "C3")
