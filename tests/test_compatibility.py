"""What earlier versions wrote opens today, and gives what it gave then.

Everything goes through public doors, which `docs/api.md` names: no import here may be of a private
module. `tests/fixtures/README.md` says what the files are.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from typer.main import get_command
from typer.testing import CliRunner, Result

import napari_denoise
from napari_denoise import Denoiser, DenoiseSettings, NoiseModel, read
from napari_denoise.cli import app
from napari_denoise.io.errors import listening

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(path for path in FIXTURES.iterdir() if path.is_dir())
CLOSE = 1e-4
"""Results may differ between processors by this share of their range."""
PATIENCE_MS = 60_000

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # One of the stacks lacks a frame, which versions after 0.1 say: the first test expects it.
    pytest.mark.filterwarnings("ignore:.*frame 9 is missing:UserWarning"),
]


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files of a version, as the working folder, and a home of their own."""
    folder = tmp_path / "old"
    shutil.copytree(request.param, folder)
    for path in (folder, *folder.rglob("*")):  # a checkout may be for reading only
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return folder


@pytest.fixture
def expected(old: Path) -> dict[str, Any]:
    """What the version read and computed."""
    values: dict[str, Any] = json.loads((old / "expected.json").read_text(encoding="utf-8"))
    return values


def run(*words: object, code: int = 0) -> Result:
    """Run a command of the command line."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


def answer(*words: object) -> Any:
    """What a command prints as JSON."""
    return json.loads(run(*words, "--json").stdout)


def card(weights: str | Path) -> dict[str, Any]:
    """The card of weights, by name or file."""
    found: dict[str, Any] = answer("weights", "show", weights)["card"]
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    """The log of a run."""
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_close(now: Any, then: Any, least: float = 0.0, share: float = CLOSE) -> None:
    """Compare pixels, by their range; `least` is the smallest step of what holds them."""
    one, other = (np.asarray(a, np.float64) for a in (now, then))
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= share * np.ptp(other) + least


def assert_holds(now: Any, then: Any, place: str = "") -> None:
    """Whether all that was said then is said now; more may be, numbers may be rounded."""
    if isinstance(then, dict):
        assert isinstance(now, dict) and now.keys() >= then.keys(), place
        for name, value in then.items():
            assert_holds(now[name], value, f"{place}.{name}")
    elif isinstance(then, list):
        assert len(now) == len(then), place
        for number, value in enumerate(then):
            assert_holds(now[number], value, f"{place}[{number}]")
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=1e-4, abs=1e-6), place
    else:
        assert now == then, place


def step_of(array: NDArray[Any], file: str) -> float:
    """The smallest difference that a file holds: 1 of integers, half precision of an EXR."""
    if array.dtype.kind in "iu":
        return 1.0
    return float(np.ptp(array)) * 2**-10 if file.endswith(".exr") else 0.0


def as_now(then: Any, source: NDArray[Any]) -> NDArray[Any]:
    """Return an older result as it is to be now: without a negative value if the data have none."""
    result = np.asarray(then)
    return np.maximum(result, 0) if source.min() >= 0 else result


# --- images, and what was done to them --------------------------------------------------


def test_images_open_with_the_same_pixels_axes_and_metadata(expected: dict[str, Any]) -> None:
    for then in expected["images"]:
        with listening() as said:
            array, meta = read(then["file"])
        assert len(said) == bool(meta.extra.get("gaps")), said
        now: dict[str, Any] = {name: getattr(meta, name) for name in then["meta"]}
        now["features"] = sorted(meta.features)
        assert json.loads(json.dumps(now)) == then["meta"], then["file"]
        assert (list(array.shape), str(array.dtype)) == (then["shape"], then["dtype"])
        assert sha256(np.ascontiguousarray(array).tobytes()).hexdigest() == then["sha256"]
        extra = json.loads(json.dumps(dict(meta.extra)))
        assert {name: extra[name] for name in then["extra"]} == then["extra"]


def test_info_tells_how_an_image_was_denoised(expected: dict[str, Any]) -> None:
    for command in expected["commands"]:
        (then,) = (x for x in expected["images"] if x["file"] == command["output"])
        (now,) = answer("info", command["output"])
        assert now["denoised"] == then["extra"]["napari_denoise"]
        assert now["denoised"]["weights"] == Path(command["words"][3]).stem
        assert (now["shape"], now["axes"]) == (then["shape"], then["meta"]["axes"])


def test_the_same_commands_give_the_same_results(old: Path, expected: dict[str, Any]) -> None:
    for command in expected["commands"]:
        output = old / "again" / Path(command["output"]).name
        # By default neighbours make frames better now; what was done then is still there.
        run(*command["words"], "--neighbors", 0, "-o", output)
        (then, meta), (now, now_meta) = read(command["output"]), read(output)
        assert now.dtype == then.dtype and now_meta.axes == meta.axes
        then = as_now(then, read(command["words"][1])[0])
        assert_close(now, then, step_of(then, output.name))
        measured = {"settings", "channels", "features", "weights", "weights_sha256"}
        note, new = (m.extra["napari_denoise"] for m in (meta, now_meta))
        assert_holds(new, {name: note[name] for name in measured})


def test_what_stands_with_a_result_makes_it_again(expected: dict[str, Any]) -> None:
    for command in expected["commands"]:
        (source,), file = command["words"][1:2], command["output"]
        result, denoised = read(file)
        stack, meta = read(source)
        note = denoised.extra["napari_denoise"]
        settings = DenoiseSettings.of_result(note)
        denoiser = Denoiser.load(command["words"][3], settings.device, settings.precision)
        again = denoiser(stack, meta.axes, meta.features or None, settings)
        assert_close(again, as_now(result, stack), step_of(result, file))


# --- weights ----------------------------------------------------------------------------


def test_weights_keep_their_cards_and_denoise_as_they_did(expected: dict[str, Any]) -> None:
    for then in expected["weights"]:
        assert_holds(card(then["file"]), then["card"], then["file"])
        stack, meta = read(then["image"])
        denoiser = Denoiser.load(then["file"], "cpu", "float32")
        for result in then["results"]:
            fields = {"noise": then["noise"], "realism": result["realism"], "neighbors": 0}
            now = denoiser(stack, meta.axes, meta.features or None, **fields)
            step = 1.0 if stack.dtype.kind in "iu" else 0.0
            assert_close(now[0, ::7, ::7], as_now(result["every_7th"], stack), step)
        if len(then["results"]) == 1:
            with pytest.raises(ValueError, match="no realistic end"):
                denoiser(stack, meta.axes, realism=0.75, neighbors=0)


def test_weights_go_into_the_catalogue_and_out_unchanged(old: Path) -> None:
    for number, file in enumerate(sorted(old.glob("weights/*.safetensors"))):
        run("weights", "import", file, "--name", f"old {number}")
        out = old / f"out {number}.safetensors"
        run("weights", "export", f"old {number}", out)
        assert out.read_bytes() == file.read_bytes()
    named = {info["name"] for info in answer("weights", "list")}
    assert {f"old {n}" for n in range(number + 1)} <= named


# --- settings ---------------------------------------------------------------------------


def test_settings_are_read_with_the_values_they_had(old: Path) -> None:
    stored = json.loads((old / "settings.json").read_text())
    for values in stored:
        assert_holds(DenoiseSettings.parse(values).to_json(), values)
    every = DenoiseSettings.parse(stored[0])
    lags = {"correlation_y": (0.3, 0.1), "correlation_x": (0.25, -0.05)}
    camera = NoiseModel(gain=2.0, offset=100.0, read_noise=3.0, skewness=1.25, **lags)
    assert every.noise == (camera, "auto", 3.5)
    assert (every.tile, every.intensity_range) == (256, (90.0, 4000.0))


def test_every_way_to_state_the_noise_means_what_it_meant(old: Path) -> None:
    np.save("two.npy", read("images/cells.ome.tif")[0][0].astype(np.float32))
    same = ("--axes", "CYX", "-w", "weights/microscopy.safetensors", "-d", "cpu", "--overwrite")
    for then in json.loads((old / "noise.json").read_text()):
        run("denoise", "two.npy", *same, "--noise", then["option"], "-o", "done.npy")
        note = read("done.npy")[1].extra["napari_denoise"]
        assert_holds(note["settings"]["noise"], then["settings"], then["option"])
        if then["used"] is not None:
            used = [channel["noise"] for channel in note["channels"]]
            assert_holds(used, then["used"], then["option"])


# --- training ---------------------------------------------------------------------------

_TRAIN = ("train", "train/recipe.toml", "--run", "train/stopped", "--threads", 1, "-d", "cpu")


def test_a_checkpoint_becomes_the_weights_that_it_became(old: Path) -> None:
    run(*_TRAIN, "--export", "-o", "now.safetensors")
    then, now = (load_file(f) for f in ("train/exported.safetensors", "now.safetensors"))
    assert then.keys() == now.keys()
    assert all(np.array_equal(then[name], now[name]) for name in then)
    new, stored = card("now.safetensors"), card("train/exported.safetensors")
    assert new["recipe"]["steps_done"] == 3
    assert_holds({**new, "libraries": stored["libraries"]}, stored)


def test_a_stopped_training_goes_on_where_it_was(old: Path, expected: dict[str, Any]) -> None:
    before = rows(old / "train/stopped")
    assert [row["step"] for row in before] == ["2", "4"]  # the checkpoint is of step 3
    refused = run(*_TRAIN, "--data", "train/pictures", code=2)
    assert "it holds a run at step 3: pass --resume" in refused.stderr
    run(*_TRAIN, "--data", "train/pictures", "--resume", "-o", "now.safetensors")
    after = rows(old / "train/stopped")
    assert [row["step"] for row in after] == ["2", "4", "6", "8", "9"]
    assert after[0] == before[0]
    figures = [(float(row["psnr_noisy"]), float(row["psnr_faithful"])) for row in (*before, *after)]
    # Step 4, done again: on patches that simulated cameras take otherwise than when it was written.
    assert figures[1] == pytest.approx(figures[3], abs=0.1)
    (whole,) = (x for x in expected["weights"] if x["file"] == "weights/both.safetensors")
    assert card("now.safetensors")["recipe"]["steps_done"] == whole["card"]["recipe"]["steps_done"]
    then, now = (load_file(f) for f in (whole["file"], "now.safetensors"))
    assert then.keys() == now.keys()
    for name in then:
        np.testing.assert_allclose(now[name], then[name], atol=1e-2)


# --- fine-tuning ------------------------------------------------------------------------

_PAIR = ("--noisy", "noisy.png", "--clean", "clean.png", "--threads", 1, "-d", "cpu")
_TUNE = ("finetune", *_PAIR, "--regions", "regions.json", "--resume")


@pytest.fixture
def tuned(old: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which weights were fine-tuned; the runs name what lies in it."""
    monkeypatch.chdir(old / "finetune")
    return old / "finetune"


