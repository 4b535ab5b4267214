"""The commands: what they print, what they leave on the disk, how they end."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.cli import app
from napari_denoise.cli.console import reporting
from napari_denoise.cli.options import parse_noise
from napari_denoise.image.metrics import psnr
from napari_denoise.inference.denoiser import Denoiser
from napari_denoise.io.atomic import replacing
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.training.loop.logs import RunLog

COMMAND = [sys.executable, "-m", "napari_denoise.cli"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def photons(*shape):
    return (100 + 4 * np.random.default_rng(0).poisson(30, shape)).astype(np.uint16)


def save(path, array, axes, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, array, ImageMeta(axes, **fields))
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def visible_and_hidden(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# The program itself


def test_version_help_and_info_need_neither_torch_nor_napari(tmp_path):
    code = (
        "import sys, napari_denoise.cli\n"
        "from typer.testing import CliRunner\n"
        "for words in (['--version'], ['--help'], ['denoise', '--help'], ['info', sys.argv[1]]):\n"
        "    result = CliRunner().invoke(napari_denoise.cli.app, words)\n"
        "    assert result.exit_code == 0, result.output\n"
        "    loaded = [name for name in ('torch', 'napari', 'qtpy') if name in sys.modules]\n"
        "    assert not loaded, (words, loaded)\n"
        "print(result.output)"
    )
    source = save(tmp_path / "cells.ome.tif", photons(3, 64, 64), "TYX")
    command = [sys.executable, "-c", code, source]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "sigma" in shown.stdout


def test_every_command_explains_itself():
    commands = ["denoise", "info", "metrics", "demo", "train", "weights", "weights list"]
    for command in commands:
        result = run(*command.split(), "--help")
        assert result.exit_code == 0
        assert "Usage: napari-denoise" in result.output or "Usage: root" in result.output


# denoise


def test_denoise_writes_what_python_computes(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(2, 24, 40), "TYX")
    target = tmp_path / "clean.ome.tif"
    result = run(
        "denoise",
        source,
        "-o",
        target,
        "-w",
        tiny,
        "--tile",
        16,
        "--strength",
        0.5,
        "--neighbors",
        1,
    )
    assert result.exit_code == 0, result.output
    expected = Denoiser.load(str(tiny))(read(source)[0], "TYX", tile=16, strength=0.5, neighbors=1)
    np.testing.assert_array_equal(read(target)[0], expected)
    assert "raw.ome.tif -> " in result.stdout
    assert "2 frames" in result.stdout


def test_every_setting_reaches_the_engine(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    target = tmp_path / "clean.ome.tif"
    options = (
        "--noise gain=4,offset=100,read_noise=2 --strength 0.7 --realism 0 --tile 32 "
        "--mapping anscombe --intensity-range 90 400 --engine torch --precision float32 "
        "--device cpu --axes YX"
    )
    result = run("denoise", source, "-o", target, "-w", tiny, *options.split())
    assert result.exit_code == 0, result.output
    settings = read(target)[1].extra["napari_denoise"]["settings"]
    assert settings["noise"] == {
        "gain": 4.0,
        "offset": 100.0,
        "read_noise": 2.0,
        "correlation_y": [0.0, 0.0],
        "correlation_x": [0.0, 0.0],
        "skewness": 1.0,
        "inverted": False,
    }
    assert settings == settings | {
        "strength": 0.7,
        "tile": 32,
        "mapping": "anscombe",
        "intensity_range": [90.0, 400.0],
        "precision": "float32",
        "device": "cpu",
    }


def test_the_result_may_be_float32_where_its_format_holds_it(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(2, 24, 40), "TYX")
    options = ("-w", tiny, "--dtype", "float32", "--neighbors", "0")
    target = tmp_path / "clean.ome.tif"
    assert run("denoise", source, "-o", target, *options).exit_code == 0
    found, meta = read(target)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(
        found, Denoiser.load(str(tiny))(read(source)[0], "TYX", dtype="float32", neighbors=0)
    )
    assert meta.extra["napari_denoise"]["settings"]["dtype"] == "float32"
    refused = run("denoise", source, "-o", tmp_path / "clean_####.png", *options)
    assert refused.exit_code == 2
    assert "PNG holds 8 or 16 bit integers, not float32" in refused.stderr
    wrong = run("denoise", source, "-o", tmp_path / "x.tif", "--dtype", "uint8")
    assert "--dtype uint8: expected same or float32" in wrong.stderr


def test_what_is_to_be_known_of_a_result_is_said_once(tmp_path, tiny, recwarn):
    stack = photons(2, 24, 40).astype(np.float32)
    stack[0, 3, 4] = np.nan
    source = save(tmp_path / "raw.ome.tif", stack, "TYX")
    result = run("denoise", source, "-o", tmp_path / "clean.ome.tif", "-w", tiny)
    assert result.exit_code == 0
    assert " ".join(result.stderr.split()).count("1 pixel was NaN or infinite") == 1
    assert not recwarn.list


def test_info_and_denoise_agree_on_the_weights_of_a_dim_render(tmp_path):
    light = np.random.default_rng(0).gamma(3, 0.03, (24, 32, 1)) * np.ones(3)
    source = save(tmp_path / "dim.exr", light.astype(np.float32), "YXS")
    (told,) = json.loads(run("info", source, "--json").stdout)
    done = run("denoise", source, "-o", tmp_path / "clean.exr")
    assert (told["weights"], told["linear_light"]) == ("render", True)
    assert "weights render" in " ".join(done.stdout.split())
    assert f"sigma {told['noise'][0]['read_noise']:.3g}" in " ".join(done.stdout.split())


def test_axes_correct_what_the_file_says(tmp_path, tiny):
    source = tmp_path / "raw.npy"
    np.save(source, photons(2, 24, 40))
    result = run("denoise", source, "-o", tmp_path / "clean.npy", "-w", tiny, "--axes", "CYX")
    assert result.exit_code == 0, result.output
    assert len(read(tmp_path / "clean.npy")[1].extra["napari_denoise"]["channels"]) == 2


def test_a_failed_file_is_one_line_and_the_others_go_on(tmp_path, tiny):
    for name in "abc":
        save(tmp_path / f"raw/{name}.ome.tif", photons(24, 40), "YX")
    broken = tmp_path / "raw/b.ome.tif"
    broken.write_bytes(broken.read_bytes()[:500])
    result = run("denoise", tmp_path / "raw", "-o", tmp_path / "out", "-w", tiny)
    assert result.exit_code == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert "b.ome.tif" in lines[0]
    assert lines[1] == "1 of 3 inputs failed"
    done = [n for n in visible_and_hidden(tmp_path / "out") if n.endswith(".tif")]
    assert done == ["a.ome.tif", "c.ome.tif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mapping", "cubic"], "--mapping cubic: expected auto, affine, anscombe or log"),
        (["--tile", "8"], "--tile 8: expected auto, or a whole number of pixels, 16 or more"),
        (["--strength", "7"], "--strength 7: expected a number from 0 (changes nothing) to 1"),
        (["--realism", "-1"], "--realism -1: expected a number from 0 (faithful"),
        (["--noise", "-3"], "noise '-3': a standard deviation (sigma) of -3.0; expected"),
        (["--noise", "1e40"], "--noise 1e+40: expected auto, a standard"),
        (["--noise", "gain=-1"], "--noise: gain -1.0 of the noise: expected 0 to "),
        (["--noise", "gian=3"], "a noise model has no 'gian'; it has gain, offset"),
        (["--noise", "3,5"], "noise gives 2 values but the data has 1 channels"),
        (["--axes", "TYX"], "axes 'TYX' name 3 axes but the data has 2 dimensions"),
        (["--axes", "QX"], "axes 'QX' hold ['Q']"),
        (["--device", "abacus"], "device 'abacus' is not available"),
        (["--intensity-range", "9", "3"], "--intensity-range 9 3: expected two numbers, LOW"),
        (["--realism", "1"], "have no realistic end"),
        (["-w", "nothing"], "no weights are called 'nothing'"),
    ],
)
def test_bad_options_are_one_message_and_code_2(tmp_path, tiny, options, message):
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    target = tmp_path / "clean.ome.tif"
    result = run("denoise", source, "-o", target, "-w", tiny, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Input should" not in result.stderr
    assert "Traceback" not in result.output
    assert not target.exists()


def test_every_bad_option_has_its_line(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    bad = ("--strength", "7", "--tile", "3")
    result = run("denoise", source, "-o", tmp_path / "x.ome.tif", "-w", tiny, *bad)
    lines = result.stderr.strip().splitlines()
    assert [line.split(":")[-2].strip() for line in lines] == ["--strength 7", "--tile 3"]


def test_bad_input_is_one_message_and_code_2(tmp_path, tiny):
    np.save(tmp_path / "mask.npy", np.zeros((8, 8), bool))
    (tmp_path / "empty").mkdir()
    for source, message in [
        (tmp_path / "missing.tif", "there is no such file"),
        (tmp_path / "empty", "holds no image"),
        (tmp_path / "mask.npy", "boolean"),
    ]:
        result = run("denoise", source, "-o", tmp_path / "out" / "x.npy", "-w", tiny)
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1
        assert source.name in result.stderr
        assert message in result.stderr


def test_a_missing_input_is_one_line_and_the_others_go_on(tmp_path, tiny):
    there = save(tmp_path / "raw/a.ome.tif", photons(24, 40), "YX")
    gone = tmp_path / "raw/gone.ome.tif"
    out = ("-o", tmp_path / "out", "-w", tiny)
    result = run("denoise", gone, there, *out)
    assert result.exit_code == 1
    first, last = result.stderr.strip().splitlines()
    assert first.startswith("error: ") and "gone.ome.tif: there is no such file" in first
    assert last == "1 of 2 inputs failed"
    assert "a.ome.tif -> " in result.stdout
    assert "a.ome.tif" in visible_and_hidden(tmp_path / "out")


def test_no_input_at_all_or_a_stack_with_a_gap_is_code_2(tmp_path, tiny):
    there = save(tmp_path / "raw/a.ome.tif", photons(24, 40), "YX")
    gone = [tmp_path / "raw/b.ome.tif", tmp_path / "raw/c.ome.tif"]
    out = ("-o", tmp_path / "out", "-w", tiny)
    for arguments in (gone, [there, gone[0], "--sequence"]):
        result = run("denoise", *arguments, *out)
        assert result.exit_code == 2
        assert "b.ome.tif: there is no such file or folder; check the spelling" in result.stderr
        assert not (tmp_path / "out").exists()


def test_frames_that_were_written_are_named(tmp_path, tiny):
    np.save(tmp_path / "raw.npy", photons(3, 24, 40))
    result = run("denoise", tmp_path / "raw.npy", "-o", tmp_path / "clean.png", "-w", tiny)
    assert result.exit_code == 0, result.output
    assert "clean_0000.png to clean_0002.png: 3 frames" in result.stdout


def test_a_gain_without_an_offset_says_which_one_is_assumed(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    arguments = ("denoise", source, "-o", tmp_path / "clean.ome.tif", "-w", tiny, "--overwrite")
    result = run(*arguments, "--noise", "gain=2")
    assert result.exit_code == 0, result.output
    assert "warning: --noise gain=2: no offset is given, so 0 is assumed" in result.stderr
    for noise in ("gain=2,offset=0", "read_noise=2", "12.5", "auto"):
        assert "offset is given" not in run(*arguments, "--noise", noise).stderr


def test_debug_shows_where_it_failed(tmp_path, tiny):
    result = run("denoise", tmp_path / "missing.tif", "-o", tmp_path / "x.tif", "--debug")
    assert result.exception is not None
    assert "no such file" in str(result.exception)


def test_an_existing_result_is_refused_before_computing(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    target = tmp_path / "clean.ome.tif"
    target.write_bytes(b"precious")
    arguments = ("denoise", source, "-o", target, "-w", tiny)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "it exists already" in result.stderr
    assert "--overwrite" in result.stderr
    assert target.read_bytes() == b"precious"
    assert run(*arguments, "--overwrite").exit_code == 0
    assert read(target)[0].shape == (24, 40)


def test_existing_frames_are_refused_before_computing(tmp_path, tiny):
    source = tmp_path / "raw.npy"
    np.save(source, photons(3, 24, 40))
    frames = write(tmp_path / "clean_##.png", photons(3, 24, 40), ImageMeta("TYX"))
    before = {file: file.read_bytes() for file in frames}
    for target in ("clean_##.png", "clean_####.png"):
        result = run("denoise", source, "-o", tmp_path / target, "-w", tiny)
        assert result.exit_code == 2
        (line,) = result.stderr.strip().splitlines()
        assert "clean_00.png: it exists already, as do 2 others" in line
        assert "pass --overwrite" in line
    assert {file: file.read_bytes() for file in frames} == before
    again = ("denoise", source, "-o", tmp_path / "clean_##.png", "-w", tiny, "--overwrite")
    assert run(*again).exit_code == 0
    assert {file: file.read_bytes() for file in frames} != before


def test_a_refusal_that_comes_late_names_the_option_too(tmp_path, tiny):
    source = tmp_path / "raw.npy"  # tells of its frames only when it is read
    np.save(source, photons(3, 24, 40))
    write(tmp_path / "clean.png", photons(3, 24, 40), ImageMeta("TYX"))
    result = run("denoise", source, "-o", tmp_path / "clean.png", "-w", tiny)
    assert result.exit_code == 2
    assert "clean_0000.png: it exists already" in result.stderr
    assert "pass --overwrite" in result.stderr


def test_data_without_noise_are_returned_with_a_warning(tmp_path, tiny):
    flat = np.full((24, 40), 7, np.uint16)
    source = save(tmp_path / "flat.ome.tif", flat, "YX")
    result = run("denoise", source, "-o", tmp_path / "clean.ome.tif", "-w", tiny)
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "flat.ome.tif: no noise was found in the data: it is returned as it is" in result.stderr
    np.testing.assert_array_equal(read(tmp_path / "clean.ome.tif")[0], flat)


def test_quiet_says_nothing(tmp_path, tiny):
    source = save(tmp_path / "raw.ome.tif", photons(24, 40), "YX")
    result = run("denoise", source, "-o", tmp_path / "clean.ome.tif", "-w", tiny, "-q")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("auto", "auto"),
        ("12.5", 12.5),
        ("3, 5,auto", (3.0, 5.0, "auto")),
        ("gain=2,offset=100", {"gain": 2.0, "offset": 100.0}),
        ("auto;gain=2,correlation_x=0.3/0.1", ("auto", {"gain": 2.0, "correlation_x": (0.3, 0.1)})),
        ('[1, {"gain": 2}]', (1.0, {"gain": 2})),
        ("gain=2,offset=300,inverted=1", {"gain": 2.0, "offset": 300.0, "inverted": True}),
        ('{"gain": 2, "inverted": false}', {"gain": 2, "inverted": False}),
        ("gain=2,correlation_y=0.6/0.2/0.1", {"gain": 2.0, "correlation_y": (0.6, 0.2, 0.1)}),
        ('{"correlation_x": [0.5, 0.3, 0.2, 0.1]}', {"correlation_x": [0.5, 0.3, 0.2, 0.1]}),
    ],
)
def test_noise_is_written_as_people_and_programs_would(text, value):
    assert parse_noise(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"gain": 1, "gain": 2}', "it gives gain twice"),
        ("gain=1,gain=2", "it gives gain twice"),
        ("[[1, 2]]", r"\[1, 2\] is not understood"),
        ('{"gain": [1]}', r"gain is \[1\]; expected a number"),
        ('{"gain": "2"}', "gain is '2'; expected a number"),
        ("gain=2,inverted=2", "inverted is 2.0; expected 1 or 0"),
        ('{"correlation_x": 0.3}', "correlation_x is 0.3; expected two numbers"),
        ("gain=1/2", r"gain is \(1.0, 2.0\); expected a number"),
        ('[1, {"sigma": 2}]', "has no 'sigma'; it has gain, offset"),
        ("{}", "a noise model is empty"),
        ("[]", "is empty; expected auto, a standard deviation"),
        ("[true]", "True is not understood"),
        ('{"gain": 1', "is not valid JSON"),
    ],
)
def test_odd_noise_is_one_clear_error(text, message):
    with pytest.raises(ValueError, match=rf"^noise .*{message}") as error:
        parse_noise(text)
    assert "\n" not in str(error.value)
    assert text in str(error.value)


# As a process: signals and half files


@pytest.fixture
def long_job(tmp_path, tiny):
    """Start a denoising that takes far longer than any test, and wait until it writes."""
    started = []

    def start(*first):
        """Denoise these short files, then the long one."""
        source = save(tmp_path / "raw.npy", photons(300, 96, 96), "TYX")
        out = tmp_path / "out"
        inputs = [*first, source]
        command = [*COMMAND, "denoise", *inputs, "-o", f"{out}/", "-w", tiny, "--tile", "16"]
        command += ["--neighbors", "0"]  # of mere noise there are none, which would be said
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        while not any(name.startswith(".raw.npy.") for name in visible_and_hidden(out)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return process, out

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupted_run_leaves_no_file_at_all(long_job):
    process, out = long_job()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no half file was left" in errors
    assert "Traceback" not in errors
    assert visible_and_hidden(out) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_files_finished_before_an_interruption_stay_whole(long_job, tmp_path, tiny):
    short = [save(tmp_path / f"{name}.ome.tif", photons(2, 24, 40), "TYX") for name in "ab"]
    process, out = long_job(*short)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["error: interrupted; no half file was left"]
    assert [line.partition(" -> ")[0] for line in output.splitlines()] == [p.name for p in short]
    denoiser = Denoiser.load(str(tiny))
    for source in short:
        result, meta = read(out / source.name)
        np.testing.assert_array_equal(result, denoiser(read(source)[0], "TYX", neighbors=0))
        assert meta.extra["napari_denoise"]["weights"] == "tiny"
    names = [f"{path.name}{end}" for path in short for end in ("", ".json")]
    assert visible_and_hidden(out) == names


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_run_leaves_no_file_that_looks_whole(long_job):
    process, out = long_job()
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "raw.npy").exists()
    assert all(name.startswith(".") and name.endswith(".tmp") for name in visible_and_hidden(out))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_being_asked_to_end_unwinds_so_that_temporary_files_go(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, reporting(debug=False):
        with replacing([tmp_path / "result.npy"], overwrite=False) as (temporary,):
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.exit_code == 143
    assert visible_and_hidden(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_process_ends_with_one_line_and_the_code_of_the_command(tmp_path):
    (tmp_path / "bad.ome.tif").write_bytes(b"II*\0 not a whole TIFF")
    bad = [*COMMAND, "info", tmp_path / "bad.ome.tif"]
    shown = subprocess.run(bad, check=False, capture_output=True, text=True)
    assert shown.returncode == 2
    assert len(shown.stderr.strip().splitlines()) == 1
    assert "bad.ome.tif" in shown.stderr


# info


def test_info_says_what_the_file_is(tmp_path):
    stack = photons(2, 3, 40, 48)
    stack[:, 1] *= 2
    source = save(
        tmp_path / "cells.ome.tif",
        stack,
        "TCYX",
        scale=(1.0, 1.0, 0.25, 0.25),
        units=(None, None, "micrometer", "micrometer"),
        channel_names=("DAPI", "GFP", "mCherry"),
    )
    result = run("info", source)
    assert result.exit_code == 0, result.output
    for text in ("T 2, C 3, Y 40, X 48", "uint16", "X 0.25 micrometer", "GFP: ", "microscopy"):
        assert text in result.stdout


def test_info_in_json_agrees_with_the_engine(tmp_path, tiny):
    source = save(tmp_path / "cells.ome.tif", photons(3, 64, 64), "TYX")
    (entry,) = json.loads(run("info", source, "--json").stdout)
    assert (entry["shape"], entry["axes"], entry["dtype"]) == ([3, 64, 64], "TYX", "uint16")
    job = Denoiser.load(str(tiny)).prepare(read(source)[0], "TYX")
    assert entry["noise"][0]["text"] == job.noise[0].describe()


def test_info_finds_the_sequence_a_frame_belongs_to(tmp_path):
    for number in (1, 2, 5):
        Image.new("L", (16, 16), number).save(tmp_path / f"f_{number:03d}.png")
    (alone,) = json.loads(run("info", tmp_path / "f_002.png", "--json").stdout)
    (whole,) = json.loads(run("info", tmp_path, "--json").stdout)
    assert alone["shape"] == [16, 16]
    assert whole["shape"] == [3, 16, 16]
    assert alone["sequence"] == whole["sequence"]
    assert whole["sequence"]["missing"] == [3, 4]
    assert whole["sequence"]["pattern"].endswith("f_###.png")


def test_info_of_data_without_values_says_so(tmp_path):
    stack = np.full((3, 2, 24, 40), np.nan, np.float32)
    empty = save(tmp_path / "empty.ome.tif", stack[:, 0], "TYX")
    shown = run("info", empty)
    assert shown.exit_code == 0
    assert "not measured: only NaN or infinity" in shown.stdout
    assert "empty.ome.tif: the frames looked at hold only NaN or infinity" in shown.stderr
    (entry,) = json.loads(run("info", empty, "--json").stdout)
    (noise,) = entry["noise"]
    assert (noise["text"], noise["finite"]) == ("not measured: only NaN or infinity", False)
    assert noise["gain"] is None
    stack[:, 1] = photons(3, 24, 40)
    half = run("info", save(tmp_path / "half.ome.tif", stack, "TCYX"), "--json")
    assert "half.ome.tif: in 1 of 2 channels the frames" in half.stderr
    assert [channel["finite"] for channel in json.loads(half.stdout)[0]["noise"]] == [False, True]


def test_info_in_json_has_the_same_keys_for_any_input(tmp_path):
    save(tmp_path / "a/full.ome.tif", photons(3, 24, 40), "TYX")
    save(tmp_path / "a/nan.ome.tif", np.full((24, 40), np.nan, np.float32), "YX")
    save(tmp_path / "a/flat.npy", np.ones((24, 40), np.uint8), "YX")
    flat, full, nan = json.loads(run("info", tmp_path / "a", "--json").stdout)
    assert list(flat) == list(full) == list(nan)
    assert list(flat["noise"][0]) == list(full["noise"][0]) == list(nan["noise"][0])
    assert flat["noise"][0]["text"] == "none was found: denoising returns it as it is"


def test_info_in_json_is_clean_of_what_libraries_print(tmp_path):
    path = save(tmp_path / "a.exr", np.ones((24, 40, 3), np.float32), "YXS")
    path.write_bytes(path.read_bytes()[:-40])
    result = run("info", path, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a.exr: it is damaged or truncated" in result.stderr


# weights


def test_weights_list_names_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_denoise.weights.catalogue.user_folder", lambda: tmp_path)
    path = write_tiny_weights(tmp_path / "mine.safetensors")
    listed = run("weights", "list")
    assert listed.exit_code == 0
    row = next(line for line in listed.stdout.splitlines() if "mine" in line)
    assert "yours" in row
    (entry,) = [e for e in json.loads(run("weights", "list", "--json").stdout) if not e["bundled"]]
    assert entry["path"] == str(path)


def test_weights_show_prints_the_card_and_the_hash(tiny):
    shown = run("weights", "show", tiny)
    entry = json.loads(run("weights", "show", tiny, "--json").stdout)
    assert shown.exit_code == 0
    flat = "".join(shown.stdout.split())
    for text in (entry["sha256"], "Randomweightsfortests", "two-scale", "yours"):
        assert text in flat
    assert entry["card"]["noise_range"] == [0.0, 0.35]


def test_weights_show_is_read_by_people(tiny):
    shown = run("weights", "show", "microscopy").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "microscopy: Microscopy and other single-channel images"
    assert "made for microscopy, one channel" in lines
    assert "results faithful (--realism 0) and realistic (--realism 1)" in lines
    assert any(line.startswith("distortion: steps 115500; ") for line in lines)
    assert not any(sign in shown for sign in "{}[]'")
    assert "learning_rate" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_weights_show_of_another_file_is_code_2(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no weights")
    result = run("weights", "show", tmp_path / "x.safetensors")
    assert result.exit_code == 2
    assert "not a whole safetensors file" in result.stderr


# metrics


def test_metrics_of_integers_use_the_range_of_the_type(tmp_path):
    truth = photons(3, 24, 40)
    noisy = truth + np.arange(3, dtype=np.uint16)[:, None, None]
    a = save(tmp_path / "truth.ome.tif", truth, "TYX")
    b = save(tmp_path / "noisy.ome.tif", noisy, "TYX")
    result = json.loads(run("metrics", a, b, "--json").stdout)
    assert (result["data_range"], result["data_range_from"]) == (65535.0, "that of uint16")
    assert [row["frame"] for row in result["frames"]] == ["T0", "T1", "T2"]
    assert result["frames"][2]["psnr"] == pytest.approx(20 * np.log10(65535 / 2))
    assert "relmse" not in result["mean"]
    shown = run("metrics", a, b, "--data-range", 500)
    assert f"{20 * np.log10(500 / 2):.2f}" in shown.stdout
    assert "data range 500 (given)" in shown.stdout


@pytest.mark.parametrize(("bits", "lower"), [(12, 24.1), (14, 12.0)])
def test_metrics_of_few_bits_in_many_say_which_range_to_pass(tmp_path, bits, lower):
    truth = photons(24, 40)
    truth[3, 4] = 2**bits - 1
    a = save(tmp_path / "truth.ome.tif", truth, "YX")
    b = save(tmp_path / "noisy.ome.tif", truth + 1, "YX")
    result = run("metrics", a, b)
    assert "data range 65535 (that of uint16)" in result.stdout
    words = f"if the camera has {bits} bits, pass --data-range {2**bits - 1}"
    assert f"{words} (PSNR is then {lower} dB lower)" in result.stderr
    assert run("metrics", a, b, "--data-range", 2**bits - 1).stderr == ""
    as_json = run("metrics", a, b, "--json")
    assert "hint" not in json.loads(as_json.stdout)
    truth[3, 4] = 2**14
    full = save(tmp_path / "full.ome.tif", truth, "YX")
    assert run("metrics", full, b).stderr == ""


def test_metrics_of_linear_light_add_relmse_and_a_tone_mapped_form(tmp_path):
    rng = np.random.default_rng(0)
    truth = (4 * rng.random((24, 24, 3))).astype(np.float32)
    a = save(tmp_path / "truth.exr", truth, "YXS")
    b = save(tmp_path / "noisy.exr", truth * np.float32(1.1), "YXS")
    plain = json.loads(run("metrics", a, b, "--json").stdout)
    assert plain["data_range"] == pytest.approx(float(np.ptp(truth)))
    expected = np.mean((0.1 * truth) ** 2 / (truth**2 + 0.01))
    assert plain["mean"]["relmse"] == pytest.approx(expected, rel=1e-4)
    mapped = json.loads(run("metrics", a, b, "--tone-map", "--json").stdout)
    display = [np.clip(x, 0, 1) ** (1 / 2.2) for x in (truth, truth * np.float32(1.1))]
    assert mapped["mean"]["psnr"] == pytest.approx(psnr(*display, 1.0), abs=1e-3)


@pytest.mark.parametrize(("first", "second"), [("uint16", "uint8"), ("uint8", "int16")])
def test_metrics_of_integers_with_other_ranges_need_a_data_range(tmp_path, first, second):
    a = save(tmp_path / "a.ome.tif", np.full((24, 40), 100, first), "YX")
    b = save(tmp_path / "b.ome.tif", np.full((24, 40), 101, second), "YX")
    result = run("metrics", a, b)
    assert result.exit_code == 2
    assert f"is {first} but " in result.stderr
    assert f"is {second}: their values" in result.stderr
    assert "pass --data-range" in result.stderr
    given = json.loads(run("metrics", a, b, "--data-range", 255, "--json").stdout)
    assert given["mean"]["psnr"] == pytest.approx(20 * np.log10(255))


def test_metrics_take_integers_against_floats(tmp_path):
    a = save(tmp_path / "a.ome.tif", photons(24, 40), "YX")
    b = save(tmp_path / "b.ome.tif", photons(24, 40).astype(np.float32), "YX")
    assert run("metrics", a, b).exit_code == 0


def test_metrics_of_other_shapes_are_refused(tmp_path):
    a = save(tmp_path / "a.ome.tif", photons(24, 40), "YX")
    b = save(tmp_path / "b.ome.tif", photons(24, 41), "YX")
    result = run("metrics", a, b)
    assert result.exit_code == 2
    assert "(24, 41) differs from (24, 40)" in result.stderr


# train

RECIPE = """
name = "small"
title = "A small one"
domain = "microscopy"
architecture = "two-scale"
config = { channels = 1, widths = [8, 8], blocks = [1, 1, 1] }
batch = 2
patch = 16
save_every = 3

