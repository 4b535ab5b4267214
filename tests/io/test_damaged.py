"""Damaged and hostile files: one sentence, in no time, in little memory, and never a wrong word."""

from __future__ import annotations

import itertools
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from _fuzz import GOOD, outcomes
from _mutants import SEEDS, TRAINING
from _readers import frames

from _processes import CONTEXT
from napari_denoise.io.errors import FileError, ReadWarning, listening
from napari_denoise.io.inputs import find_sequences, is_single_plane
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write

STACK = np.arange(3 * 24 * 20, dtype=np.uint16).reshape(3, 24, 20)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are handed to a process by number")
def test_mutants_of_every_format_open_or_end_in_one_sentence() -> None:
    kinds = [kind for kind in SEEDS if kind not in TRAINING]
    tried = list(itertools.islice(outcomes(kinds, seed=0), 25 * len(kinds)))
    wrong = [entry for entry in tried if entry[2].split(":")[0] not in GOOD]
    assert not wrong
    # None is all noise, and none is left as it was.
    for kind in kinds:
        found = Counter(entry[2].split(":")[0] for entry in tried if entry[0] == kind)
        assert found["error"] >= 1 or kind.startswith("sidecar")


def test_each_seed_is_a_valid_file(tmp_path: Path) -> None:
    from _opened import judged

    for kind, make in SEEDS.items():
        if kind in TRAINING:
            continue
        folder = tmp_path / kind
        folder.mkdir()
        files = make(folder)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        assert judged([folder / name for name in files]) == "ok", kind


# What a few bytes tell of


def chained(path: Path, back: bool) -> None:
    """Let the last page of a TIFF be followed by its first, or by pages that lie in one another."""
    tifffile.imwrite(path, STACK, metadata=None, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[-1].offset
    (tags,) = struct.unpack_from("<H", data, last)
    if back:
        struct.pack_into("<I", data, last + 2 + 12 * tags, first)
    else:  # an empty page every 2 bytes: the count, and the next
        struct.pack_into("<I", data, last + 2 + 12 * tags, len(data))
        data += b"".join(
            struct.pack("<HI", 0, len(data) + 6 * (n + 1) if n < 5000 else 0) for n in range(5001)
        )
    path.write_bytes(data)


@pytest.mark.parametrize(("back", "words"), [(True, "an earlier one"), (False, "more pages than")])
def test_an_endless_chain_of_pages_is_named(tmp_path: Path, back: bool, words: str) -> None:
    chained(tmp_path / "a.tif", back)
    with pytest.raises(FileError, match=rf"a\.tif: .*{words}"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('SizeT="1"', 'SizeT="100000000"', "tells of 100000000 planes"),
        ('SizeX="20"', 'SizeX="2000000000"', "planes"),
        ('PlaneCount="1"', 'PlaneCount="900000000"', "tells of 900000000 planes"),
        (
            "</OME>",
            '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="a/modulo"><Value><Modulo>'
            '<ModuloAlongT Type="lifetime" Start="0" End="1e12"/></Modulo></Value>'
            "</XMLAnnotation></StructuredAnnotations></OME>",
            "an axis from 0 to 1e.12",
        ),
    ],
)
def test_planes_that_the_file_cannot_hold_are_named(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "f_1.ome.tif"
    tifffile.imwrite(path, STACK[0], metadata={"axes": "YX"}, ome=True)
    xml = tifffile.tiffcomment(path)
    assert old in xml
    tifffile.tiffcomment(path, xml.replace(old, new).encode())
    with pytest.raises(FileError, match=rf"f_1\.ome\.tif: .*({words})"):
        read(path)


def test_some_hundred_planes_that_are_not_there_are_an_acquisition_that_was_stopped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "f_1.ome.tif"
    tifffile.imwrite(path, STACK[0], metadata={"axes": "YX"}, ome=True)
    xml = tifffile.tiffcomment(path).replace('SizeT="1"', 'SizeT="900"')
    tifffile.tiffcomment(path, xml.encode())
    with pytest.warns(ReadWarning, match="numbers 2-900 are not there"):
        stack, _ = read(path)
    assert np.array_equal(np.squeeze(stack), STACK[0])


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma", "jpeg2000"])
def test_an_image_of_one_value_is_believed_however_well_it_is_compressed(
    tmp_path: Path, compression: str
) -> None:
    image = np.zeros((1024, 1024), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], image)


def test_planning_leaves_a_damaged_tiff_to_whoever_reads_it(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(tmp_path / f"f_{number}.tif", STACK[0], metadata=None)
    path = tmp_path / "f_1.tif"
    data = path.read_bytes()
    for end in range(0, len(data) - STACK[0].nbytes, 3):
        path.write_bytes(data[:end])
        assert is_single_plane(path)
    (stack,) = find_sequences(tmp_path)
    assert len(stack.files) == 3
    with pytest.raises(FileError, match=r"f_1\.tif: "):
        read(tmp_path)


def test_headers_of_pictures_are_compared_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.png", STACK[0], ImageMeta("YX"))
    data = bytearray((tmp_path / "a.png").read_bytes())
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(FileError, match=r"a\.png: .*7,200,000,000 bytes of pixels"):
        read(tmp_path / "a.png")


def test_other_chunks_of_a_png_are_nobodys_business(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.png", STACK[0], ImageMeta("YX"))
    data = (tmp_path / "a.png").read_bytes()
    odd = struct.pack(">I4s3sI", 3, b"cHRM", b"odd", 0)  # of another length, and its sum is wrong
    (tmp_path / "a.png").write_bytes(data[:33] + 50 * odd + data[33:])
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0], STACK[0])
    assert capfd.readouterr().err == ""