def test_a_stopped_fine_tuning_goes_on_by_its_own_settings(tuned: Path) -> None:
    target, folder = "stopped.safetensors", tuned / "stopped.finetuning"
    other = run(*_TUNE, "--steps", 9, "-o", target, code=2)
    assert "begun with steps = 8, not 9" in other.stderr
    before = rows(folder)
    done = run(*_TUNE, "-o", target)
    assert re.findall(r"step (\d+): PSNR", done.stderr) == ["6", "8"]  # it was at 5
    after = rows(folder)
    assert [row["step"] for row in after] == ["2", "4", "6", "8"] and after[:2] == before
    then, now = card("finished.safetensors"), card(target)
    for name in ("psnr noisy", "psnr base", "psnr fine-tuned"):
        assert now["figures"][name] == pytest.approx(then["figures"][name], abs=0.1)
    assert_holds(
        now["recipe"], {**then["recipe"], "share_of_change": now["recipe"]["share_of_change"]}
    )


def test_a_finished_fine_tuning_gives_its_weights_once_more(tuned: Path) -> None:
    target = tuned / "finished.safetensors"
    again = run(*_TUNE, "-o", target, code=2)
    assert "that fine-tuning is finished" in again.stderr
    then, figures = load_file(target), card(target)["figures"]
    target.unlink()
    done = run(*_TUNE, "-o", target)
    assert not re.findall(r"step (\d+): PSNR", done.stderr)  # nothing is trained
    now = load_file(target)
    assert then.keys() == now.keys()
    for name in then:
        np.testing.assert_allclose(now[name], then[name], atol=2e-3)
    assert card(target)["figures"] == pytest.approx(figures, abs=0.01)


