"""What is learnt from: nothing of what is held out, and mapped as in use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _lazy import CountingStack
from _real import camera_pair, chosen, clean_image, drawn, noisy_shot, train, validate
from _tiny import tiny

from _networks import write_tiny_weights
from napari_denoise import Denoiser
from napari_denoise.image.axes import Layout
from napari_denoise.inference.albedo import guide_steps
from napari_denoise.measure.channels import measured
from napari_denoise.settings.denoise import DenoiseSettings
from napari_denoise.settings.finetune import FineTuneSettings
from napari_denoise.training.data.pairs import Corners, _corner_shares
from napari_denoise.training.data.real_pairs import Pair, pair_of
from napari_denoise.training.data.regions import Region, Regions
from napari_denoise.training.finetune.material import gather
from napari_denoise.weights.catalogue import WeightsInfo, read_info

RECIPE = tiny(patch=16, batch=4)
TRIANGLE = Region("validate", polygon=((0, 40), (60, 40), (0, 90)))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> WeightsInfo:
    folder = tmp_path_factory.mktemp("weights")
    return read_info(write_tiny_weights(folder / "tiny.safetensors"))


def gathered(pairs, regions, base, **settings):
    return gather(pairs, regions, FineTuneSettings.parse(settings), base)


def batches(pairs, regions, base, count=30, **settings):
    source = gathered(pairs, regions, base, **settings).pairs(RECIPE)
    drawn_ones = [source.batch(step) for step in range(count)]
    return [np.stack([getattr(b, n) for b in drawn_ones]) for n in ("noisy", "target", "sigma")]


CASES: dict[str, tuple[int, Regions]] = {
    "made up": (1, Regions()),
    "a rectangle": (1, drawn(validate(0, 60, 64, 96))),
    "a polygon": (1, drawn(TRIANGLE)),
    "training overlaps": (1, drawn(train(0, 0, 64, 80), validate(10, 50, 60, 96))),
    "a part of every frame": (3, drawn(validate(0, 0, 20, 96))),
    "one frame": (3, drawn(validate(frame=1))),
    "another part of each": (
        2,
        drawn(validate(0, 0, 64, 40, frame=0), validate(0, 50, 64, 96, frame=1)),
    ),
}


def changed_where(pair: Pair, masks: list[np.ndarray]) -> Pair:
    """Both images, with the marked pixels brighter, dimmer, scrambled."""
    rng = np.random.default_rng(9)
    several = pair.noisy.ndim == 3
    arrays = []
    for array in (pair.noisy, pair.target):
        frames = array.copy() if several else array[None].copy()
        for frame, mask in zip(frames, masks, strict=True):
            frame[mask] = rng.integers(0, 4000, int(mask.sum()))
        arrays.append(frames if several else frames[0])
    return replace(pair, noisy=arrays[0], target=arrays[1])


@pytest.mark.parametrize("case", CASES)
def test_nothing_that_is_held_out_changes_anything_that_is_learnt(case, base):
    frames, regions = CASES[case]
    pair = camera_pair(frames=frames)
    options = {"match": "always", "align": frames == 1}
    held = {h.frame: h.mask for h in gathered([pair], regions, base).held_out}
    none = np.zeros((64, 96), bool)
    masks = [held.get(number, none) for number in range(frames)]
    assert any(mask.any() for mask in masks)
    before = batches([pair], regions, base, **options)
    after = batches([changed_where(pair, masks)], regions, base, **options)
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one, other)


def render(frames=2):
    rng = np.random.default_rng(4)
    shape = (frames, 64, 96, 3)
    clean = rng.random(shape, np.float32) + 1
    noisy = clean * rng.gamma(4, 1 / 4, shape).astype(np.float32)
    guides = {"albedo": rng.random(shape, np.float32), "normal": rng.random(shape, np.float32)}
    return pair_of("r", noisy, clean, "TYXS", features=guides)


@pytest.fixture(scope="module")
def render_base(tmp_path_factory) -> WeightsInfo:
    folder = tmp_path_factory.mktemp("weights")
    return read_info(write_tiny_weights(folder / "render.safetensors", 3, features=8))


@pytest.mark.parametrize("where", [(0, 0, 20, 96), (30, 40, 60, 80)])
def test_no_albedo_that_is_held_out_changes_one_that_is_learnt_from(where, render_base):
    pair, regions = render(), drawn(validate(*where))
    top, left, bottom, right = where
    held = {role: array.copy() for role, array in pair.features.items()}
    for array in held.values():
        array[:, top:bottom, left:right] = 0.9
    near = {role: array.copy() for role, array in pair.features.items()}
    near["albedo"][:, 24, :5] = 0.9
    drawn_ones = [
        gathered([replace(pair, features=guides)], regions, render_base).pairs(RECIPE)
        for guides in (pair.features, held, near)
    ]
    before, after, other = (np.stack([d.batch(n).features for n in range(30)]) for d in drawn_ones)
    assert np.array_equal(before, after)
    assert not np.array_equal(before, other)


@pytest.mark.parametrize(
    ("regions", "learnt"),
    [
        (drawn(validate(pair="b")), 2),
        (drawn(train(0, 0, 24, 96), validate(24, 0, 30, 96)), 4),
        (drawn(train(0, 0, 64, 40, pair="a")), 2),
    ],
    ids=["a pair held out", "little trained on", "one pair trained on"],
)
def test_albedos_are_measured_where_nothing_is_held_out(regions, learnt, render_base):
    pairs = [replace(render(), name=name) for name in "ab"]
    other = np.random.default_rng(5).random(pairs[1].target.shape, np.float32) + 1
    pairs[1] = replace(pairs[1], target=other)
    material = gathered(pairs, regions, render_base)
    assert len(material.features) == len(material.frames) == learnt
    for planes, mask in zip(material.features, material.masks, strict=True):
        assert planes[mask][:, :3].std() > 0.05
        assert np.isfinite(planes).all()


def test_the_albedo_is_denoised_as_in_use(render_base):
    pair = render()
    material = gathered([pair], drawn(validate(frame=1)), render_base)
    guides = {role: array[:1] for role, array in pair.features.items()}
    job = Denoiser.load(str(render_base.path), device="cpu", precision="float32").prepare(
        pair.noisy[:1], "TYXS", guides
    )
    *_, last = guide_steps(job.features, job.albedo, 0, (slice(0, 64), slice(0, 96)))
    (planes,) = material.features
    assert np.array_equal(planes, np.moveaxis(last.result, 0, -1))
    assert not np.allclose(planes[..., :3], pair.features["albedo"][0], atol=0.01)


def test_what_is_learnt_does_change_what_is_learnt(base):
    """Or else the test above would prove nothing."""
    pair, regions = camera_pair(), CASES["a rectangle"][1]
    mask = np.zeros((64, 96), bool)
    mask[20:24, 20:24] = True
    before = batches([pair], regions, base)
    after = batches([changed_where(pair, [mask])], regions, base)
    assert not np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_a_scene_held_out_in_one_frame_is_not_learnt_from_another(base):
    clean = clean_image()[0]
    noisy = np.stack([noisy_shot(clean, seed) for seed in range(2)])
    pair = pair_of("a", noisy, clean, "TYX")
    regions = drawn(train(frame=0), validate(0, 48, 64, 96, frame=1))
    material = gathered([pair], regions, base)
    (mask,) = material.masks
    assert not mask[:, 48:].any() and mask[:, :48].all()
    assert [held.frame for held in material.held_out] == [1]
    assert any("64 pixels" in note or "3072 pixels" in note for note in material.notes)
    everywhere = np.zeros((64, 96), bool)
    everywhere[:, 48:] = True
    other = changed_where(replace(pair, target=np.array(pair.target)), [everywhere] * 2)
    other = replace(other, target=np.broadcast_to(other.target[0], other.noisy.shape))
    before, after = (batches([p], regions, base, match="always") for p in (pair, other))
    for one, two in zip(before, after, strict=True):
        assert np.array_equal(one, two)


def test_every_place_where_a_patch_fits_is_drawn_and_no_other():
    mask = np.zeros((40, 50), bool)
    mask[3:22, 5:30] = True
    mask[20:40, 30:50] = True
    corners = Corners(mask, 16)
    rng = np.random.default_rng(0)
    found = {corners.draw(rng) for _ in range(3000)}
    fits = {(y, x) for y in range(25) for x in range(35) if mask[y : y + 16, x : x + 16].all()}
    assert found == fits
    assert corners.count == len(fits)
    assert Corners(mask, 64).count == 0


def test_regions_too_small_for_a_patch_are_refused(base):
    material = gathered([camera_pair()], drawn(train(0, 0, 12, 96), validate(30, 0, 64, 96)), base)
    with pytest.raises(ValueError, match=r"no patch of 16 x 16 pixels lies .*: give larger images"):
        material.pairs(RECIPE)
    with pytest.raises(ValueError, match=r"no patch of 64 x 64 pixels lies .*: lower patch to 40,"):
        corners = [Corners(np.ones(shape, bool), 64) for shape in ((30, 90), (43, 60))]
        _corner_shares(corners, [np.ones((30, 90), bool), np.ones((43, 60), bool)], 64)


def test_frames_are_mapped_as_in_use(base):
    pair = camera_pair()
    material = gathered([pair], drawn(validate(0, 64, 64, 96)), base, match="never")
    left = pair.noisy[:, :64]
    layout = Layout("YX", left.shape)
    (channel,) = measured(left, layout, base.card, DenoiseSettings())
    (frame,) = material.frames
    assert frame.sigma == channel.scale.sigma * channel.scale.factor
    assert np.array_equal(frame.noisy[:, :64, 0], channel.mapping.forward(left))
    back = channel.mapping.inverse(frame.target[:, :64, 0])
    assert np.allclose(back, pair.target[:, :64], rtol=3e-3)


def test_stretched_pairs_are_matched(base):
    pair = camera_pair()
    stretched = replace(pair, target=(pair.target - 100) / 4)
    for match, close in (("auto", True), ("always", True), ("never", False)):
        material = gathered([stretched], Regions(), base, match=match)
        (held,) = material.held_out
        assert np.allclose(held.target[0], pair.target, rtol=0.05) == close


def test_a_shot_that_is_a_little_brighter_is_matched_in_training_alone(base):
    pair = camera_pair()
    dim = replace(pair, target=0.96 * pair.target)
    trained = {}
    for match in ("auto", "always", "never"):
        material = gathered([dim], Regions(), base, match=match)
        trained[match] = material.frames[0].target[:, :60]
        given = np.allclose(material.held_out[0].target[0], dim.target, rtol=1e-6)
        assert given == (match != "always")
    assert np.array_equal(trained["auto"], trained["always"])
    right = gathered([pair], Regions(), base, match="never").frames[0].target[:, :60]
    assert np.abs(trained["auto"] - right).mean() < 0.2 * np.abs(trained["never"] - right).mean()


def test_noise_alone_is_no_reason_to_scale(base):
    pair = camera_pair()
    one, other = (gathered([pair], Regions(), base, match=m).frames[0] for m in ("auto", "never"))
    assert np.array_equal(one.target, other.target)


def test_shifted_pairs_are_aligned(base):
    pair = camera_pair()
    moved = replace(pair, target=np.roll(pair.target, 2, axis=1))
    before, after = (
        gathered([moved], Regions(), base, align=align, match="never").held_out[0].target[0]
        for align in (False, True)
    )
    inner = np.s_[4:-4, 76:-6]
    errors = [np.abs(image - pair.target)[inner].mean() for image in (before, after)]
    assert errors[1] < 0.3 * errors[0]
    material = gathered([moved], Regions(), base, align=True)
    assert not material.masks[0][:, 68:72].any()  # so near to what is held out
    assert material.masks[0][4:-4, 10:60].all()


def test_bad_pixels_are_not_trained_on(base):
    pair = camera_pair()
    noisy = pair.noisy.astype(np.float32)
    noisy[5, 5] = np.nan
    target = pair.target.copy()
    target[9, 30] = np.inf
    (mask,) = gathered([replace(pair, noisy=noisy, target=target)], Regions(), base).masks
    assert not mask[5, 5] and not mask[9, 30]
    assert mask[6, 6]


def test_pairs_that_do_not_go_together_are_refused(base):
    with pytest.raises(ValueError, match="no pairs"):
        gathered([], Regions(), base)
    with pytest.raises(ValueError, match="two pairs are called 'a'"):
        gathered([camera_pair(), camera_pair(seed=1)], Regions(), base)
    with pytest.raises(ValueError, match="one kind at a time"):
        gathered([camera_pair(), camera_pair("b", noisy_target=True)], Regions(), base)
    with pytest.raises(ValueError, match=r"a: noisy \(64, 96\) and its partner \(64, 90\)"):
        gathered([replace(camera_pair(), target=np.zeros((64, 90)))], Regions(), base)
    with pytest.raises(ValueError, match="a: the noisy image is denoised already"):
        gathered([camera_pair(denoised=True)], Regions(), base)
    with pytest.raises(ValueError, match="nothing is left to train on"):
        gathered([camera_pair()], drawn(validate()), base)


def test_the_same_pair_twice_is_said(base):
    pair = camera_pair()
    material = gathered([pair, replace(pair, name="b")], Regions(), base)
    assert any("a and b hold the very same images" in note for note in material.notes)


def test_colour_is_trained_on_sample_by_sample_where_the_network_takes_one(base):
    clean = np.moveaxis(clean_image(frames=3), 0, -1)
    pair = pair_of("a", noisy_shot(clean), clean, "YXS")
    material = gathered([pair], Regions(), base)
    assert len(material.frames) == 3
    assert material.frames[0].noisy.shape == (64, 96, 1)
    assert material.held_out[0].target.shape == (3, 64, 96)


def test_gray_becomes_colour_where_the_network_takes_three(tmp_path):
    settings = chosen(tmp_path, channels=3)
    colour = read_info(tmp_path / "base3False.safetensors")
    (frame,) = gather([camera_pair()], Regions(), settings, colour).frames
    assert frame.noisy.shape == (64, 96, 3)
    assert np.array_equal(frame.noisy[..., 0], frame.noisy[..., 2])


def test_noise_that_is_given_is_told(base):
    one, other = (
        gathered([camera_pair()], Regions(), base, noise=noise).frames[0].sigma
        for noise in (5.0, 10.0)
    )
    assert other == pytest.approx(2 * one)


def test_a_frame_is_read_once_for_what_is_learnt_and_what_is_held_out(base):
    clean = clean_image(frames=2)
    target = CountingStack(clean, "TYX")
    pair = Pair("a", noisy_shot(clean), target, "TYX")
    material = gathered([pair], drawn(validate(0, 0, 20, 96)), base)
    assert len(material.frames) == len(material.held_out) == 2
    assert target.reads == {(0,): 4, (1,): 4}  # for the hash, the scenes, the checks, and this
    assert np.array_equal(material.held_out[1].noisy, pair.noisy[1:].astype(np.float32))
