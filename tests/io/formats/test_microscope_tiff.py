"""TIFF dialects of microscopes; what is written is read back by tifffile itself."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile

from _microscopes import lsm, mm_stack, nd_tiff, plane, stk
from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.images import images_of
from napari_denoise.io.inputs import ImageInput
from napari_denoise.io.read import read
from napari_denoise.io.write import write

SUMMARY = {"Frames": 3, "Slices": 1, "Channels": 2, "Positions": 2, "ChNames": ["DAPI", "FITC"]}
PLACES = [(c, 0, t, p) for t, p, c in product(range(3), range(2), range(2))]


def names(path: Path) -> list[str]:
    return [image.label for image in images_of(ImageInput((path,)))]


def written(path: Path, series: int | None = None) -> tuple[str, dict[str, str]]:
    """Axes and pixel attributes of a result, by tifffile's parser."""
    array, meta = read(path, series=series)
    target = path.with_name("written.ome.tif")
    write(target, array, meta, overwrite=True)
    with tifffile.TiffFile(target) as tif:
        np.testing.assert_array_equal(tif.series[0].asarray(), np.squeeze(array))
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
        return tif.series[0].axes, pixels


def test_positions_of_micromanager_are_images_and_the_pixel_size_is_in_micrometres(
    tmp_path: Path,
) -> None:
    path = tmp_path / "exp_MMStack.ome.tif"
    mm_stack(path, SUMMARY, PLACES)
    with pytest.warns(ReadWarning, match="holds 2 images"):
        array, meta = read(path)
    assert (meta.axes, array.shape, meta.channel_names) == (
        "TCYX",
        (3, 2, 16, 16),
        ("DAPI", "FITC"),
    )
    assert meta.scale[2:] == pytest.approx((5.23, 5.23), rel=1e-3)
    assert (meta.scale[0], meta.units) == (0.25, ("second", None, "micrometer", "micrometer"))
    assert names(path) == ["Pos0", "Pos1"]
    array, _ = read(path, series=1)
    np.testing.assert_array_equal(array[2, 1], plane(PLACES.index((1, 0, 2, 1))))
    axes, pixels = written(path, 1)
    assert axes == "TCYX"
    assert pixels["PhysicalSizeX"] == pytest.approx(5.23, rel=1e-3)
    assert [c["Name"] for c in pixels["Channel"]] == ["DAPI", "FITC"]


@pytest.mark.parametrize("index", [True, False])
def test_a_micromanager_run_that_was_stopped_opens_with_what_is_there(
    tmp_path: Path, index: bool
) -> None:
    path = tmp_path / "exp_MMStack.ome.tif"
    planned = {**SUMMARY, "Frames": 10, "Positions": 1}
    mm_stack(path, planned, [(c, 0, t, 0) for t in range(6) for c in range(2)], index=index)
    with pytest.warns(ReadWarning, match="10 time points were planned, and 6 are there"):
        array, meta = read(path)
    assert (meta.axes, array.shape) == ("TCYX", (6, 2, 16, 16))
    np.testing.assert_array_equal(array[5, 1], plane(11))


def test_a_file_of_a_position_opens_its_own(tmp_path: Path) -> None:
    for p in range(2):
        mm_stack(tmp_path / f"a_MMStack_Pos{p}.ome.tif", SUMMARY, [x for x in PLACES if x[3] == p])
    array, meta = read(tmp_path / "a_MMStack_Pos1.ome.tif")
    assert (meta.axes, array.shape) == ("TCYX", (3, 2, 16, 16))
    with tifffile.TiffFile(tmp_path / "a_MMStack_Pos1.ome.tif") as tif:
        np.testing.assert_array_equal(array[0, 1], tif.pages[1].asarray())


def test_ndtiff_says_its_axes_with_and_without_its_index(tmp_path: Path) -> None:
    places: list[dict[str, int | str]] = [
        {"channel": name, "time": t, "position": p}
        for t, p, name in product(range(3), range(2), ("DAPI", "FITC"))
    ]
    entries = nd_tiff(tmp_path / "x_NDTiffStack.tif", places[:7])
    more = nd_tiff(tmp_path / "x_NDTiffStack_1.tif", places[7:], 7)
    with pytest.warns(ReadWarning, match="number 2 is not there"):  # half of the set
        array, meta = read(tmp_path / "x_NDTiffStack.tif", series=1)
    (tmp_path / "NDTiff.index").write_bytes(b"".join([*entries, *more]))
    for path in (tmp_path / "x_NDTiffStack.tif", tmp_path / "x_NDTiffStack_1.tif"):
        array, meta = read(path, series=1)
        assert (meta.axes, array.shape) == ("TCYX", (3, 2, 16, 16))
        assert meta.channel_names == ("DAPI", "FITC")
        assert meta.scale == pytest.approx((0.04, 1, 0.325, 0.325))
        want = [
            plane(places.index({"channel": "FITC", "time": t, "position": 1})) for t in range(3)
        ]
        np.testing.assert_array_equal(array[:, 1], want)
    assert names(tmp_path / "x_NDTiffStack.tif") == ["position0", "position1"]


def test_an_lsm_opens_without_its_thumbnails(tmp_path: Path) -> None:
    lsm(tmp_path / "a.lsm", times=2, planes=3)
    array, meta = read(tmp_path / "a.lsm")
    assert (meta.axes, array.shape) == ("TZYX", (2, 3, 16, 16))
    assert meta.scale == pytest.approx((0.75, 1.5, 0.2, 0.2))
    assert meta.units == ("second", "micrometer", "micrometer", "micrometer")
    np.testing.assert_array_equal(array[1, 2], plane(5))
    lsm(tmp_path / "p.lsm", planes=3, positions=2)
    assert names(tmp_path / "p.lsm") == ["Pos0", "Pos1"]
    np.testing.assert_array_equal(read(tmp_path / "p.lsm", series=1)[0][0], plane(3))


