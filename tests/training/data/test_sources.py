"""A folder of training data: pictures, renders or real pairs, mapped as in use."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from _tiny import tiny
from PIL import Image

from napari_denoise.image.axes import Layout
from napari_denoise.measure.channels import measured
from napari_denoise.measure.mappings import LOG_WIDTH, AnscombeMapping
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.training.data.pairs import RealPairs, SyntheticPairs
from napari_denoise.training.data.renders import RenderPairs
from napari_denoise.training.data.sources import open_pairs
from napari_denoise.training.loop.run import make_card
from napari_denoise.training.loop.validation import Validator

COLOUR = {"channels": 3, "widths": (8, 8), "blocks": (1, 1, 1)}
NOISE2NOISE = {"distortion": {"loss": "l2"}}


def opened(folder, **changes):
    settings = tiny(**{"noise": {"sigma": (0.0, 0.5)}, **changes})
    return open_pairs(folder, settings, make_card(settings, 0))


def write_pictures(folder, count=5, size=(40, 48)):
    for number in range(count):
        codes = np.full(size, 10 * number + 10, np.uint8)
        Image.fromarray(codes).save(folder / f"{number}.png")
    return folder


def photons(seed=0, frames=2, gain=2.0, offset=100.0, peak=30.0):
    """Noisy and clean stacks (T, Y, X) of a camera."""
    y, x = np.mgrid[:64, :64]
    counts = peak * (0.6 + 0.4 * np.sin(x / 9) * np.cos(y / 7)) * np.ones((frames, 1, 1))
    rng = np.random.default_rng(seed)
    noisy = gain * rng.poisson(counts) + offset + rng.normal(0, 2, counts.shape)
    return np.uint16(np.clip(noisy, 0, None)), np.float32(gain * counts + offset)


def write_pair(folder, noisy, other, name="a.ome.tif", second=False, axes="TYX"):
    for part, array in (("noisy", noisy), ("noisy2" if second else "clean", other)):
        (folder / part).mkdir(exist_ok=True)
        tifffile.imwrite(folder / part / name, array, ome=True, metadata={"axes": axes})
    return folder


def test_pictures_are_made_noisy(tmp_path):
    pairs, validator = opened(write_pictures(tmp_path))
    assert isinstance(pairs, SyntheticPairs)
    assert len(pairs.images) == 5
    assert validator is None


def test_held_out_pictures_are_validated_on_and_never_trained_on(tmp_path):
    pairs, validator = opened(write_pictures(tmp_path, 9), held_out=3)
    assert isinstance(validator, Validator)
    trained_on = {int(image[0, 0, 0]) for image in pairs.images}
    kept = {round(float(image[0, 0, 0]) * 255) for image in validator.clean}
    assert len(kept) == 3
    assert len(trained_on) == 6
    assert not kept & trained_on
    assert min(kept) > 10  # spread over the folder, neither all first nor all last
    assert max(kept) < 90
    assert max(kept) - min(kept) >= 30


def test_some_pictures_must_be_left_to_train_on(tmp_path):
    with pytest.raises(ValueError, match="held_out is 5 and there are 5 pictures"):
        opened(write_pictures(tmp_path), held_out=5)
    pairs, validator = opened(tmp_path, held_out=4)
    assert (len(pairs.images), len(validator.clean)) == (1, 4)


def test_images_smaller_than_a_patch_are_refused(tmp_path):
    write_pictures(tmp_path, 3)
    Image.fromarray(np.zeros((12, 48), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"1 of 4 images are smaller.* 16 .*12 x 48"):
        opened(tmp_path)
    (tmp_path / "real").mkdir()
    noisy, clean = photons()
    write_pair(tmp_path / "real", noisy[:, :12], clean[:, :12])
    with pytest.raises(ValueError, match="2 of 2 images are smaller"):
        opened(tmp_path / "real")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no training image"):
        opened(tmp_path)
    with pytest.raises(FileNotFoundError, match="no view"):
        opened(tmp_path, domain="render")
    (tmp_path / "noisy").mkdir()
    with pytest.raises(FileNotFoundError, match="real pairs need files in noisy/"):
        opened(tmp_path)


def test_renders_are_read_by_their_domain(tmp_path):
    arrays = {f"noisy_{s}": np.ones((20, 24, 3)) for s in ("4", "4b", "8", "16")}
    arrays |= {name: np.ones((20, 24, 3)) for name in ("ref", "albedo_8", "normal_8")}
    np.savez(tmp_path / "view.npz", **arrays)
    pairs, validator = opened(tmp_path, domain="render", config=COLOUR)
    assert isinstance(pairs, RenderPairs)
    assert validator is None
    with pytest.raises(ValueError, match="smaller than the patch of 32"):
        opened(tmp_path, domain="render", config=COLOUR, patch=32)


def test_real_pairs_are_mapped_as_in_inference(tmp_path):
    noisy, clean = photons()
    pairs, _ = opened(write_pair(tmp_path, noisy, clean))
    assert isinstance(pairs, RealPairs)
    assert not pairs.noisy_target
    assert len(pairs.stacked) == 2  # every frame
    settings = tiny(noise={"sigma": (0.0, 0.5)})
    (channel,) = measured(
        noisy, Layout("TYX", noisy.shape), make_card(settings, 0), DenoiseSettings()
    )
    assert isinstance(channel.mapping, AnscombeMapping)
    assert channel.scale.factor == 1
    for frame in range(2):
        given, wanted = pairs.stacked[frame][..., 0], pairs.stacked[frame][..., 1]
        assert np.array_equal(given, channel.mapping.forward(noisy[frame]))
        assert pairs.sigmas[frame] == channel.scale.sigma
        # The target is the mean of what the noisy values map to, from which inverse comes back.
        assert np.allclose(channel.mapping.inverse(wanted), clean[frame], rtol=2e-3)
        error = given - wanted
        assert error.std() == pytest.approx(pairs.sigmas[frame], rel=0.15)
        assert abs(error.mean()) < 0.15 * error.std()


def test_real_pairs_of_files_share_nothing_but_their_recipe(tmp_path):
    for number, gain in enumerate((1.0, 4.0)):
        write_pair(tmp_path, *photons(number, gain=gain), name=f"{number}.ome.tif")
    (tmp_path / "noisy" / ".DS_Store").write_text("not an image")
    pairs, _ = opened(tmp_path)
    assert len(pairs.stacked) == 4
    assert all(0 < stacked.mean() < 1 for stacked in pairs.stacked)


def test_more_noise_than_the_recipe_has_is_squeezed_as_in_inference(tmp_path):
    noisy, clean = photons(peak=2.0)
    changes = {"noise": {"sigma": (0.0, 0.1)}}
    pairs, _ = opened(write_pair(tmp_path, noisy, clean), **changes)
    (channel,) = measured(
        noisy, Layout("TYX", noisy.shape), make_card(tiny(**changes), 0), DenoiseSettings()
    )
    factor = channel.scale.factor
    assert factor < 0.9
    assert pairs.sigmas[0] == pytest.approx(0.1)
    expected = (channel.mapping.forward(noisy[0]) - 0.5) * factor + 0.5
    assert np.allclose(pairs.stacked[0][..., 0], expected, atol=1e-6)
    target = (pairs.stacked[0][..., 1] - 0.5) / factor + 0.5
    assert np.allclose(channel.mapping.inverse(target), clean[0], rtol=5e-3)


def test_channels_are_mapped_one_by_one(tmp_path):
    (dim, clean_dim), (bright, clean_bright) = (
        photons(n, frames=1, gain=gain) for n, gain in enumerate((1.0, 50.0))
    )
    noisy, clean = np.concatenate([dim, bright]), np.concatenate([clean_dim, clean_bright])
    pairs, _ = opened(write_pair(tmp_path, noisy, clean, axes="CYX"))
    assert len(pairs.stacked) == 2
    assert all(0.3 < stacked.mean() < 0.7 for stacked in pairs.stacked)


def test_bad_pixels_do_not_reach_a_batch(tmp_path):
    noisy, clean = (np.float32(array) for array in photons())
    noisy[0, 20, 20:23], clean[1, 5, 5] = np.nan, np.inf
    pairs, _ = opened(write_pair(tmp_path, noisy, clean))
    assert all(np.isfinite(stacked).all() for stacked in pairs.stacked)


def test_two_noisy_shots_are_mapped_alike(tmp_path):
    (one, _), (other, _) = photons(0), photons(1)
    pairs, _ = opened(write_pair(tmp_path, one, other, second=True), **NOISE2NOISE)
    assert pairs.noisy_target
    given, wanted = pairs.stacked[0][..., 0], pairs.stacked[0][..., 1]
    assert given.std() == pytest.approx(wanted.std(), rel=0.05)
    assert abs((given - wanted).mean()) < 0.1 * given.std()
    with pytest.raises(ValueError, match="'l1' with noisy targets"):
        opened(tmp_path)


def test_clean_images_are_preferred_to_second_shots(tmp_path):
    noisy, clean = photons()
    write_pair(tmp_path, noisy, noisy, second=True)
    pairs, _ = opened(write_pair(tmp_path, noisy, clean))
    assert not pairs.noisy_target


def test_a_missing_partner_is_named(tmp_path):
    noisy, clean = photons()
    write_pair(tmp_path, noisy, clean)
    write_pair(tmp_path, noisy, clean, name="b.ome.tif")
    (tmp_path / "clean" / "b.ome.tif").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"noisy/b\.ome\.tif: it has no partner .* in clean/"
    ):
        opened(tmp_path)


def test_pairs_of_different_shapes_are_refused(tmp_path):
    noisy, clean = photons()
    write_pair(tmp_path, noisy, clean[:, :40])
    with pytest.raises(ValueError, match=r"\(2, 64, 64\) and .* is \(2, 40, 64\)"):
        opened(tmp_path)


def test_colour_for_a_network_of_one_channel_is_refused_and_the_reverse(tmp_path):
    codes = np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8)
    for name, picture in (("colour", codes), ("gray", codes[..., 0])):
        for part in ("noisy", "clean"):
            (tmp_path / name / part).mkdir(parents=True)
            Image.fromarray(picture).save(tmp_path / name / part / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: 3 colour samples a pixel.* takes 1"):
        opened(tmp_path / "colour")
    with pytest.raises(ValueError, match=r"a\.png: 1 colour samples a pixel.* takes 3"):
        opened(tmp_path / "gray", domain="photo", config=COLOUR)
    pairs, _ = opened(tmp_path / "colour", domain="photo", config=COLOUR)
    assert pairs.batch(0).noisy.shape == (2, 3, 16, 16)


def write_radiance(folder, name="a.tif", brightness=4.0, second=False):
    rng = np.random.default_rng(0)
    reference = rng.random((40, 48, 3)) * brightness + 0.01
    for part in ("noisy", "noisy2" if second else "clean"):
        (folder / part).mkdir(exist_ok=True)
        frame = np.float32(reference * rng.gamma(4, 0.25, reference.shape))
        tifffile.imwrite(folder / part / name, frame, photometric="rgb")
    return folder


def test_pairs_of_linear_hdr_know_how_to_go_back_to_radiance(tmp_path):
    changes = {"domain": "render", "config": COLOUR, "distortion": {"loss": "relative"}}
    pairs, _ = opened(write_radiance(tmp_path, second=True), **changes)
    assert pairs.batch(0).log_width == pytest.approx(LOG_WIDTH, abs=1e-5)
    with pytest.raises(ValueError, match="mean of their logarithms"):
        opened(tmp_path, **{**changes, "distortion": {"loss": "l2"}})


def test_linear_hdr_among_other_images_is_refused(tmp_path):
    write_radiance(tmp_path)
    write_radiance(tmp_path, "b.tif", brightness=0.2)  # below 1: a photograph
    with pytest.raises(ValueError, match="linear HDR among other images"):
        opened(tmp_path, domain="photo", config=COLOUR)
