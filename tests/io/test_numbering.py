"""Numbers in names: which are one stack, along which axes, and which are an input each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.inputs import as_sequence, find_sequences, siblings
from napari_denoise.io.numbering import counters, is_dense
from napari_denoise.io.ranges import ranges_text
from napari_denoise.io.read import read


def frames(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        tifffile.imwrite(folder / name, np.full((6, 8), number, "uint8"))


@pytest.mark.parametrize(
    ("stem", "kinds"),
    [
        ("shot_0012", "#"),
        ("noisy_8spp", ""),
        ("exp_z00_ch01", "ZC"),
        ("Exp_Series003_z00_ch01", "PZC"),
        ("t01_z02_c1", "TZC"),
        ("t01z02c1", "TZC"),
        ("z07", "Z"),
        ("f12", "#"),
        ("s_1", "#"),
        ("frame_0012", "T"),
        ("C0-cells", "C"),
        ("plate_A01_s1_w2", "WPC"),
        ("plate-A-01", "W"),
        ("A01", "W"),
        ("exp_w1DAPI_s3_t10", "CPT"),
        ("img_channel000_position002_time000000007_z000", "CPTZ"),
        ("img_000000004_DAPI_002", "TCZ"),
        ("r01c02f03p04-ch1sk5fk1fl1", "PPPZCT#"),
        ("AB_B03_T0001F002L01A01Z03C02", "WTPZC"),
        ("TSeries_Cycle00001_Ch1_000012.ome", "TC"),
        ("TSeries_Cycle00001_Ch1_000012", "TC#"),
        ("IMG_20260101_101010", "#"),
        ("embryo_XY03_Z012", "PZ"),
        ("myScanCh02_T010", "CT"),
        ("view_0003", "P"),
    ],
)
def test_counters_are_told_by_their_words(stem: str, kinds: str) -> None:
    assert "".join(counter.kind for counter in counters(stem)) == kinds


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["p_A01_s1_w1", "p_A01_s1_w2"], {"p_A01_s1_w#.tif": ("C", (2,))}),
        (["C0-a", "C1-a"], {"C#-a.tif": ("C", (2,))}),
        (["x_s1", "x_s2"], {"x_s1.tif": ("T", ()), "x_s2.tif": ("T", ())}),
        (["x-A-01", "x-A-02"], {"x-A-01.tif": ("T", ()), "x-A-02.tif": ("T", ())}),
        (["e_C01", "e_C02"], {"e_C##.tif": ("C", (2,))}),
        (
            ["e_B01", "e_C01", "e_C02"],
            {"e_B01.tif": ("T", ()), "e_C01.tif": ("T", ()), "e_C02.tif": ("T", ())},
        ),
        (
            [f"e_z{z:02}_ch{c:02}" for z in range(3) for c in range(2)],
            {"e_z##_ch##.tif": ("ZC", (3, 2))},
        ),
        (
            [f"e_s{s}_t{t}_w{w}" for s in (1, 2) for t in (9, 10) for w in (1, 2)],
            {"e_s1_t#_w#.tif": ("TC", (2, 2)), "e_s2_t#_w#.tif": ("TC", (2, 2))},
        ),
        (  # the second channel lacks a plane: each by itself
            ["e_z0_c0", "e_z1_c0", "e_z2_c0", "e_z0_c1", "e_z2_c1"],
            {"e_z#_c0.tif": ("Z", (3,)), "e_z#_c1.tif": ("Z", (2,))},
        ),
        (
            ["c_Cycle01_01", "c_Cycle01_02", "c_Cycle02_01", "c_Cycle02_02"],
            {"c_Cycle##_##.tif": ("TZ", (2, 2))},
        ),
        (
            ["IMG_20260101_101010", "IMG_20260101_105210"],
            dict.fromkeys(("IMG_20260101_101010.tif", "IMG_20260101_105210.tif"), ("T", ())),
        ),
        ([f"f_{n:04}" for n in range(0, 900, 100)], {"f_####.tif": ("T", (9,))}),
    ],
)
def test_stacks_positions_and_channels_are_told_apart(
    tmp_path: Path, names: list[str], found: dict[str, tuple[str, tuple[int, ...]]]
) -> None:
    frames(tmp_path, *(f"{name}.tif" for name in names))
    inputs = find_sequences(tmp_path)
    assert {i.pattern.name: (i.axes, i.shape) for i in inputs} == found
    for entry in inputs:
        assert siblings(entry.files[-1]) == entry
        assert as_sequence(entry.files) == entry


def test_a_grid_of_planes_and_channels_is_one_stack(tmp_path: Path) -> None:
    frames(
        tmp_path,
        *(f"exp_z{z}_w{c + 1}{n}.tif" for z in range(3) for c, n in enumerate(("DAPI", "GFP"))),
    )
    array, meta = read(tmp_path)
    assert (meta.axes, array.shape, meta.name) == ("ZCYX", (3, 2, 6, 8), "exp")
    assert meta.channel_names == ("DAPI", "GFP")
    assert array[:, :, 0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_channels_that_are_not_alike_stay_apart(tmp_path: Path) -> None:
    frames(tmp_path, "a_z0_ch00.tif", "a_z1_ch00.tif")
    for z in range(2):
        tifffile.imwrite(tmp_path / f"a_z{z}_ch01.tif", np.zeros((6, 8, 3), "uint8"))
    found = {i.pattern.name: (i.axes, i.shape) for i in find_sequences(tmp_path)}
    assert found == {"a_z#_ch00.tif": ("Z", (2,)), "a_z#_ch01.tif": ("Z", (2,))}


def test_positions_are_said_to_be_separate(tmp_path: Path) -> None:
    frames(tmp_path, "a_pos0.tif", "a_pos1.tif")
    with pytest.raises(FileError, match=r"2 separate inputs, .*; name one .*sequence=True"):
        read(tmp_path)
    assert read(tmp_path, sequence=True)[0].shape == (2, 6, 8)


def test_missing_frames_are_said_as_ranges(tmp_path: Path) -> None:
    frames(tmp_path, *(f"f_{n}.tif" for n in (1, 2, 3, 10, 11, 13)))
    with pytest.warns(ReadWarning, match=r"f_#\.tif: frames 4-9 and 12 are missing"):
        array, meta = read(tmp_path)
    assert (array.shape[0], meta.extra["gaps"]) == (6, [4, 5, 6, 7, 8, 9, 12])


def test_far_numbers_are_no_stack_and_cost_nothing(tmp_path: Path) -> None:
    assert is_dense([1, 2, 3, 20]) and is_dense([10, 20, 30, 40])
    assert not is_dense([101010, 105210])
    assert not is_dense([1, 2, 10**15])
    assert ranges_text([3]) == "3" and ranges_text(range(0, 40, 2)).endswith("and 13 more ranges")


def test_frames_keep_the_pixel_size_of_their_files(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(
            tmp_path / f"z{number}_a.tif",
            np.zeros((6, 8), "uint16"),
            imagej=True,
            resolution=(4, 4),
            metadata={"unit": "um", "spacing": 1.5},
        )
    _, meta = read(tmp_path)
    assert (meta.axes, meta.scale) == ("ZYX", (1.5, 0.25, 0.25))
    assert meta.units == ("micrometer",) * 3


PRAIRIE = """<?xml version="1.0"?><PVScan version="5.4"><PVStateShard>
<PVStateValue key="framePeriod" value="0.25"/><PVStateValue key="micronsPerPixel">
<IndexedValue index="XAxis" value="1.1"/><IndexedValue index="YAxis" value="1.2"/>
<IndexedValue index="ZAxis" value="5"/></PVStateValue></PVStateShard>
<Sequence type="{kind}" cycle="1">{frames}</Sequence></PVScan>"""


@pytest.mark.parametrize(
    ("kind", "axes", "scale"),
    [("TSeries Timed Element", "TCYX", (0.5, 1, 1.2, 1.1)), ("ZSeries", "ZCYX", (5, 1, 1.2, 1.1))],
)
def test_prairieview_says_what_its_frames_are(
    tmp_path: Path, kind: str, axes: str, scale: tuple[float, ...]
) -> None:
    listed = ""
    for t in range(3):
        files = [f"S_Cycle00001_Ch{c}_{t + 1:06}.ome.tif" for c in (1, 2)]
        frames(tmp_path, *files)
        entries = "".join(
            f'<File channel="{c}" channelName="Red {c}" filename="{file}"/>'
            for c, file in enumerate(files)
        )
        listed += f'<Frame relativeTime="{t * 0.5}" index="{t + 1}">{entries}</Frame>'
    (tmp_path / "S.xml").write_text(PRAIRIE.format(kind=kind, frames=listed))
    for path in (tmp_path, tmp_path / "S.xml"):
        array, meta = read(path)
        assert (meta.axes, array.shape) == (axes, (3, 2, 6, 8))
        assert meta.scale == pytest.approx(scale)
        assert meta.channel_names == ("Red 0", "Red 1")
