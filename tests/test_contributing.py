"""What CONTRIBUTING says can be done as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from napari_denoise.io import formats, inputs

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MODULE, TEST = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The functions of the example's test, with its two lines carried out."""
    module: dict[str, object] = {}
    exec(MODULE, module)  # noqa: S102 - our own
    reader = module["read_pgm"]
    suffixes = re.search(r"^FRAME_SUFFIXES = (.*)$", TEXT, re.MULTILINE)
    assert suffixes and '".pgm": lambda path: {"color": read_pgm(path)},' in TEXT
    frames = tuple(re.findall(r'"(\.\w+)"', suffixes[1]))
    assert frames == (*inputs.FRAME_SUFFIXES, ".pgm")
    monkeypatch.setattr(inputs, "FRAME_SUFFIXES", frames)
    monkeypatch.setattr(inputs, "SUFFIXES", (*inputs.SUFFIXES, ".pgm"))
    monkeypatch.setitem(formats.FRAME_READERS, ".pgm", lambda path: {"color": reader(path)})
    tests: dict[str, object] = {}
    exec(TEST, tests)  # noqa: S102
    return tests


def test_the_example_of_a_file_format_works(example, tmp_path):
    for number, (dtype, largest) in enumerate([("u1", 255), (">u2", 4095)]):
        (folder := tmp_path / f"{number}").mkdir()
        example["test_gray_of_8_and_16_bit_is_read"](folder, dtype, largest)
    for data in (b"", b"P5\n7 6\n255\n123", b"P2\n1 1\n255\n0\n"):
        example["test_a_file_that_is_not_whole_is_named"](tmp_path, data)


def test_the_places_to_add_something_are_there():
    table = TEXT.partition("## Where to add")[2].partition("## An example")[0]
    places = [place for place in re.findall(r"`([\w./]+)`", table) if "/" in place]
    assert len(places) > 15
    for place in places:
        roots = (ROOT, ROOT / "src/napari_denoise")
        assert any((root / place).exists() for root in roots), place


def test_the_commands_of_make_are_there():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in set(re.findall(r"`make ([\w-]+)", TEXT)):
        assert name in targets
