from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.images import images_of
from napari_denoise.io.inputs import ImageInput
from napari_denoise.io.read import read

_HEAD = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'UUID="urn:uuid:%s">'
)


def plane(p: int, t: int, c: int) -> np.ndarray:
    return np.full((8, 8), 100 * p + 10 * t + c, "uint16")


def ome_set(folder: Path, *, positions: int = 1, times: int = 3, holder: str = "") -> list[Path]:
    """Write a set of one plane per file; the first file, or a companion, describes all."""
    keys = [(p, t, c) for p in range(positions) for t in range(times) for c in range(2)]
    files = {key: folder / "s_p{}_t{}_c{}.ome.tif".format(*key) for key in keys}
    images = ""
    for position in range(positions):
        planes = "".join(
            f'<TiffData FirstC="{c}" FirstT="{t}" FirstZ="0" IFD="0" PlaneCount="1"><UUID '
            f'FileName="{file.name}">urn:uuid:{file.stem}</UUID></TiffData>'
            for (p, t, c), file in files.items()
            if p == position
        )
        images += (
            f'<Image ID="Image:{position}" Name="well {position}"><Pixels ID="Pixels:{position}" '
            f'DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="8" SizeC="2" SizeZ="1" '
            f'SizeT="{times}" PhysicalSizeX="{position + 0.5}" PhysicalSizeY="0.5">'
            '<Channel ID="Channel:0:0" Name="red" SamplesPerPixel="1"/>'
            f'<Channel ID="Channel:0:1" Name="green" SamplesPerPixel="1"/>{planes}</Pixels></Image>'
        )
    first = files[keys[0]]
    if holder:
        (folder / holder).write_text(_HEAD % "companion" + images + "</OME>")
    for key, file in files.items():
        xml = (
            _HEAD % file.stem
            + f'<BinaryOnly MetadataFile="{holder or first.name}" UUID="x"/></OME>'
        )
        if file == first and not holder:
            xml = _HEAD % file.stem + images + "</OME>"
        tifffile.imwrite(file, plane(*key), description=xml, metadata=None)
    return list(files.values())


@pytest.mark.parametrize("holder", ["", "s.companion.ome"])
def test_every_file_of_a_set_opens_the_whole_image(tmp_path: Path, holder: str) -> None:
    files = ome_set(tmp_path, holder=holder)
    entrances = [*files, *([tmp_path / holder] if holder else []), tmp_path]
    for path in entrances:
        array, meta = read(path)
        assert (meta.axes, array.shape) == ("TCYX", (3, 2, 8, 8))
        assert (meta.scale[2:], meta.channel_names) == ((0.5, 0.5), ("red", "green"))
        np.testing.assert_array_equal(array[:, :, 0, 0], [[0, 1], [10, 11], [20, 21]])


@pytest.mark.parametrize("holder", ["", "s.companion.ome"])
def test_a_file_of_a_set_opens_the_position_it_belongs_to(tmp_path: Path, holder: str) -> None:
    files = ome_set(tmp_path, positions=2, holder=holder)
    with pytest.warns(ReadWarning, match="its set holds 1 further images in other files"):
        array, meta = read(files[-1])
    np.testing.assert_array_equal(array[:, :, 0, 0], [[100, 101], [110, 111], [120, 121]])
    assert meta.scale[3] == 1.5
    if holder:
        images = images_of(ImageInput((tmp_path / holder,)))
        assert [image.label for image in images] == ["well_0", "well_1"]
        assert read(tmp_path / holder, series=1)[0][0, 0, 0, 0] == 100


def test_a_part_without_its_description_opens_by_itself_and_says_so(tmp_path: Path) -> None:
    files = ome_set(tmp_path, holder="s.companion.ome")
    (tmp_path / "s.companion.ome").unlink()
    with pytest.warns(ReadWarning, match=r"described in 's\.companion\.ome', which is not there"):
        array, meta = read(files[1])
    assert (meta.axes, array.shape) == ("YX", (8, 8))


def test_a_description_without_its_parts_is_refused(tmp_path: Path) -> None:
    for file in ome_set(tmp_path, holder="s.companion.ome"):
        file.unlink()
    with pytest.raises(
        FileError, match="describes images in other files, and none of them is there"
    ):
        read(tmp_path / "s.companion.ome")
    (tmp_path / "x.companion.ome").write_text("no XML")
    with pytest.raises(FileError, match="it is not OME-XML"):
        read(tmp_path / "x.companion.ome")
