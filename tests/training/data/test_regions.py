"""Regions: which pixels they hold, what is held out by itself, and that nothing is both."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _real import drawn, train, validate

from napari_denoise.training.data.regions import (
    Place,
    Region,
    Regions,
    bounding_box,
    held_out,
    largest_rectangle,
    read_regions,
    split,
    write_regions,
)

SHAPE = (20, 32)


def places(count: int = 1, scenes: str = "abcdef", pair: str = "a") -> list[Place]:
    return [Place(pair, n, SHAPE, scenes[n]) for n in range(count)]


def test_a_rectangle_holds_the_pixels_whose_centres_it_holds():
    mask = Region("train", (2, 3, 5, 7)).mask(SHAPE)
    assert bounding_box(mask) == (slice(2, 5), slice(3, 7))
    assert mask.sum() == 12
    assert Region("train", (1.6, 0, 3.4, 1)).mask(SHAPE).sum() == 1  # of rows 1 to 3 only 2


def test_a_polygon_with_the_corners_of_a_rectangle_holds_what_it_holds():
    corners = ((2, 3), (2, 7), (5, 7), (5, 3))
    polygon = Region("train", polygon=corners).mask(SHAPE)
    assert np.array_equal(polygon, Region("train", (2, 3, 5, 7)).mask(SHAPE))
    triangle = Region("train", polygon=((0, 0), (0, 16), (16, 0))).mask(SHAPE)
    assert triangle.sum() == pytest.approx(128, abs=10)


def test_without_a_shape_a_region_is_the_whole_frame():
    assert Region("validate").mask(SHAPE).all()


def test_nothing_drawn_holds_out_a_quarter_along_the_longer_side():
    (part,) = split(places(), Regions())
    assert bounding_box(part.validate) == (slice(0, 20), slice(16, 32))  # at least 16 pixels
    (wide,) = split([Place("a", 0, (64, 200), "s")], Regions())
    assert bounding_box(wide.validate) == (slice(0, 64), slice(152, 200))
    assert np.array_equal(wide.train, ~wide.validate)
    (high,) = split([Place("a", 0, (200, 64), "s")], Regions())
    assert bounding_box(high.validate) == (slice(152, 200), slice(0, 64))


def test_of_a_drawn_training_area_a_part_is_held_out():
    area = Region("train", (0, 0, 20, 32)).mask((64, 64))
    kept = held_out(area)
    assert bounding_box(kept) == (slice(0, 20), slice(16, 32))
    (part,) = split([Place("a", 0, (64, 64), "s")], drawn(train(0, 0, 20, 32)))
    assert part.train.sum() == 20 * 16
    assert part.trimmed == 0  # nobody drew what is held out


def test_what_is_drawn_to_validate_on_is_trimmed_from_training_and_counted():
    regions = drawn(train(0, 0, 20, 20), validate(0, 15, 20, 32))
    (part,) = split(places(), regions)
    assert not (part.train & part.validate).any()
    assert part.trimmed == 20 * 5
    assert part.train.sum() == 20 * 15


def test_only_validation_drawn_leaves_the_rest_to_train_on():
    (part,) = split(places(), drawn(validate(0, 0, 20, 8)))
    assert np.array_equal(part.train, ~part.validate)
    assert part.trimmed == 0


def test_regions_of_one_frame_do_not_touch_the_others():
    regions = drawn(train(0, 0, 20, 10, frame=0), validate(0, 10, 20, 20, frame=1))
    first, second = split(places(2), regions)
    assert (first.train.sum(), first.validate.sum()) == (200, 0)
    assert (second.train.sum(), second.validate.sum()) == (0, 200)


def test_frames_of_one_scene_share_what_is_held_out():
    regions = drawn(train(frame=0), validate(0, 10, 20, 20, frame=1))
    first, second = split(places(2, scenes="ss"), regions)
    assert not first.train[:, 10:20].any()
    assert first.closed[:, 10:20].all()
    assert not first.validate.any()  # it is closed there, not measured
    assert first.trimmed == 200
    assert second.validate.sum() == 200


def test_a_whole_pair_can_be_held_out():
    both = [*places(1, "a"), *places(1, "b", pair="b")]
    first, second = split(both, drawn(validate(pair="b")))
    assert first.train.all() and not first.validate.any()
    assert second.validate.all() and not second.train.any()


def test_regions_that_fit_nothing_are_refused():
    with pytest.raises(ValueError, match="pair 'b', frame None: there is none; the pairs are 'a'"):
        split(places(), drawn(validate(pair="b")))
    with pytest.raises(ValueError, match="frame 3: there is none"):
        split(places(), drawn(train(frame=3)))
    with pytest.raises(ValueError, match="holds no pixel of the image of 20 x 32"):
        split(places(), drawn(train(40, 0, 60, 10)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "test"}, "kind = 'test'"),
        ({"kind": "train", "rectangle": [5, 0, 2, 9]}, "first row, first column, end of rows"),
        ({"kind": "train", "polygon": [[0, 0], [1, 1]]}, "at least 3 corners"),
        ({"kind": "train", "rectangle": [0, 0, 1, 1], "polygon": [[0, 0]] * 3}, "not both"),
        ({"kind": "train", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_region_is_refused_with_its_field(tmp_path, values, message):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"regions": [values]}))
    with pytest.raises(ValueError, match=message) as caught:
        read_regions(path)
    assert str(path) in str(caught.value)


def test_regions_survive_json(tmp_path):
    regions = drawn(
        train(0, 0, 20, 10, frame=2),
        Region("validate", polygon=((0, 0), (0, 5.5), (4, 2)), pair="b"),
    )
    write_regions(tmp_path / "r.json", regions)
    assert read_regions(tmp_path / "r.json") == regions
    for text in ("{", "[]", '{"region": []}'):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(ValueError, match=r"not JSON|no regions"):
            read_regions(tmp_path / "r.json")


def test_the_largest_free_rectangle_is_found():
    mask = np.ones((64, 96), bool)
    mask[10:20, 40:50] = False
    assert largest_rectangle(mask) == (slice(24, 64), slice(0, 96))
    assert largest_rectangle(~np.ones((64, 96), bool)) is None
    assert largest_rectangle(np.ones((5, 7), bool)) == (slice(0, 5), slice(0, 7))
    odd = np.ones((37, 83), bool)
    assert largest_rectangle(odd) == (slice(0, 37), slice(0, 83))
    rows, columns = largest_rectangle(mask[:, ::-1] & (np.arange(96) > 30))
    assert mask[:, ::-1][rows, columns].all()
