"""What a hand meets: completion, folders of all sorts, earlier results, links, pipes, Ctrl+C."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_denoise import ImageMeta, write
from napari_denoise.cli import app
from napari_denoise.io.atomic import not_written
from napari_denoise.io.errors import NotWritten

RUNNER = CliRunner()


def call(*words: object) -> tuple[int, str]:
    """Run a command; return the exit code and all that it printed, unwrapped."""
    done = RUNNER.invoke(app, [str(word) for word in words])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a damaged one, and one in a subfolder."""
    rng = np.random.default_rng(0)
    for name in ("a.tif", "b.tif", "sub/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name, rng.poisson(40, (48, 64)).astype(np.uint16))
    return tmp_path


# --- completion -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("denoise -w mi", ["microscopy"]),
        ("batch --device c", ["cpu", "cuda"]),
        ("denoise --mapping a", ["auto", "affine", "anscombe"]),
        ("denoise --format p", ["png"]),
        ("denoise --precision b", ["bfloat16"]),
    ],
)
def test_the_shell_completes_values(line: str, expected: list[str]) -> None:
    words = f"napari-denoise {line}"
    env = {"_NAPARI_DENOISE_COMPLETE": "complete_bash", "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    done = RUNNER.invoke(app, [], prog_name="napari-denoise", env=env)
    assert done.output.split() == expected


def test_files_of_weights_are_completed_too(tmp_path: Path) -> None:
    from napari_denoise.cli import completion

    (tmp_path / "mine.safetensors").touch()
    (tmp_path / "mine.txt").touch()
    (tmp_path / "minor").mkdir()
    found = [value for value, _ in completion.weights(f"{tmp_path}/min")]
    assert found == [f"{tmp_path}/mine.safetensors", f"{tmp_path}/minor/"]


# --- folders ----------------------------------------------------------------------------


def test_info_of_a_folder_shows_the_good_files_and_fails_at_the_end(folder: Path) -> None:
    (folder / "bad.tif").write_bytes(b"nope")
    code, text = call("info", folder)
    assert code == 1 and text.count("noise") >= 2
    assert "bad.tif: it is not a whole TIFF" in text
    assert text.endswith("1 of 3 inputs cannot be read")
    assert call("info", folder / "bad.tif")[0] == 2


@pytest.mark.parametrize("command", ["info", "denoise", "batch"])
def test_a_folder_of_folders_names_the_option_that_the_command_has(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "in/below").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "in/below/a.tif", np.ones((8, 8), np.uint16))
    output = [] if command == "info" else ["-o", tmp_path / "out"]
    code, text = call(command, tmp_path / "in", *output)
    assert code == 2 and "1 folder" in text and "--recursive" in text
    assert "--recursive" in call(command, "--help")[1]


def test_denoise_skips_what_is_there_and_takes_no_result_for_an_input(folder: Path) -> None:
    words = ["denoise", folder, "-r", "-n", "5", "-d", "cpu", "--neighbors", "0"]
    code, text = call(*words, "-o", folder / "out")
    assert code == 0 and (folder / "out/sub/c.tif").exists()
    for name in ("a.tif", "a.tif.json"):
        (folder / "out" / name).unlink()
    code, text = call(*words, "-o", folder / "out", "--skip-existing")
    assert code == 0, text
    assert "2 results of denoising were left out" in text
    assert "skipped 2 of 3" in text and (folder / "out/a.tif").exists()
    (folder / "out/b.tif").write_bytes(b"cut off")
    code, text = call(*words[:-2], "-o", folder / "out", "--skip-existing")
    assert code == 2 and "b.tif: it is there and cannot be read" in text
    assert call(*words, "-o", folder / "x", "--skip-existing", "--overwrite")[0] == 2


def test_info_names_what_each_channel_was_denoised_with(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).poisson(30, (2, 48, 64)).astype(np.uint16)
    note = {"weights": "microscopy", "version": "0.2", "time": "2026-01-01T00:00:00+00:00"}
    meta = ImageMeta("CYX", channel_names=("DNA", "actin"), extra={"napari_denoise": [note, None]})
    write(tmp_path / "two.ome.tif", pixels, meta)
    _, text = call("info", tmp_path / "two.ome.tif")
    assert "DNA: already: microscopy" in text and "actin: not denoised" in text


# --- what stands in the way -------------------------------------------------------------


@pytest.mark.parametrize("command", ["info", "denoise", "batch"])
def test_links_and_pipes_in_place_of_an_input_are_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "gone.tif").symlink_to(tmp_path / "away.tif")
    os.mkfifo(tmp_path / "pipe.tif")
    output = [] if command == "info" else ["-o", tmp_path / "out"]
    for name, rule in (
        ("one", "leads back to itself"),
        ("one/a.tif", "leads back to itself"),
        ("gone.tif", "it is a link to"),
        ("pipe.tif", "but a pipe"),
        ("x" * 300, "too long"),
    ):
        code, text = call(command, tmp_path / name, *output)
        assert code == 2 and rule in text, (name, text)


@pytest.mark.parametrize("command", ["denoise", "batch"])
def test_places_that_no_result_can_have_are_refused_before_any_work(
    folder: Path, command: str
) -> None:
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    for place, rule in (
        (folder / "one" / "out", "leads back to itself"),
        (folder / ("x" * 300), "bytes long"),
        (folder / ("x" * 300) / "out", "bytes long"),
    ):
        code, text = call(command, folder / "a.tif", "-o", place)
        assert code == 2 and rule in text, text
        assert "free some space" not in text and "Traceback" not in text


def test_a_home_that_is_a_file_is_said_where_it_matters(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    with pytest.raises(NotWritten, match="a file stands where a folder is needed"):
        with not_written(tmp_path / "home/weights/x.json"):
            (tmp_path / "home/weights/x.json").write_text("")


def test_ctrl_c_while_commands_are_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from napari_denoise.cli.start import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "interrupted.py", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 130
    assert done.stderr == "error: interrupted; nothing was done\n" and done.stdout == ""
