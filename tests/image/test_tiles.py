import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_denoise.image.tiles import plan_tiles, recompute_factor


@given(
    shape=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    tile=st.integers(4, 140),
    halo=st.sampled_from([0, 4, 16, 48]),
)
def test_tiles_write_every_pixel_once_and_read_it_with_its_halo(shape, tile, halo):
    written = np.zeros(shape, int)
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    for part in plan_tiles(shape, tile, halo, 4):
        written[part.write] += 1
        assert (image[part.read][part.keep] == image[part.write]).all()
        for read, write, length in zip(part.read, part.write, shape, strict=True):
            assert write.stop - write.start <= tile
            assert read.start % 4 == 0
            assert read.start <= max(0, write.start - halo)
            assert read.stop >= min(length, write.stop + halo)
    assert (written == 1).all()


@given(
    start=st.tuples(st.integers(0, 80), st.integers(0, 80)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_tiles_of_a_region_cover_it_in_the_phase_of_the_whole_frame(start, size):
    region = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    written = np.zeros((120, 120), int)
    for part in plan_tiles((120, 120), 16, 8, 4, region):
        written[part.write] += 1
        assert all(read.start % 4 == 0 for read in part.read)
    assert (written[region] == 1).all()
    assert written.sum() == size[0] * size[1]


def test_windows_are_balanced_rather_than_leaving_a_sliver():
    heights = [t.write[0].stop - t.write[0].start for t in plan_tiles((1040, 8), 512, 0, 4)]
    assert heights == [348, 348, 344]


def test_one_whole_window_computes_nothing_twice():
    assert recompute_factor(plan_tiles((100, 60), 128, 48, 4), (100, 60)) == 1
    assert recompute_factor(plan_tiles((200, 200), 64, 48, 4), (200, 200)) > 2


def test_a_tile_below_the_stride_is_refused():
    with pytest.raises(ValueError, match="at least 4"):
        plan_tiles((10, 10), 2, 0, 4)
