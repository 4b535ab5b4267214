from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_denoise.io.errors import FileError, ReadWarning
from napari_denoise.io.inputs import expand, find_sequences
from napari_denoise.io.read import read


def frames(folder: Path, *names: str, size: int = 6) -> None:
    for i, name in enumerate(names):
        tifffile.imwrite(folder / name, np.full((size, 8), i, "uint8"))


def inputs(folder: Path) -> dict[str, int]:
    return {entry.pattern.name: len(entry.files) for entry in find_sequences(folder)}


def test_single_planes_with_equal_stem_and_running_number_are_one_stack(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif", "a_2.tif", "a_10.tif", "b_1.tif", "note.tif", "a_1x.tif")
    assert inputs(tmp_path) == {"a_#.tif": 3, "b_1.tif": 1, "note.tif": 1, "a_1x.tif": 1}


def test_stacks_with_numbers_stay_apart(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(tmp_path / f"stack_{number}.tif", np.zeros((5, 6, 8), "uint8"))
    assert inputs(tmp_path) == {f"stack_{number}.tif": 1 for number in range(3)}


def test_a_stack_among_planes_stands_alone(tmp_path: Path) -> None:
    frames(tmp_path, "s_1.tif", "s_2.tif")
    tifffile.imwrite(tmp_path / "s_3.tif", np.zeros((5, 6, 8), "uint8"), imagej=True)
    assert inputs(tmp_path) == {"s_#.tif": 2, "s_3.tif": 1}


def test_ome_suffix_is_not_part_of_the_stem(tmp_path: Path) -> None:
    frames(tmp_path, "t_01.ome.tif", "t_02.ome.tif", "t_01.tif")
    assert inputs(tmp_path) == {"t_##.ome.tif": 2, "t_01.tif": 1}


def test_the_same_number_twice_is_no_sequence(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif", "a_01.tif")
    assert inputs(tmp_path) == {"a_1.tif": 1, "a_01.tif": 1}


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames(tmp_path, *(f"f{i}.tif" for i in range(12)))
    array, meta = read(tmp_path)
    assert array[:, 0, 0].tolist() == list(range(12))
    assert (meta.axes, meta.name) == ("TYX", "f")


def test_a_gap_leaves_one_stack_and_is_told(tmp_path: Path) -> None:
    frames(tmp_path, "f_08.tif", "f_09.tif", "f_12.tif")
    with pytest.warns(ReadWarning, match=r"f_##\.tif: frames 10-11 are missing"):
        array, meta = read(tmp_path / "f_*.tif")
    assert array.shape == (3, 6, 8)
    assert meta.extra["gaps"] == [10, 11]


def test_two_sequences_in_a_folder_are_both_named(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif", "a_2.tif", "b_1.tif", "b_2.tif")
    with pytest.raises(FileError, match=r"2 separate inputs, .*'a_#\.tif' and 'b_#\.tif'; name"):
        read(tmp_path)
    assert read(tmp_path / "b_#.tif")[0].shape == (2, 6, 8)
    assert read(tmp_path, sequence=True)[0].shape == (4, 6, 8)


def test_one_file_opens_alone_unless_the_sequence_is_asked_for(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif", "a_2.tif", "a_3.tif")
    assert read(tmp_path / "a_2.tif")[1].axes == "YX"
    assert read(tmp_path / "a_2.tif", sequence=True)[0].shape == (3, 6, 8)
    assert read([tmp_path / "a_3.tif", tmp_path / "a_2.tif"])[0][:, 0, 0].tolist() == [1, 2]
    with pytest.raises(FileError, match="it is one of 3 files"):
        read(tmp_path, sequence=False)


def test_mixed_frame_sizes_name_both_files(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif", "a_2.tif")
    tifffile.imwrite(tmp_path / "a_3.tif", np.zeros((6, 9), "uint8"))
    with pytest.raises(
        FileError, match=r"a_3\.tif: the frame is \(6, 9\) uint8, but a_1\.tif .* \(6, 8\)"
    ):
        read(tmp_path)


def test_a_stack_forced_into_a_sequence_is_refused(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((5, 6, 8), "uint8"))
    with pytest.raises(FileError, match=r"b\.tif: .* not a single plane"):
        read(tmp_path, sequence=True)


def test_nothing_to_read_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    (tmp_path / ".hidden_1.tif").touch()
    with pytest.raises(FileError, match=f"{tmp_path}: the folder holds no image; expected"):
        read(tmp_path)
    with pytest.raises(FileError, match=r"x_\*\.tif: no image matches"):
        read(tmp_path / "x_*.tif")
    with pytest.raises(FileError, match=r"gone\.tif: there is no such file or folder"):
        read(tmp_path / "gone.tif")
    with pytest.raises(FileError, match="the list of files is empty"):
        read([])
    with pytest.raises(FileError, match=r"files that end in '\.txt' are not read; expected"):
        read(tmp_path / "readme.txt")


def test_a_missing_name_hints_at_the_numbered_frames(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif", "a_2.tif")
    with pytest.raises(FileError, match=r"for the numbered frames there pass 'a_####\.tif'"):
        read(tmp_path / "a.tif")


def test_names_with_unicode_spaces_and_brackets_work(tmp_path: Path) -> None:
    folder = tmp_path / "größe [2] 细胞"
    folder.mkdir()
    frames(folder, "bild nr. 1.tif", "bild nr. 2.tif", "x[1].tif")
    assert read(folder / "bild nr. *.tif")[0].shape == (2, 6, 8)
    assert read(folder / "x[1].tif")[1].name == "x[1]"
    assert expand(str(folder / "x[1].tif")) == [folder / "x[1].tif"]


def test_frames_of_different_formats_are_refused(tmp_path: Path) -> None:
    frames(tmp_path, "a_1.tif")
    np.save(tmp_path / "a_2.npy", np.zeros((6, 8)))
    with pytest.raises(FileError, match="different formats"):
        read(tmp_path, sequence=True)
