"""Views, passes and albedo of other files, by the command line."""

from __future__ import annotations

from pathlib import Path
from threading import enumerate as enumerate_threads

import numpy as np
import OpenEXR
import pytest
from _small import journal
from typer.testing import CliRunner

from _networks import write_tiny_weights
from napari_denoise.batch import LayerChoice, Progress, plan, survey, with_layers
from napari_denoise.batch import run as run_batch
from napari_denoise.cli.commands import app
from napari_denoise.image.long_work import finished
from napari_denoise.settings.denoise import DenoiseSettings

SIZE = 24, 32


def layer(name: str, seed: int, value: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    plane = (value * rng.gamma(4, 1 / 4, SIZE)).astype("float32")
    return {f"{name}.{c}" if name else c: plane * (1 + i / 4) for i, c in enumerate("RGB")}


def save(path: Path, *layers: dict[str, np.ndarray], **header: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    head = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    channels = {name: plane for entry in layers for name, plane in entry.items()}
    OpenEXR.File(head, channels).write(str(path))
    return path


def pixels(path: Path) -> dict[str, np.ndarray]:
    parts = OpenEXR.File(str(path), separate_channels=True).parts
    return {name: c.pixels for part in parts for name, c in part.channels.items()}


def changed(before: Path, after: Path) -> set[str]:
    old, new = pixels(before), pixels(after)
    return {name.rpartition(".")[0] for name in old if not np.array_equal(old[name], new[name])}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    return write_tiny_weights(folder / "tiny.safetensors", 3, features=8)


def run(weights: Path, source: Path, target: Path, *options: str) -> str:
    result = CliRunner().invoke(
        app, ["denoise", str(source), "-o", str(target), "-w", str(weights), *options]
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], {""}),
        (["--layer", "right"], {"right"}),
        (["--every-view"], {"", "right"}),
        (["--layer", "right", "--layer", "left"], {"", "right"}),
    ],
)
def test_views_are_denoised_as_asked_for(
    weights: Path, tmp_path: Path, options: list[str], wanted: set[str]
) -> None:
    layers = layer("", 1), layer("right", 2), layer("Z", 3)
    source = save(tmp_path / "a.exr", *layers, multiView=["left", "right"])
    said = run(weights, source, tmp_path / "b.exr", *options)
    assert changed(source, tmp_path / "b.exr") == wanted
    assert ("'right' is left as it is" in " ".join(said.split())) is (not options)


def test_every_view_equals_each_by_itself(weights: Path, tmp_path: Path) -> None:
    layers = layer("", 1), layer("right", 2)
    source = save(tmp_path / "a.exr", *layers, multiView=["left", "right"])
    for name, options in (("all", ["--every-view"]), ("right", ["--layer", "right"])):
        run(weights, source, tmp_path / f"{name}.exr", *options)
    both, one = (pixels(tmp_path / f"{name}.exr") for name in ("all", "right"))
    np.testing.assert_array_equal(both["right.R"], one["right.R"])