[distortion]
steps = 6
warmup = 2

[[training_data]]
name = "checkerboards"
licence = "CC0"
"""


@pytest.fixture
def training(tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        codes = np.random.default_rng(number).integers(0, 255, (32, 40)).astype(np.uint8)
        Image.fromarray(codes).save(tmp_path / f"photos/{number}.png")
    return tmp_path


def train(folder, *options):
    fixed = ("--run", folder / "run", "--device", "cpu")
    return run("train", folder / "small.toml", *fixed, *options)


def test_training_ends_in_weights_with_a_full_card(training):
    result = train(training, "--data", training / "photos")
    assert result.exit_code == 0, result.output
    entry = json.loads(run("weights", "show", training / "run/small.safetensors", "--json").stdout)
    card = entry["card"]
    assert (card["title"], card["mapping"], card["channels"]) == ("A small one", "anscombe", 1)
    assert card["training_data"] == [{"name": "checkerboards", "licence": "CC0"}]
    assert card["noise_range"] == [0.0, 0.22]
    assert card["recipe"]["steps_done"] == 6
    assert {"torch", "napari-denoise"} <= set(card["libraries"])
    with (training / "run/log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "6"
    assert 0 < float(row["pixel"]) < 1
    source = save(training / "raw.ome.tif", photons(24, 40), "YX")
    weights = training / "run/small.safetensors"
    assert run("denoise", source, "-o", training / "x.npy", "-w", weights).exit_code == 0


def test_a_run_is_never_overwritten_and_goes_on_with_resume(training):
    data = ("--data", training / "photos")
    assert train(training, *data).exit_code == 0
    again = train(training, *data)
    assert again.exit_code == 2
    assert "it holds a run at step 6: pass --resume" in again.stderr
    recipe = training / "small.toml"
    recipe.write_text(RECIPE.replace("steps = 6", "steps = 9"))
    assert train(training, *data, "--resume").exit_code == 0
    with (training / "run/log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["6", "9"]
    recipe.write_text(RECIPE.replace("widths = [8, 8]", "widths = [4, 8]"))
    other = train(training, *data, "--resume")
    assert other.exit_code == 2
    assert "a network cannot change on the way" in other.stderr


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (100, r"stopped after 2 of 6 steps, before the first checkpoint \(there is one every 100"),
        (1, "the checkpoint holds step 3 of 6; --resume goes on there"),
    ],
)
def test_an_interrupted_training_says_what_is_kept(training, monkeypatch, saved, words):
    recipe = RECIPE.replace("save_every = 3", f"save_every = {saved}")
    (training / "small.toml").write_text(recipe)

    def interrupted(log, report, add=RunLog.add):
        add(log, report)
        if report.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunLog, "add", interrupted)
    result = train(training, "--data", training / "photos")
    assert result.exit_code == 130
    assert re.search(words, result.stderr)
    assert ("nothing was kept" in result.stderr) is (saved == 100)
    monkeypatch.undo()
    again = ["--resume"] if saved == 1 else []
    assert train(training, "--data", training / "photos", *again).exit_code == 0


def test_export_writes_weights_of_the_checkpoint_without_training(training):
    assert train(training, "--export").exit_code == 2
    assert train(training, "--data", training / "photos").exit_code == 0
    target = training / "mine.safetensors"
    result = train(training, "--export", "-o", target)
    assert result.exit_code == 0, result.output
    assert target.read_bytes() == (training / "run/small.safetensors").read_bytes()


def test_a_bad_recipe_names_the_file_and_the_field(training):
    recipe = training / "small.toml"
    for text, message in [
        (RECIPE.replace("steps = 6", "steps = 0"), "distortion.steps = 0: expected more than 0"),
        (RECIPE.replace("batch = 2", "bach = 2"), "bach: there is no such setting"),
        ("name = ", "not a TOML file"),
        (RECIPE.replace("patch = 16", "patch = 64"), "2 of 2 images are smaller than the patch"),
    ]:
        recipe.write_text(text)
        result = train(training, "--data", training / "photos")
        assert result.exit_code == 2
        assert message in result.stderr
    assert not (training / "run").exists()


def test_recipes_of_the_repository_are_valid():
    from napari_denoise.training.loop.run import make_card, read_recipe

    recipes = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
    assert {"photo", "microscopy"} <= {path.stem for path in recipes}
    for path in recipes:
        settings = read_recipe(path)
        assert settings.name == path.stem
        assert make_card(settings, settings.steps).training_data


def test_info_names_the_weights_that_denoise_would_take(tmp_path):
    rng = np.random.default_rng(0)
    radiance = rng.gamma(0.5, 2.0, (40, 48, 3)).astype(np.float32)  # linear, far above 1
    np.save(tmp_path / "render.npy", radiance)
    (info,) = json.loads(run("info", tmp_path / "render.npy", "--json").stdout)
    assert info["weights"] == "render"