@pytest.mark.parametrize(
    ("axis", "options", "step", "unit"),
    [("Z", {"step_um": 0.3}, 0.3, "micrometer"), ("T", {"seconds": 2.5}, 2.5, "second")],
)
def test_a_metamorph_stack_tells_depth_from_time(
    tmp_path: Path, axis: str, options: dict[str, float], step: float, unit: str
) -> None:
    stk(tmp_path / "a.stk", 4, **options)
    array, meta = read(tmp_path / "a.stk")
    assert (meta.axes, array.shape) == (f"{axis}YX", (4, 16, 16))
    assert meta.scale == pytest.approx((step, 0.16, 0.16))
    assert meta.units == (unit, "micrometer", "micrometer")
    np.testing.assert_array_equal(array[3], plane(3))
    (tmp_path / "cut.stk").write_bytes((tmp_path / "a.stk").read_bytes()[:900])
    with pytest.raises(FileError):
        read(tmp_path / "cut.stk")


def scanimage(path: Path, pages: int, **settings: object) -> None:
    lines = {
        "SI.hChannels.channelSave": "[1;3]",
        "SI.hChannels.channelName": "{'red' 'x' 'far'}",
        "SI.hStackManager.framesPerSlice": 1,
        "SI.hRoiManager.imagingFovUm": "[-80 -80;80 -80;80 80;-80 80]",
        "SI.hRoiManager.scanFrameRate": 30,
        **settings,
    }
    software = "SI.LINE = true\n" + "\n".join(f"{key} = {value}" for key, value in lines.items())
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for number in range(pages):
            tif.write(
                plane(number).astype("int16"), software=software, metadata=None, contiguous=False
            )


def test_scanimage_says_channels_planes_and_times(tmp_path: Path) -> None:
    scanimage(tmp_path / "a.tif", 6)
    array, meta = read(tmp_path / "a.tif")
    assert (meta.axes, array.shape, meta.channel_names) == ("TCYX", (3, 2, 16, 16), ("red", "far"))
    assert meta.scale == pytest.approx((1 / 30, 1, 10, 10))
    scanimage(tmp_path / "s.tif", 6, **{"SI.hStackManager.framesPerSlice": 10})
    with pytest.warns(ReadWarning, match="10 frames were planned, and 3 are there"):
        assert read(tmp_path / "s.tif")[0].shape == (3, 2, 16, 16)
    settings = {"SI.hStackManager.enable": "true", "SI.hStackManager.numVolumes": 2}
    settings |= {"SI.hStackManager.numFramesPerVolume": 3, "SI.hRoiManager.scanVolumeRate": 2}
    settings |= {"SI.hStackManager.stackZStepSize": 5}
    scanimage(tmp_path / "v.tif", 13, **settings)
    with pytest.warns(ReadWarning, match="its last 1 frames are no whole"):
        array, meta = read(tmp_path / "v.tif")
    assert (meta.axes, array.shape) == ("TZCYX", (2, 3, 2, 16, 16))
    assert meta.scale == pytest.approx((0.5, 5, 1, 10, 10))
    np.testing.assert_array_equal(array[1, 2, 1], plane(11))


def test_an_unfinished_ome_tiff_opens_with_what_is_there(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCTZ" Type="uint16" SizeX="16" '
        'SizeY="16" SizeC="2" SizeZ="1" SizeT="10">%s</Pixels></Image></OME>'
    )
    data = "".join(
        f'<TiffData IFD="{2 * t + c}" FirstT="{t}" FirstC="{c}" PlaneCount="1"/>'
        for t in range(10)
        for c in range(2)
    )
    for name, tiff_data in (("each", data), ("all", "<TiffData/>")):
        path = tmp_path / f"{name}.ome.tif"
        with tifffile.TiffWriter(path) as tif:
            for n in range(13):  # the seventh time point lacks its second channel
                text = xml % tiff_data if not n else None
                tif.write(plane(n), description=text, metadata=None, contiguous=False)
        with pytest.warns(ReadWarning, match="10 time points, but numbers 7-10 are not there"):
            array, meta = read(path)
        assert (meta.axes, array.shape) == ("TCYX", (6, 2, 16, 16))
        np.testing.assert_array_equal(array[5, 1], plane(11))


def test_an_unfinished_stack_with_a_shape_in_its_header_opens(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for n in range(6):
            text = None if n else '{"shape": [10, 16, 16], "axes": "ZYX"}'
            tif.write(plane(n), description=text, metadata=None, contiguous=False)
    with pytest.warns(ReadWarning, match="10 planes, but numbers 7-10 are not there"):
        array, meta = read(tmp_path / "a.tif")
    assert (meta.axes, array.shape) == ("ZYX", (6, 16, 16))
    np.testing.assert_array_equal(array[5], plane(5))


def test_an_unfinished_imagej_stack_opens_with_what_is_there(tmp_path: Path) -> None:
    head = "ImageJ=1.53t\nimages=10\nframes=10\nhyperstack=true\nunit=um\nfinterval=2.0\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for n in range(6):
            tif.write(
                plane(n),
                description=None if n else head,
                metadata=None,
                contiguous=False,
                resolution=(4, 4),
                resolutionunit="NONE",
            )
    with pytest.warns(ReadWarning, match="10 time points, but numbers 7-10 are not there"):
        array, meta = read(tmp_path / "a.tif")
    assert (meta.axes, array.shape) == ("TYX", (6, 16, 16))
    assert meta.scale == (2.0, 0.25, 0.25)