def test_passes_of_a_sequence_add_up_in_every_frame(weights: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        parts = [layer(n, 10 * number + i) for i, n in enumerate(("diffuse", "specular"))]
        beauty = {c: sum(part[f"{n}.{c}"] for part, n in zip(parts, ("diffuse", "specular"),
                  strict=True)) for c in "RGB"}  # fmt: skip
        save(tmp_path / f"in_{number}.exr", beauty, *parts, layer("depth", 3))
    run(weights, tmp_path / "in_#.exr", tmp_path / "out_#.exr", "--passes")
    for number in (1, 2):
        before, after = tmp_path / f"in_{number}.exr", tmp_path / f"out_{number}.exr"
        assert changed(before, after) == {"", "diffuse", "specular"}
        found = pixels(after)
        np.testing.assert_allclose(
            found["diffuse.G"] + found["specular.G"], found["G"], rtol=1e-6, atol=1e-6
        )


def test_a_batch_of_chosen_layers_gives_the_same_and_is_finished_once(
    weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    for number, name in enumerate("ab"):
        layers = layer("", number), layer("right", 2 + number)
        save(tmp_path / "raw" / f"{name}.exr", *layers, multiView=["left", "right"])
    run(weights, tmp_path / "raw", tmp_path / "alone", "--every-view")
    command = ["batch", str(tmp_path / "raw"), "-o", str(tmp_path / "out"), "-w", str(weights)]
    for options, wanted in ((["--every-view"], 2), (["--every-view"], 0), (["--force"], 2)):
        result = CliRunner().invoke(app, [*command, *options])
        assert result.exit_code == 0, result.output
        events = [entry["event"] for entry in journal(tmp_path / "out")]
        last = events[len(events) - events[::-1].index("batch") :]
        assert last.count("done") == wanted
        if options == ["--every-view"]:
            for name in "ab":
                one, other = (pixels(tmp_path / at / f"{name}.exr") for at in ("alone", "out"))
                assert all(np.array_equal(one[channel], other[channel]) for channel in one)
    assert changed(tmp_path / "raw" / "a.exr", tmp_path / "out" / "a.exr") == {""}


def test_a_plan_of_layers_that_are_not_there_says_so(weights: Path, tmp_path: Path) -> None:
    save(tmp_path / "raw" / "a.exr", layer("", 1))
    command = ["batch", str(tmp_path / "raw"), "-o", str(tmp_path / "out"), "-w", str(weights)]
    result = CliRunner().invoke(app, [*command, "--layer", "fog", "--dry-run"])
    assert result.exit_code == 1
    assert "no layer 'fog'" in " ".join(result.output.split())


def test_a_batch_of_layers_that_is_closed_leaves_nothing(weights: Path, tmp_path: Path) -> None:
    layers = layer("", 1), layer("right", 2)
    source = save(tmp_path / "a.exr", *layers, multiView=["left", "right"])
    tasks = with_layers(plan([source], tmp_path / "out"), LayerChoice(every_view=True))
    settings = DenoiseSettings(weights=str(weights), device="cpu", tile=16)
    events = run_batch(finished(survey(tasks, settings, tmp_path / "out")))
    steps = (event for event in events if isinstance(event, Progress) and event.step)
    assert next(steps).step.fraction < 0.5
    steps.close()
    events.close()
    assert not list((tmp_path / "out").glob("*.exr"))
    assert not [thread for thread in enumerate_threads() if thread.name.startswith("layers")]


def test_albedo_of_another_file_counts(weights: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "a.exr", layer("", 1))
    albedo = save(tmp_path / "albedo.exr", layer("", 5, 0.5))
    run(weights, source, tmp_path / "b.exr")
    run(weights, source, tmp_path / "c.exr", "--albedo", str(albedo))
    assert changed(tmp_path / "b.exr", tmp_path / "c.exr") == {""}


@pytest.mark.parametrize(
    ("target", "options", "why"),
    [
        ("b.exr", ["--layer", "middle"], "no layer 'middle'; it has 'left', 'right'"),
        ("b.ome.tif", ["--every-view"], "several layers are written as OpenEXR alone"),
        ("b.exr", ["--layer", "left", "--frames-used", "m.npy"], "no map is made of chosen layers"),
    ],
)
def test_what_cannot_be_is_refused(
    weights: Path, tmp_path: Path, target: str, options: list[str], why: str
) -> None:
    layers = layer("", 1), layer("right", 2)
    source = save(tmp_path / "a.exr", *layers, multiView=["left", "right"])
    arguments = ["denoise", str(source), "-o", str(tmp_path / target), "-w", str(weights)]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 2
    assert why in " ".join(result.output.split())
    assert not (tmp_path / target).exists()


def test_info_lists_layers_alpha_and_windows(tmp_path: Path) -> None:
    layers = {**layer("", 1), "A": layer("", 2)["R"]}, layer("right", 2), layer("diffuse", 3)
    window = np.array([4, 2], "int32"), np.array([35, 25], "int32")
    display = np.array([0, 0], "int32"), np.array([39, 29], "int32")
    source = save(
        tmp_path / "a.exr", *layers, multiView=["left", "right"],
        dataWindow=window, displayWindow=display,
    )  # fmt: skip
    text = " ".join(CliRunner().invoke(app, ["info", str(source)]).output.split())
    for part in (
        "image 'left' with alpha",
        "of its kind (--every-view): right",
        "light passes (--passes): diffuse",
        "data window 4 2 to 36 26 of 0 0 to 40 30",
    ):
        assert part in text
