import numpy as np
import pytest

from napari_denoise.image.axes import Layout, guess_axes, letters_of


@pytest.mark.parametrize(
    ("axes", "shape", "frame"),
    [
        ("YX", (5, 7), (5, 7)),
        ("TZCYX", (2, 3, 4, 5, 7), (5, 7)),
        ("YXS", (5, 7, 3), (5, 7, 3)),
        ("SYX", (3, 5, 7), (3, 5, 7)),
        ("YXT", (5, 7, 2), (5, 7)),
        ("CYXT", (2, 5, 7, 3), (5, 7)),
    ],
)
def test_the_frames_of_a_layout_cover_the_array_exactly_once(axes, shape, frame):
    layout = Layout(axes, shape)
    seen = np.zeros(shape, int)
    for index in layout.frames:
        assert seen[index].shape == frame
        seen[index] += 1
    assert (seen == 1).all()


def test_channels_are_numbered_whatever_the_order_of_axes():
    layout = Layout("CTYX", (2, 3, 5, 7))
    assert [layout.channel_of(i) for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert layout.series(1) == (3, 4, 5)
    assert Layout("TYX", (3, 5, 7)).series(0) == (0, 1, 2)


def test_the_neighbour_of_a_frame_is_the_next_in_time_of_the_same_channel():
    layout = Layout("TCYX", (3, 2, 5, 7))
    assert layout.neighbour(1) == 3
    assert layout.channel_of(3) == layout.channel_of(1)
    assert layout.neighbour(5) is None


def test_without_time_the_neighbour_is_the_next_in_depth():
    assert Layout("ZYX", (2, 5, 7)).neighbour(0) == 1
    assert Layout("YX", (5, 7)).neighbour(0) is None


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("TYX", (3, 5, 512, 512), "pass axes='TZYX'"),
        ("TTYX", (3, 5, 8, 8), "each letter once"),
        ("QYX", (3, 8, 8), "expected letters of"),
        ("TZ", (3, 8), "lack Y or X"),
        ("YX", (0, 8), "is empty"),
        ("YXS", (8, 8, 9), "expected 1 to 4"),
    ],
)
def test_axes_that_do_not_fit_are_refused_with_a_remedy(axes, shape, message):
    with pytest.raises(ValueError, match=message):
        Layout(axes, shape)


def test_axes_are_guessed_from_the_number_of_dimensions():
    assert guess_axes((4, 5)) == "YX"
    assert guess_axes((2, 4, 5, 3), rgb=True) == "TYXS"
    with pytest.raises(ValueError, match="pass axes"):
        guess_axes((4,))


@pytest.mark.parametrize(
    ("labels", "letters"),
    [
        (("t", "z", "c", "y", "x"), "TZCYX"),
        (("Time", "Depth", "Channel", "Height", "Width"), "TZCYX"),
        (("frames", "rows", "columns"), "TYX"),
        (("plane", "row", "column"), "ZYX"),
        (("slice", "Y", "X"), "ZYX"),
        (("sections", "y", "x"), "ZYX"),
        (("x", "slices", "y"), "XZY"),
        (("-3", "-2", "-1"), None),
        (("frame", "time", "y", "x"), None),
        (("plane", "y"), None),
        ((), None),
    ],
)
def test_labels_of_axes_mean_the_same_everywhere(labels, letters):
    assert letters_of(labels) == letters
