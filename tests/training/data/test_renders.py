"""Path-traced views: radiance through the logarithm, with features and masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _tiny import tiny, trained

from napari_denoise.measure.mappings import LOG_WIDTH
from napari_denoise.measure.noise_estimation import roughness
from napari_denoise.training.data.renders import FEATURES, RenderPairs, TrainingView, load_views

RENDER = {
    "domain": "render",
    "config": {"channels": 3, "widths": (8, 8), "blocks": (1, 1, 1), "features": FEATURES},
    "noise": {"sigma": (0.0, 0.5)},
}


def view(factor=1.0, seed=0, size=(40, 48), count=2):
    rng = np.random.default_rng(seed)
    reference = np.float32(0.2 + rng.random((*size, 3)) ** 4)
    noisy = [reference * rng.gamma(4, 0.25, (*size, 3)).astype(np.float32) for _ in range(count)]
    albedo, normal = (rng.random((*size, 3)).astype(np.float32) + 0.1 for _ in range(2))
    return TrainingView(tuple(n * factor for n in noisy), reference * factor, (albedo,), (normal,))


def radiance(mapped):
    return np.expm1(mapped * LOG_WIDTH)


def test_batches_hold_colour_features_and_masks():
    batch = RenderPairs([view()], tiny(**RENDER, batch=200)).batch(0)
    assert batch.noisy.shape == batch.target.shape == (200, 3, 16, 16)
    assert batch.features.shape == (200, 8, 16, 16)
    assert batch.sigma.shape == (200, 1, 16, 16)
    assert {a.dtype for a in (batch.noisy, batch.target, batch.sigma, batch.features)} == {
        np.dtype(np.float32)
    }
    assert batch.log_width == pytest.approx(LOG_WIDTH)
    albedo, normal, masks = np.split(batch.features, [3, 6], axis=1)
    for planes, mask in ((albedo, masks[:, 0]), (normal, masks[:, 1])):
        there = mask.reshape(200, -1).mean(axis=1)
        assert set(there) == {0.0, 1.0}  # whole patches go without
        assert 0.41 < there.mean() < 0.61  # of 51 %, three standard deviations
        assert (planes[there == 1] > 0).all()
        assert (planes[there == 0] == 0).all()
    assert (masks[:, 0, 0, 0] != masks[:, 1, 0, 0]).any()
    assert 0.3 < (masks[:, :, 0, 0].sum(axis=1) == 0).mean() < 0.52  # of 41 %: colour alone


def test_colour_features_and_target_are_of_the_same_place():
    y, x = np.mgrid[:40, :48].astype(np.float32)
    place = np.stack([y, x, y * x], axis=-1) / 100 + 0.01
    pairs = RenderPairs(
        [TrainingView((place,), place, (place,), (-place,))], tiny(**RENDER, batch=20)
    )
    batch = pairs.batch(0)
    assert np.array_equal(batch.noisy, batch.target)
    for colour, features in zip(batch.noisy, batch.features, strict=True):
        level = 0.25 * place.mean()
        if features[6].any():
            assert np.allclose(radiance(colour) * level, features[:3], rtol=1e-3)
        if features[7].any():
            normal = -features[3:6]
            assert np.allclose(np.sort(radiance(colour) * level, 0), np.sort(normal, 0), rtol=1e-3)
            y, x, product = 100 * (normal - 0.01)  # a direction is no colour: its order stays
            assert np.allclose(y * x, product, atol=0.1)


def test_every_order_of_the_colours_is_drawn():
    place = np.ones((16, 16, 3), np.float32) * np.float32([1, 2, 4])
    seen = TrainingView((place,), place, (place,), (place,))
    batch = RenderPairs([seen], tiny(**RENDER, batch=60)).batch(0)
    orders = {tuple(np.argsort(colour[:, 0, 0])) for colour in batch.target}
    assert len(orders) == 6


@pytest.mark.parametrize("factor", [1e-3, 0.5, 1e4])
def test_a_factor_on_the_radiance_changes_nothing_after_the_mapping(factor):
    settings = tiny(**RENDER)
    one = RenderPairs([view()], settings).batch(0)
    other = RenderPairs([view(factor)], settings).batch(0)
    for name in ("noisy", "target", "sigma", "features"):
        assert np.allclose(getattr(one, name), getattr(other, name), atol=1e-5), name


def test_patches_are_lit_otherwise_each_colour_by_itself():
    place = np.ones((16, 16, 3), np.float32)
    pairs = RenderPairs(
        [TrainingView((place,), 2 * place)], tiny(**RENDER, exposure_augmentation=1, batch=40)
    )
    batch = pairs.batch(0)
    lights = radiance(batch.noisy)[:, :, 0, 0] * 0.25  # the mean is at four
    assert np.allclose(radiance(batch.target)[:, :, 0, 0] * 0.25, 2 * lights, rtol=1e-4)
    stops = np.log2(lights)
    assert stops.mean(axis=1).min() < -0.5 < 0.5 < stops.mean(axis=1).max()
    assert np.abs(stops).max() <= 1.5
    assert 0.1 < np.ptp(stops, axis=1).mean() <= 1


def test_the_told_level_is_the_roughness_that_inference_measures():
    views = [view()]
    batch = RenderPairs(views, tiny(**RENDER)).batch(0)
    levels = []
    for frame in views[0].noisy:
        mapped = np.log1p(frame / (0.25 * frame.mean())) / LOG_WIDTH
        levels.append(roughness([np.moveaxis(mapped, -1, 0)]))
    for told in batch.sigma[:, 0, 0, 0]:
        assert min(abs(told - level) for level in levels) < 1e-4


def test_noise2noise_draws_two_different_renderings():
    settings = tiny(**RENDER, distortion={"loss": "relative"}, batch=12)
    bare = replace(view(), reference=None)
    pairs = RenderPairs([bare], settings, noisy_target=True)
    assert pairs.noisy_target
    batch = pairs.batch(0)
    assert all((n != t).mean() > 0.9 for n, t in zip(batch.noisy, batch.target, strict=True))


def test_what_is_missing_is_named():
    settings = tiny(**RENDER, distortion={"loss": "relative"})
    with pytest.raises(ValueError, match="view 1 needs a reference"):
        RenderPairs([view(), replace(view(), reference=None)], settings)
    with pytest.raises(ValueError, match="view 0 needs two noisy renderings"):
        RenderPairs([view(count=1)], settings, noisy_target=True)


def test_a_network_for_other_features_is_refused():
    for count in (0, FEATURES):
        RenderPairs([view()], tiny(**{**RENDER, "config": {"channels": 3, "features": count}}))
    with pytest.raises(ValueError, match=r"config\.features = 6: renders give 8 planes"):
        RenderPairs([view()], tiny(**{**RENDER, "config": {"channels": 3, "features": 6}}))


def save(path, **changes):
    noisy, other = view().noisy
    arrays = {f"noisy_{s}": noisy for s in ("4", "8", "16")} | {"noisy_4b": other}
    arrays |= {"ref": view().reference, "albedo_8": view().albedo[0], "normal_8": view().normal[0]}
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **{k: v.astype(np.float16) for k, v in arrays.items()})


def test_views_are_read_from_files(tmp_path):
    (tmp_path / "deep").mkdir()
    save(tmp_path / "b.npz")
    save(tmp_path / "deep" / "c.npz", noisy_32=view().noisy[0], albedo=view().albedo[0])
    views = load_views(tmp_path)
    assert [len(v.noisy) for v in views] == [4, 5]  # as many as each file holds
    assert views[0].noisy[1].dtype == np.float32
    assert np.allclose(views[0].noisy[2], view().noisy[1], rtol=1e-3)  # 16, 4, 4b, 8
    assert np.allclose(views[0].albedo[3], view().albedo[0], rtol=1e-3)


def test_each_rendering_goes_with_its_own_albedo_or_without(tmp_path):
    other = 0.5 * view().albedo[0]
    save(tmp_path / "a.npz", albedo_4=other)
    (found,) = load_views(tmp_path)
    of_16, of_4, of_4b, of_8 = (found.of(number)[0] for number in range(4))
    assert np.allclose(of_4, other, rtol=1e-3)
    assert np.allclose(of_8, view().albedo[0], rtol=1e-3)
    assert of_16 is None
    assert of_4b is None
    few = np.full((16, 16, 3), 0.25, np.float32)
    many = np.full((16, 16, 3), 0.75, np.float32)
    pairs = RenderPairs([TrainingView((few, many), few, (few, many))], tiny(**RENDER, batch=60))
    batch = pairs.batch(0)
    there = batch.features[:, 6, 0, 0] == 1
    assert set(batch.features[there, 0, 0, 0]) == {0.25, 0.75}
    assert not batch.features[:, 7].any()


@pytest.mark.parametrize("name", ["ref", "albedo_8", "normal_8"])
def test_an_array_that_a_file_lacks_is_named(name, tmp_path):
    save(tmp_path / "a.npz", **{name: None})
    with pytest.raises(ValueError, match=rf"a\.npz: the array '{name}' is missing; found \['noisy"):
        load_views(tmp_path)


def test_a_view_without_a_noisy_rendering_is_refused(tmp_path):
    save(tmp_path / "a.npz", **dict.fromkeys(("noisy_4", "noisy_4b", "noisy_8", "noisy_16")))
    with pytest.raises(ValueError, match=r"a\.npz: the array 'noisy_4' is missing; found \['ref"):
        load_views(tmp_path)


def test_a_folder_without_views_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no view found; expected \.npz"):
        load_views(tmp_path)


def test_both_stages_train_on_renders(tmp_path):
    settings = tiny(**RENDER, distortion={"loss": "relative"}, adversarial={"loss": "relative"})
    reports = trained(settings, tmp_path / "c.pt", RenderPairs([view()], settings))
    assert all(all(report.finite.values()) for report in reports)
