from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from napari.layers import Image

from napari_denoise.io.errors import FileError
from napari_denoise.io.meta import ImageMeta
from napari_denoise.io.read import read
from napari_denoise.io.write import write
from napari_denoise.plugin import contributions
from napari_denoise.plugin.contributions import (
    get_reader,
    load,
    open_stack,
    open_store,
    read_layers,
    save,
    save_denoised,
    suggest_name,
    with_suffix,
    write_layers,
)
from napari_denoise.plugin.layers import data as layer_data
from napari_denoise.plugin.layers.data import from_layers, to_layers
from napari_denoise.plugin.layers.source import axes_of

CELLS = np.random.default_rng(3).integers(0, 4000, (3, 2, 32, 40)).astype("uint16")
NOTE = {"weights": "microscopy", "noise": 0.25}


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    meta = ImageMeta(
        "TCYX",
        scale=(2.5, 1.0, 0.25, 0.125),
        units=("second", None, "micrometer", "micrometer"),
        channel_names=("DAPI", "GFP"),
        channel_colors=("#0000ff", "#12ff80"),
        contrast_limits=((1.0, 900.0), (2.0, 3000.0)),
    )
    return write(tmp_path / "cells.ome.tif", CELLS, meta)[0]


def save_render(path: Path, number: int = 0) -> Path:
    names = ["R", "G", "B", *(f"albedo.{c}" for c in "RGB"), *(f"N.{c}" for c in "XYZ")]
    pixels = np.linspace(0, 0.4, 32 * 40, dtype="float32").reshape(32, 40)
    channels = {n: (pixels + i / 100).astype("float16") for i, n in enumerate(names)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File({**header, "frame": number, "comments": "shot"}, channels).write(str(path))
    return path


def as_napari(layers: list[Any]) -> list[Any]:
    """What napari hands to a writer: the tuples of real layers."""
    from napari.layers import Layer

    return [Layer.create(*layer).as_layer_data_tuple() for layer in layers]


def test_folders_and_unknown_files_are_left_to_others(tmp_path: Path, cells: Path) -> None:
    assert get_reader(str(cells)) is read_layers
    assert get_reader([str(cells), str(cells)]) is read_layers
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([]) is None


def test_channels_open_as_layers_with_scale_units_and_labels(cells: Path) -> None:
    layers = read_layers(str(cells))
    assert [attrs["name"] for _, attrs, _ in layers] == ["cells DAPI", "cells GFP"]
    for i, (data, attrs, kind) in enumerate(layers):
        assert kind == "image"
        np.testing.assert_array_equal(data, CELLS[:, i])
        assert attrs["scale"] == (2.5, 0.25, 0.125)
        assert attrs["units"] == ("second", "micrometer", "micrometer")
        assert attrs["axis_labels"] == ("t", "y", "x")
        assert attrs["colormap"] == ("#0000ff", "#12ff80")[i]
        assert attrs["contrast_limits"] == ((1.0, 900.0), (2.0, 3000.0))[i]


def test_albedo_and_normal_are_hidden_and_tied_to_the_colour(tmp_path: Path) -> None:
    layers = read_layers(str(save_render(tmp_path / "a.exr")))
    groups = [attrs["metadata"]["napari_denoise_group"] for _, attrs, _ in layers]
    assert [group["role"] for group in groups] == ["albedo", "normal", "color"]
    assert len({group["id"] for group in groups}) == 1
    assert [attrs.get("visible", True) for _, attrs, _ in layers] == [False, False, True]
    assert layers[-1][1]["gamma"] == 1 / 2.2 and layers[0][1]["rgb"]
    other = read_layers(str(tmp_path / "a.exr"))[-1][1]["metadata"]["napari_denoise_group"]
    assert other["id"] != groups[0]["id"]


def test_every_image_of_a_file_opens(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(CELLS[:, 0], metadata={"axes": "TYX"})
        tif.write(CELLS[0, 0, :8], metadata={"axes": "YX"})
    layers = read_layers(str(tmp_path / "a.ome.tif"))
    assert [attrs["name"] for _, attrs, _ in layers] == ["a", "a [1]"]
    assert layers[1][0].shape == (8, 40)


def test_positions_are_layers_with_their_names(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        for name in ("A1", "B2"):
            tif.write(CELLS, metadata={"axes": "TCYX", "Name": name})
    names = [attrs["name"] for _, attrs, _ in read_layers(str(tmp_path / "a.ome.tif"))]
    assert [str(name).count("A1") > 0 for name in names] == [True, True, False, False]
    assert len(set(names)) == 4


def test_layers_of_channels_go_back_into_one_file(tmp_path: Path, cells: Path) -> None:
    layers = as_napari(read_layers(str(cells)))
    layers[1][1]["metadata"]["napari_denoise"] = NOTE
    target = str(tmp_path / "b.ome.tif")
    files = write_layers(target, layers)
    assert files == [target, f"{target}.json"]
    array, meta = read(target)
    _, before = read(cells)
    np.testing.assert_array_equal(array, CELLS)
    for field in ("axes", "scale", "units", "channel_names", "channel_colors", "contrast_limits"):
        assert getattr(meta, field) == getattr(before, field), field
    assert meta.extra["napari_denoise"] == [None, NOTE]
    again = read_layers(target)
    assert "napari_denoise" not in again[0][1]["metadata"]
    assert again[1][1]["metadata"]["napari_denoise"] == NOTE


def test_one_channel_keeps_its_provenance(tmp_path: Path, cells: Path) -> None:
    layers = as_napari(read_layers(str(cells)))[:1]
    layers[0][1]["metadata"]["napari_denoise"] = NOTE
    write_layers(str(tmp_path / "b.ome.tif"), layers)
    array, meta = read(tmp_path / "b.ome.tif")
    assert (meta.axes, array.shape) == ("TYX", (3, 32, 40))
    assert meta.extra["napari_denoise"] == NOTE


def test_a_render_is_written_with_its_other_layers(tmp_path: Path) -> None:
    source = save_render(tmp_path / "a.exr")
    layers = as_napari(read_layers(str(source)))
    layers[-1] = (layers[-1][0] * 2, *layers[-1][1:])
    write_layers(str(tmp_path / "b.exr"), layers)
    old, _ = read(source)
    array, meta = read(tmp_path / "b.exr")
    np.testing.assert_array_equal(array, old * 2)
    assert set(meta.features) == {"albedo", "normal"}
    assert OpenEXR.File(str(tmp_path / "b.exr")).header()["comments"] == "shot"


@pytest.mark.parametrize("count", [2, 3])
def test_channels_without_colours_open_in_different_ones(count: int) -> None:
    meta = ImageMeta("CYX", name="cells")
    layers = to_layers(np.zeros((count, 8, 8), np.uint8), meta)
    assert len({attrs["colormap"] for _, attrs, _ in layers}) == count
    grey = replace(meta, channel_colors=("#ffffff",) * count)
    layers = to_layers(np.zeros((count, 8, 8), np.uint8), grey)
    assert len({attrs["colormap"] for _, attrs, _ in layers}) == count


def test_a_layer_from_elsewhere_can_be_saved(tmp_path: Path) -> None:
    from napari.layers import Image

    layer = Image(CELLS[:, 0], name="made here", translate=(0, 3, 4))
    write_layers(str(tmp_path / "a.ome.tif"), [layer.as_layer_data_tuple()])
    array, meta = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(array, CELLS[:, 0])
    assert (meta.axes, meta.units) == ("TYX", (None, None, None))
    assert read_layers(str(tmp_path / "a.ome.tif"))[0][1]["translate"] == (0, 3, 4)


@pytest.mark.parametrize("label", ["z", "plane", "planes", "depth", "slice", "t", "frames"])
def test_a_layer_is_saved_along_the_axes_that_it_is_denoised_along(label: str) -> None:
    state = {"axis_labels": (label, "row", "column"), "scale": (2.0, 0.1, 0.1)}
    layer = Image(CELLS[0], **state)
    _, meta = from_layers("x.ome.tif", [layer.as_layer_data_tuple()])
    assert meta.axes == axes_of(layer) == ("T" if label in ("t", "frames") else "Z") + "YX"
    assert meta.scale == (2.0, 0.1, 0.1)


def test_of_a_multiscale_layer_the_full_resolution_is_saved(tmp_path: Path) -> None:
    from napari.layers import Image

    layer = Image([CELLS[0, 0], CELLS[0, 0, ::2, ::2]], multiscale=True)
    write_layers(str(tmp_path / "a.ome.tif"), [layer.as_layer_data_tuple()])
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif")[0], CELLS[0, 0])


def test_layers_of_different_shapes_are_refused_with_the_remedy(tmp_path: Path) -> None:
    from napari.layers import Image

    layers = [Image(np.zeros((5, n), "uint8"), name=f"w{n}").as_layer_data_tuple() for n in (6, 7)]
    with pytest.raises(FileError, match=r"'w6' \(5, 6\) uint8, 'w7' \(5, 7\) uint8; save them"):
        write_layers(str(tmp_path / "a.ome.tif"), layers)
    assert not list(tmp_path.iterdir())


def test_the_suggested_name_is_beside_the_source(tmp_path: Path, cells: Path) -> None:
    assert suggest_name(read_layers(str(cells))[1]) == tmp_path / "cells_denoised.ome.tif"
    frames = [str(save_render(tmp_path / f"shot.{i}.exr", i)) for i in (1, 2)]
    assert suggest_name(read_layers(frames)[-1]) == tmp_path / "shot_denoised_####.exr"
    assert suggest_name(read_layers(frames[0])[-1]) == tmp_path / "shot.1_denoised.exr"
    unknown = (CELLS, {"name": "a/b: c"}, "image")
    assert suggest_name(unknown) == Path.home() / "a_b_ c_denoised.ome.tif"
    assert with_suffix("x") == "x.ome.tif" and with_suffix("x.exr") == "x.exr"


# --- in a real viewer -----------------------------------------------------------------


def errors_shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Messages that napari would show, by kind."""
    import napari.utils.notifications as notifications

    shown: list[str] = []
    for kind in ("error", "warning", "info"):
        monkeypatch.setattr(
            notifications, f"show_{kind}", lambda text, kind=kind: shown.append(f"{kind}: {text}")
        )
    return shown


def test_viewer_opens_an_ome_tiff_and_an_exr(
    make_napari_viewer_proxy: Any, cells: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer_proxy()
    viewer.open(str(cells), plugin="napari-denoise")
    assert [layer.name for layer in viewer.layers] == ["cells DAPI", "cells GFP"]
    layer = viewer.layers[1]
    assert np.array_equal(layer.scale, (2.5, 0.25, 0.125))
    assert [str(u) for u in layer.units] == ["second", "micrometer", "micrometer"]
    assert layer.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(layer.colormap.colors[-1][:3], (0x12 / 255, 1, 0x80 / 255))
    assert list(layer.contrast_limits) == [2.0, 3000.0]
    viewer.layers.clear()
    viewer.open(str(save_render(tmp_path / "a.exr")), plugin="napari-denoise")
    assert [layer.visible for layer in viewer.layers] == [False, False, True]
    color = viewer.layers[-1]
    assert viewer.layers.selection.active == color  # what Denoise acts on
    assert color.gamma == pytest.approx(1 / 2.2)
    assert color.contrast_limits[1] < 0.5


def test_viewer_saves_through_our_writer(
    make_napari_viewer_proxy: Any, cells: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer_proxy()
    viewer.open(str(cells), plugin="napari-denoise")
    viewer.layers[0].save(str(tmp_path / "one.ome.tif"))
    assert read(tmp_path / "one.ome.tif")[1].scale == (2.5, 0.25, 0.125)
    viewer.layers.save(str(tmp_path / "two.ome.tif"), plugin="napari-denoise")
    assert read(tmp_path / "two.ome.tif")[1].channel_names == ("DAPI", "GFP")


def test_commands_get_the_viewer_and_open_and_save(
    make_napari_viewer_proxy: Any,
    cells: Path,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari._app_model import get_app_model
    from qtpy.QtWidgets import QFileDialog

    viewer = make_napari_viewer_proxy()
    shown = errors_shown(monkeypatch)
    target = tmp_path / "cells_denoised"
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(cells)], ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    commands = get_app_model().commands
    commands.execute_command("napari-denoise.open_stack")
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    viewer.layers.selection = {*viewer.layers}
    commands.execute_command("napari-denoise.save_denoised")
    qtbot.waitUntil(lambda: bool(shown), timeout=20_000)
    beside = f"what it cannot hold is beside it, in {target.name}.ome.tif.json"
    assert shown == [f"info: Saved {target}.ome.tif; {beside}"]
    np.testing.assert_array_equal(read(f"{target}.ome.tif")[0], CELLS)


def test_one_frame_brings_its_sequence_when_the_user_agrees(
    make_napari_viewer_proxy: Any, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QFileDialog, QMessageBox

    frames = [str(save_render(tmp_path / f"shot_{i}.exr", i)) for i in range(3)]
    viewer = make_napari_viewer_proxy()
    questions: list[str] = []

    def agree(_parent: Any, _title: str, text: str) -> Any:
        questions.append(text)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", agree)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (frames[1:2], ""))
    open_stack(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    assert viewer.layers[-1].data.shape == (3, 32, 40, 3)
    assert "one of 3 numbered frames" in questions[0]


@pytest.mark.parametrize("answer", ["right", "All of them", None])
def test_of_several_images_in_an_exr_the_user_chooses(
    make_napari_viewer_proxy: Any,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
) -> None:
    from qtpy.QtWidgets import QFileDialog, QInputDialog

    pixels = {"": 1.0, "right.": 2.0}
    channels = {
        f"{v}{c}": np.full((32, 40), x, "float32") for v, x in pixels.items() for c in "RGB"
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "multiView": ["left", "right"]}
    OpenEXR.File(header, channels).write(str(tmp_path / "stereo.exr"))
    viewer = make_napari_viewer_proxy()
    shown = errors_shown(monkeypatch)
    offered: list[str] = []

    def choose(_parent: Any, _title: str, _text: str, items: list[str], *_: Any) -> Any:
        offered.extend(items)
        return answer or "", answer is not None

    monkeypatch.setattr(QInputDialog, "getItem", choose)
    files = [str(tmp_path / "stereo.exr")]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (files, ""))
    open_stack(viewer)
    assert offered == ["left", "right", "All of them"]
    wanted = {"right": ["right"], "All of them": ["left", "right"], None: []}[answer]
    qtbot.waitUntil(lambda: len(viewer.layers) == len(wanted), timeout=20_000)
    assert [layer.name for layer in viewer.layers] == [f"stereo {name}" for name in wanted]
    assert [layer.data.max() for layer in viewer.layers] == [1 + (n == "right") for n in wanted]
    assert not shown


def test_a_bad_file_is_a_notification_not_a_traceback(
    make_napari_viewer_proxy: Any, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_napari_viewer_proxy()
    shown = errors_shown(monkeypatch)
    (tmp_path / "bad.tif").write_bytes(b"nothing")
    task = load(viewer, [str(tmp_path / "bad.tif")])
    qtbot.waitUntil(lambda: not task.running, timeout=20_000)
    assert len(shown) == 1 and "bad.tif: it is not a whole TIFF" in shown[0]
    assert not viewer.layers


def test_closing_the_viewer_while_a_file_loads_is_quiet(
    make_napari_viewer_proxy: Any, cells: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_napari_viewer_proxy()
    shown = errors_shown(monkeypatch)
    task = load(viewer, [str(cells)])
    viewer.close()
    qtbot.waitUntil(lambda: not task.running, timeout=20_000)
    assert shown == []


def test_an_existing_file_is_replaced_after_asking(
    make_napari_viewer_proxy: Any,
    cells: Path,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qtpy.QtWidgets import QMessageBox

    viewer = make_napari_viewer_proxy()
    shown = errors_shown(monkeypatch)
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    target = tmp_path / "old.npy"
    target.write_bytes(b"old")
    layers = [(CELLS, {"name": "x", "axis_labels": ("t", "z", "y", "x")}, "image")]
    task = save(viewer, str(target), layers)
    qtbot.waitUntil(lambda: not task.running, timeout=20_000)
    assert target.read_bytes() == b"old" and shown == []
    save(viewer, str(target), layers)
    qtbot.waitUntil(lambda: bool(shown), timeout=20_000)
    assert shown[0].startswith("info: Saved")
    assert read(target)[1].axes == "TZYX"


def test_saving_nothing_says_what_to_do(
    make_napari_viewer_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = errors_shown(monkeypatch)
    save_denoised(make_napari_viewer_proxy())
    assert shown == ["error: There is no image to save: select an image layer in the list."]


def test_what_cannot_be_replaced_is_said_and_not_asked(
    make_napari_viewer_proxy: Any,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qtpy.QtWidgets import QMessageBox

    viewer = make_napari_viewer_proxy()
    shown, asked = errors_shown(monkeypatch), list[str]()

    def yes(_parent: Any, _title: str, text: str) -> Any:
        asked.append(text)
        button = QMessageBox.StandardButton
        return button.Yes if len(asked) < 5 else button.No

    monkeypatch.setattr(QMessageBox, "question", yes)
    target = tmp_path / "old.ome.tif"
    target.write_bytes(b"old")
    layers = [(CELLS, {"name": "x", "axis_labels": ("t", "z", "y", "x")}, "image")]
    (tmp_path / "old.ome.tif.json").write_text('{"mine": 1}')
    save(viewer, str(target), layers)
    qtbot.waitUntil(lambda: bool(shown), timeout=20_000)
    assert asked == [f"{target}: it exists already.\n\nReplace what is there?"]
    assert len(shown) == 1 and "a file of another program" in shown[0]
    assert target.read_bytes() == b"old"


@pytest.fixture
def cells_store(tmp_path: Path) -> Path:
    meta = ImageMeta(
        "TCYX", scale=(2.5, 1.0, 0.25, 0.125), channel_names=("DAPI", "GFP"), name="cells"
    )
    return write(tmp_path / "cells.ome.zarr", CELLS, meta)[0]


def test_no_folder_is_claimed_and_only_ome_zarr_with_images_is_read(
    tmp_path: Path, cells_store: Path
) -> None:
    from npe2 import PluginManager, PluginManifest

    manager = PluginManager()
    manager.register(PluginManifest.from_distribution("napari-denoise"))
    # napari would ask which reader to take for every folder: readers of folders have no pattern.
    assert not list(manager.iter_compatible_readers(str(cells_store)))
    assert not list(manager.iter_compatible_readers(str(tmp_path)))
    assert get_reader(str(cells_store)) is read_layers
    plain = cells_store.rename(tmp_path / "plain.zarr")
    assert get_reader(str(plain)) is None
    empty = tmp_path / "empty.ome.zarr"
    empty.mkdir()
    assert get_reader(str(empty)) is None and get_reader(str(tmp_path)) is None
    assert get_reader([str(plain), str(plain)]) is None


def test_a_store_opens_and_is_saved_as_one(tmp_path: Path, cells_store: Path) -> None:
    layers = read_layers([str(cells_store)])
    assert [attrs["name"] for _, attrs, _ in layers] == ["cells DAPI", "cells GFP"]
    np.testing.assert_array_equal(layers[1][0], CELLS[:, 1])
    write_layers(str(tmp_path / "clean.ome.zarr"), as_napari(layers))
    back, meta = read(tmp_path / "clean.ome.zarr")
    np.testing.assert_array_equal(back, CELLS)
    assert meta.scale == (2.5, 1.0, 0.25, 0.125) and meta.channel_names == ("DAPI", "GFP")


def test_large_planes_bring_their_levels(
    cells_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_denoise.io import stores

    monkeypatch.setattr(stores, "CHUNK", 16)
    monkeypatch.setattr(layer_data, "PYRAMID_PIXELS", 100)
    write(cells_store, CELLS, ImageMeta("TCYX"), overwrite=True)
    for levels, attrs, _ in read_layers(str(cells_store)):
        assert attrs["multiscale"]
        assert [level.shape for level in levels] == [(3, 32, 40), (3, 16, 20), (3, 8, 10)]


def test_of_many_images_the_first_ones_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tifffile.TiffWriter(tmp_path / "p.ome.tif", ome=True) as tif:
        for _ in range(3):
            tif.write(CELLS[0, 0], metadata={"axes": "YX"})
    monkeypatch.setattr(contributions, "MOST_IMAGES", 2)
    with pytest.warns(UserWarning, match="it holds 3 images; the first 2 were opened"):
        assert len(read_layers(str(tmp_path / "p.ome.tif"))) == 2


def test_a_store_of_any_name_is_opened_by_a_command(
    make_napari_viewer_proxy: Any, qtbot: Any, cells_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QFileDialog

    viewer = make_napari_viewer_proxy()
    plain = cells_store.rename(cells_store.with_name("plain.zarr"))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(plain))
    open_store(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert [layer.name for layer in viewer.layers] == ["plain DAPI", "plain GFP"]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([f"{plain}/zarr.json"], ""))
    open_stack(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4)