def test_regions_and_recipes_of_a_user_are_read(tuned: Path) -> None:
    ours = ("--base", "base.safetensors", "--recipe", "recipe.toml", "--noise", "15")
    small = ("--steps", 2, "--patch", 16, "--batch", 2)
    for name in ("regions", "regions_by_hand"):
        run(
            "finetune",
            *_PAIR,
            *ours,
            *small,
            "--regions",
            f"{name}.json",
            "-o",
            f"{name}.safetensors",
        )
        recipe = card(f"{name}.safetensors")["recipe"]
        wanted = json.loads((tuned / f"{name}.json").read_text())["regions"]
        found = recipe["finetune"]["regions"]
        assert [{k: v for k, v in region.items() if v is not None} for region in found] == wanted
        assert (recipe["title"], recipe["distortion"]["final_loss"]) == ("Gentle", "l2")
        assert (recipe["clip"], recipe["ema"]) == (0.2, 0.9)


# --- in napari --------------------------------------------------------------------------


class Window:
    """A viewer, whose widgets are used by the words on them."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.docks: list[tuple[Any, Any]] = []

    def open(self, name: str) -> Any:
        """Open a widget of the plugin as its menu does."""
        dock, widget = self.viewer.window.add_plugin_dock_widget("napari-denoise", name)
        self.docks.append((dock, widget))
        return widget

    def find(self, widget: Any, kind: Any, text: str) -> Any:
        """Return the first part of a kind that shows a text; None if there is none."""
        parts = (part for part in widget.findChildren(kind) if part.isVisibleTo(widget))
        return next((part for part in parts if text in part.text()), None)

    def press(self, widget: Any, text: str) -> None:
        """Wait for a button that can be pressed, and press it."""
        from qtpy.QtWidgets import QPushButton

        def ready() -> bool:
            found = self.find(widget, QPushButton, text)
            return found is not None and found.isEnabled()

        self.qtbot.waitUntil(ready, timeout=PATIENCE_MS)
        self.find(widget, QPushButton, text).click()

    def wait_for(self, widget: Any, text: str) -> None:
        """Wait until a text is shown."""
        from qtpy.QtWidgets import QLabel

        found = lambda: self.find(widget, QLabel, text) is not None  # noqa: E731
        self.qtbot.waitUntil(found, timeout=PATIENCE_MS)


@pytest.fixture
def window(make_napari_viewer_proxy: Any, qtbot: Any) -> Iterator[Window]:
    """A viewer; what was opened in it is closed afterwards."""
    from superqt.utils import WorkerBase

    made = Window(make_napari_viewer_proxy(), qtbot)
    yield made
    for dock, _ in made.docks:
        made.viewer.window.remove_dock_widget(dock)
    WorkerBase.await_workers(PATIENCE_MS)


def test_a_fine_tuning_of_the_widget_is_offered_and_goes_on(old: Path, window: Window) -> None:
    from qtpy.QtWidgets import QLineEdit, QPushButton

    home = Path(os.environ["XDG_DATA_HOME"]) / "napari-denoise"
    shutil.copytree(old / "widget", home)
    (folder,) = (home / "finetuning").iterdir()
    before = rows(folder)
    widget = window.open("Fine-tune")
    window.wait_for(widget, "It got to step 75 of 300.")
    window.press(widget, "Resume")
    done = lambda step: any(row["step"] == step for row in rows(folder))  # noqa: E731
    window.qtbot.waitUntil(lambda: done("150"), timeout=PATIENCE_MS)
    if (stop := window.find(widget, QPushButton, "Stop")) is not None:  # else it has ended
        stop.click()
    window.press(widget, "Save")
    name = next(x for x in widget.findChildren(QLineEdit) if "Name" in x.placeholderText())
    wanted = home / "weights" / f"{name.text()}.safetensors"
    window.qtbot.waitUntil(wanted.is_file, timeout=PATIENCE_MS)
    after = rows(folder)
    assert after[: len(before)] == before
    assert [row["step"] for row in after][:3] == ["75", "100", "150"]
    (region,) = card(wanted)["recipe"]["finetune"]["regions"]
    assert (region["kind"], region["rectangle"]) == ("validate", [4.0, 40.0, 36.0, 64.0])


def test_a_layer_tells_how_it_was_denoised_and_is_saved_with_it(old: Path, window: Window) -> None:
    stack, meta = read("images/cells.ome.tif")
    stored = json.loads((old / "layers.json").read_text())
    for number, state in enumerate(stored):
        window.viewer.add_image(stack[:, number], **state)
    widget = window.open("Denoise")
    window.viewer.layers.selection.active = window.viewer.layers[0]
    note = stored[0]["metadata"]["napari_denoise"]
    window.wait_for(widget, f"Denoised with {note['weights']}, {note['time'][:10]}")
    window.viewer.layers.save("saved.ome.tif", plugin="napari-denoise")
    array, saved = read("saved.ome.tif")
    assert np.array_equal(array, stack)
    for name in ("axes", "scale", "units", "channel_names", "channel_colors"):
        assert getattr(saved, name) == getattr(meta, name)
    notes = [state["metadata"]["napari_denoise"] for state in stored]
    assert saved.extra["napari_denoise"] == notes


# --- the list of what is public ---------------------------------------------------------


def test_docs_name_all_that_is_public() -> None:
    from npe2 import PluginManifest

    text = (FIXTURES.parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
    program: Any = get_command(app)
    weights = program.commands["weights"].commands
    commands = (set(program.commands) - {"weights"}) | {f"weights {name}" for name in weights}
    manifest = PluginManifest.from_distribution("napari-denoise")
    ids = {command.id for command in manifest.contributions.commands or ()}
    assert set(napari_denoise.__all__) | commands | ids <= named
    assert all(hasattr(napari_denoise, name) for name in napari_denoise.__all__)