def test_an_npy_that_tells_of_more_than_it_has_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK)
    data = (tmp_path / "a.npy").read_bytes().replace(b"(3, 24, 20), }", b"(3, 24, 2**60)}")
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(FileError, match=r"a\.npy: it is not a whole NPY file of numbers"):
        read(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(data.replace(b"2**60)}", b"20000)}"))
    with pytest.raises(FileError, match=r"a\.npy: .*its header tells of 2,880,000 bytes"):
        read(tmp_path / "a.npy")


# Files that change while they are read


@pytest.mark.parametrize("name", ["a.npy", "a.ome.tif"])
def test_a_file_cut_off_while_it_is_read_is_an_error_and_not_the_end(
    tmp_path: Path, name: str
) -> None:
    path, stack = tmp_path / name, np.ones((6, 300, 200), np.uint16)
    write(path, stack, ImageMeta("TYX"))
    test, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=frames, args=(path, theirs))
    process.start()
    test.send("next")
    assert test.recv() == 300 * 200
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)
    answers = []
    for _ in range(5):
        test.send("next")
        answers.append(test.recv())
    process.join(60)
    assert process.exitcode == 0
    assert answers[0] == 300 * 200
    assert f"FileError {path}: it has" in answers[-1] and "cut off" in answers[-1]


# What a sidecar says


def beside(path: Path, text: str) -> list[str]:
    """Read an image with that in the place of its sidecar, and return what is said."""
    path.with_name(f"{path.name}.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with listening() as said:
        read(path)
    return said


@pytest.mark.parametrize(
    "field",
    [
        '"scale": [Infinity, 1.0, 1.0]',
        '"scale": [0, 1.0, 1.0]',
        '"scale": "111"',
        '"scale": [1.0]',
        '"units": [5, null, null]',
        '"contrast_limits": [[5.0, 5.0]]',
        '"contrast_limits": [[NaN, 5.0]]',
        '"channel_names": ["a", "b"]',
        '"channel_names": ["\\u001b[2J"]',
        '"channel_colors": ["#00112"]',
        '"gamma": true',
        '"gamma": 0',
        '"extra": [1]',
        '"extra": {"significant_bits": "8"}',
    ],
)
def test_a_word_of_a_sidecar_that_cannot_be_true_is_dropped_and_said(
    tmp_path: Path, field: str
) -> None:
    np.save(tmp_path / "a.npy", STACK)
    good = '"axes": "ZYX", "shape": [3, 24, 20]'
    said = beside(tmp_path / "a.npy", f'{{"napari_denoise_sidecar": 1, {good}, {field}}}')
    name = field.split('"')[3 if "significant" in field else 1]
    assert len(said) == 1 and "left out of its metadata: " in said[0] and "a.npy" in said[0]
    assert name in said[0] and len(said[0]) < 500
    with pytest.warns(ReadWarning):
        meta = read(tmp_path / "a.npy")[1]
    assert meta.axes == "ZYX" and meta.scale == (1.0, 1.0, 1.0) and meta.gamma == 1.0
    assert not (
        meta.channel_names or meta.channel_colors or meta.contrast_limits or any(meta.units)
    )
    assert set(meta.extra) == {"format"}


@pytest.mark.parametrize(
    "text",
    [
        '{"napari_denoise_sidecar": 1, "extra": ' + "[" * 100_000,
        '{"napari_denoise_sidecar": 1, "gamma": ' + "9" * 5000 + "}",
        '{"napari_denoise_sidecar": 1',
        '{"napari_denoise_sidecar": 1, "axes": 7}',
        '{"napari_denoise_sidecar": 1, "axes": "ZZZ", "shape": [3, 24, 20]}',
    ],
)
def test_a_sidecar_that_cannot_be_used_is_ignored_and_said(tmp_path: Path, text: str) -> None:
    np.save(tmp_path / "a.npy", STACK)
    (said,) = beside(tmp_path / "a.npy", text)
    assert "the sidecar is ignored" in said and "a.npy" in said and len(said) < 500


def test_json_of_others_is_nobodys_business_however_broken(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK)
    assert beside(tmp_path / "a.npy", "{" * 50) == []


def test_a_sidecar_does_not_speak_for_the_reader(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STACK)
    extra = '{"format": "exr", "numbers": [1, 2, 3], "mine": 1}'
    assert beside(tmp_path / "a.npy", f'{{"napari_denoise_sidecar": 1, "extra": {extra}}}') == []
    assert read(tmp_path / "a.npy")[1].extra == {"format": "npy", "mine": 1}


def test_a_step_of_a_tiff_that_cannot_be_true_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    scale = (2.0, 0.5, 0.25)
    write(path, STACK, ImageMeta("ZYX", scale=scale, units=("micrometer",) * 3))
    xml = tifffile.tiffcomment(path)
    tifffile.tiffcomment(path, xml.replace('SizeY="0.5"', 'SizeY="inf"').encode())
    with pytest.warns(ReadWarning, match=r"a\.ome\.tif: left out .*the step along Y = inf"):
        meta = read(path)[1]
    assert meta.scale == (2.0, 1.0, 0.25)
    assert meta.units == ("micrometer", None, "micrometer")


def test_the_lines_of_a_library_about_one_file_are_few(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    tags = [(65000 + n, "s", 0, "\x1b[31m", True) for n in range(40)]
    tifffile.imwrite(path, STACK[0], extratags=tags, metadata=None)
    data = path.read_bytes()
    for code, *_ in tags:  # of a data type that is none
        data = data.replace(struct.pack("<HH", code, 2), struct.pack("<HH", code, 99))
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path)[0], STACK[0])
    assert 1 <= len(caplog.records) <= 5
    assert not any("\x1b" in record.getMessage() for record in caplog.records)
