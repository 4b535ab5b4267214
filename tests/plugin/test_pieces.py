"""The widget's plain logic: no window, no network."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.components import LayerList
from napari.layers import Image, Labels

from napari_denoise.image.axes import Layout
from napari_denoise.image.pyramid import halved
from napari_denoise.plugin.denoise.compare import residual, residual_limits
from napari_denoise.plugin.denoise.preview import FIRST_PIXELS, cut, plan
from napari_denoise.plugin.kit import text
from napari_denoise.plugin.layers import apply
from napari_denoise.plugin.layers.apply import offset_translate, rebuild_levels, shrink, twin
from napari_denoise.plugin.layers.history import History, UndoEntry
from napari_denoise.plugin.layers.source import (
    HELPER,
    Source,
    axes_of,
    current_frame,
    displayed_axes,
    is_mapped,
    sample_hash,
    set_provenance,
    targets,
)
from napari_denoise.plugin.layers.storage import copy_frames, temporary_store
from napari_denoise.settings.noise import NoiseModel


@pytest.mark.parametrize(
    ("shape", "labels", "rgb", "axes"),
    [
        ((4, 8, 9), None, False, "TYX"),
        ((2, 4, 8, 9), None, False, "TZYX"),
        ((8, 9, 3), None, True, "YXS"),
        ((4, 8, 9), ("z", "y", "x"), False, "ZYX"),
        ((4, 8, 9), ("Time", "Row", "Column"), False, "TYX"),
        ((2, 8, 9), ("channel", "y", "x"), False, "CYX"),
        ((4, 8, 9), ("a", "b", "c"), False, "TYX"),
        ((9, 4, 8), ("x", "t", "y"), False, "XTY"),
    ],
)
def test_axis_labels_are_used_where_they_mean_something(shape, labels, rgb, axes):
    layer = Image(np.zeros(shape, np.uint8), rgb=rgb, axis_labels=labels)
    assert axes_of(layer) == axes


@pytest.mark.parametrize(
    ("order", "ndim", "shown"),
    [
        ((0, 1, 2), 3, (1, 2)),
        ((2, 0, 1), 3, (0, 1)),
        ((0, 2, 1), 2, (1, 0)),
        ((0, 1, 2), 2, (0, 1)),
    ],
)
def test_displayed_axes_are_the_layers_own(order, ndim, shown):
    assert displayed_axes(order, ndim) == shown


def test_targets_are_the_selected_images_without_helpers():
    first, second, labels, helper = (
        Image(np.zeros((4, 4))),
        Image(np.zeros((4, 4))),
        Labels(np.zeros((4, 4), int)),
        Image(np.zeros((4, 4)), metadata={HELPER: "preview"}),
    )
    layers = LayerList([first, second, labels, helper])
    layers.selection = {helper, labels, second, first}
    assert targets(layers) == [first, second]
    layers.selection = {labels}
    assert targets(layers) == []


def test_the_current_frame_is_found_under_any_axes():
    source = Source.of(Image(np.zeros((3, 4, 8, 9)), axis_labels=("t", "z", "y", "x")))
    assert source.layout.frames[current_frame(source, (2, 1, 5, 5))][:2] == (2, 1)


@pytest.mark.parametrize("length", [1, 2, 7, 384, 1000, 2049])
@pytest.mark.parametrize("first", [1, 5, 707])
def test_cutting_covers_a_range_once(length, first):
    cells = cut(slice(3, 3 + length), first, 384)
    covered = [i for cell in cells for i in range(cell.start, cell.stop)]
    assert covered == list(range(3, 3 + length))


@pytest.mark.parametrize(
    ("axes", "shape", "view"),
    [
        ("YX", (50, 70), (slice(10, 43), slice(5, 69))),
        ("TYX", (6, 50, 70), (slice(4, 5), slice(0, 50), slice(0, 70))),
        ("TYX", (6, 50, 70), (slice(0, 6), slice(20, 21), slice(3, 60))),
        ("ZYX", (6, 50, 70), (slice(1, 5), slice(0, 50), slice(9, 10))),
        ("XTY", (70, 6, 50), (slice(0, 70), slice(2, 3), slice(0, 50))),
        ("YXS", (50, 70, 3), (slice(0, 50), slice(0, 70))),
    ],
)
def test_a_preview_covers_the_view_once_with_windows_of_the_right_frames(axes, shape, view):
    layout = Layout(axes, shape)
    counts = np.zeros([n for n, a in zip(shape, axes, strict=True) if a != "S"], int)
    for piece in plan(layout, view, first_pixels=200, cell=9):
        counts[piece.box] += 1
        index = layout.frames[piece.frame]
        for at, box, letter in zip(index, piece.box, axes, strict=False):
            if letter == "Y":
                assert box == piece.y
            elif letter == "X":
                assert box == piece.x
            elif letter != "S":
                assert box == slice(at, at + 1)
    wanted = np.zeros_like(counts)
    wanted[view] = 1
    np.testing.assert_array_equal(counts, wanted)


def test_the_centre_of_a_preview_comes_first_and_is_quickly_done():
    pieces = plan(Layout("YX", (4000, 5000)), (slice(0, 4000), slice(0, 5000)))
    first = pieces[0]
    area = (first.y.stop - first.y.start) * (first.x.stop - first.x.start)
    assert 150_000 <= area <= 250_000
    assert first.y.start <= 2000 < first.y.stop and first.x.start <= 2500 < first.x.stop
    gaps = [max(p.y.start - 2000, 2000 - p.y.stop, 0) for p in pieces]
    assert gaps[0] == 0 and gaps[-1] > 1000


def test_a_wide_thin_view_begins_with_as_many_pixels():
    first = plan(Layout("YX", (20, 100_000)), (slice(0, 20), slice(0, 100_000)))[0]
    assert first.y == slice(0, 20) and first.x.stop - first.x.start == FIRST_PIXELS // 20


def test_a_twin_lies_where_its_crop_was():
    layer = Image(
        np.zeros((5, 8, 9)), scale=(2, 0.5, 0.25), translate=(1, 2, 3), rotate=30, shear=[0.1, 0, 0]
    )
    moved = twin(layer, (np.zeros((1, 4, 4)),), "crop", offset=(3, 2, 1))
    np.testing.assert_allclose(moved.data_to_world((0, 0, 0)), layer.data_to_world((3, 2, 1)))
    np.testing.assert_allclose(offset_translate(layer, (0, 0, 0)), layer.translate)


def test_a_twin_has_metadata_of_its_own():
    layer = Image(np.zeros((4, 4)), metadata={"a": [1]})
    made = twin(layer, (np.ones((4, 4)),), "b")
    made.metadata["a"].append(2)
    assert layer.metadata == {"a": [1]}


@pytest.mark.parametrize("shape", [(4, 6), (3, 5), (1, 1)])
def test_shrinking_keeps_mean_and_dtype(shape):
    frame = np.random.default_rng(0).integers(900, 1100, (12, 18)).astype(np.uint16)
    small = shrink(frame, shape)
    assert small.shape == shape and small.dtype == np.uint16
    assert small.mean() == pytest.approx(frame.mean(), rel=0.05)


def test_a_pyramid_halved_along_depth_takes_matching_planes():
    finest = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 8, 8), np.uint8)
    old = (finest, np.zeros((2, 4, 4), np.uint8))
    *_, levels = rebuild_levels(finest, old, "ZYX")
    assert [int(plane.max()) for plane in levels[1]] == [0, 2]


def test_a_pyramid_of_halves_is_rebuilt_in_parts_level_by_level(monkeypatch):
    monkeypatch.setattr(apply, "_PART", (1, 4, 4))
    finest = np.random.default_rng(0).integers(0, 255, (2, 18, 13)).astype(np.uint8)
    old = [np.zeros(shape, np.uint8) for shape in ((2, 18, 13), (2, 9, 7), (2, 5, 4))]
    *steps, levels = rebuild_levels(finest, tuple(old), "ZYX")
    assert len(steps) == 2 * 3 * 2 + 2 * 2 * 1  # a place to stop after each part
    for plane, half, quarter in zip(*levels, strict=True):
        np.testing.assert_array_equal(half, halved(plane))
        np.testing.assert_array_equal(quarter, halved(halved(plane)))


def test_provenance_comes_and_goes_without_touching_the_rest():
    layer = Image(np.zeros((4, 4)), metadata={"kept": 1})
    set_provenance(layer, {"weights": "photo"})
    assert layer.metadata == {"kept": 1, "napari_denoise": {"weights": "photo"}}
    set_provenance(layer, None)
    assert layer.metadata == {"kept": 1}


def test_the_history_spills_the_oldest_entry_that_frees_memory():
    layer = SimpleNamespace()
    arrays = [np.zeros(100, np.uint8) for _ in range(4)]
    history = History(budget=150)
    for before, after in itertools.pairwise(arrays):
        history.push(UndoEntry(layer, (before,), (after,), "X"))
    assert history.next_to_spill(lambda a: False).before[0] is arrays[0]
    assert history.next_to_spill(lambda a: a is arrays[0]).before[0] is arrays[1]
    history.budget = 300
    assert history.next_to_spill(lambda a: False) is None


def test_lazy_and_mapped_data_cost_the_history_nothing(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (4, 5))
    lazy = da.zeros((1000, 1000))
    assert UndoEntry(None, (mapped[1:], lazy), (), "YX").nbytes == 0
    assert is_mapped(mapped[1:]) and not is_mapped(np.zeros(3))


def test_a_moved_array_is_replaced_wherever_the_history_holds_it():
    a, b, c, moved = (np.zeros(2) for _ in range(4))
    history = History()
    history.push(UndoEntry(None, (a,), (b,), "X"))
    history.push(UndoEntry(None, (b,), (c,), "X"))
    history.replace(b, moved)
    (last,) = history.last_run()
    assert last.before[0] is moved
    history.undo(last)
    assert history.last_run()[0].after[0] is moved


def test_a_temporary_store_holds_the_frames_and_goes_with_its_array():
    data = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    store = temporary_store(data.shape, data.dtype, "TYX")
    for _ in copy_frames(data, store, Layout("TYX", data.shape)):
        pass
    np.testing.assert_array_equal(store[:], data)
    folder = store.store.root
    assert folder.is_dir()
    del store
    import gc

    gc.collect()
    assert not folder.is_dir()


def test_a_sample_of_an_array_tells_edits_of_its_sampled_pixels():
    data = np.zeros((50, 300, 300), np.uint16)
    before = sample_hash(data)
    data += 1
    assert sample_hash(data) != before
    assert sample_hash(da.zeros((5, 5))) == 0


def test_the_residual_is_lazy_and_signed():
    noisy, clean = np.full((2, 4, 4), 3, np.uint8), np.full((2, 4, 4), 5, np.uint8)
    lazy = residual(noisy, clean, "TYX")
    assert isinstance(lazy, da.Array) and lazy.dtype == np.float32
    assert (lazy.compute() == -2).all()
    assert residual_limits(lazy[0]) == (-2, 2)
    assert residual_limits(np.zeros((8, 8))) == (-1, 1)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (75, "1 min 15 s"), (1500, "25 min"), (7300, "2 h 1 min")]
)
def test_durations_read_well(seconds, said):
    assert text.time_text(seconds) == said


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_100_000_000, "2.1 GB")]
)
def test_sizes_read_well(size, said):
    assert text.size_text(size) == said


def test_progress_gives_no_time_before_it_can():
    assert text.progress_text(0, 40, 0.01, 0.2) == "0 of 40 frames"
    assert text.progress_text(10, 40, 0.25, 20) == "10 of 40 frames · 1 min 0 s left"
    assert text.progress_text(0, 1, 0.5, 3) == "50 % · 3 s left"


def test_the_noise_of_equal_channels_is_said_once():
    model = NoiseModel(2.0, 100.0, 3.0)
    assert text.noise_lines([model, model]) == model.describe()
    assert text.noise_lines([model, NoiseModel()]).count("\n") == 1
