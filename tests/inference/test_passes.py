"""Light passes are denoised so that they add up to the beauty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from napari_denoise import Denoiser, DenoiseWarning, ImageMeta, read, write
from napari_denoise.inference.adding_up import balanced, find_sum
from napari_denoise.io.errors import FileError

# Nothing lies around the things of these scenes, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:.*constant 0", "ignore:no noise was found")

SIZE = 72
YY, XX = np.mgrid[:SIZE, :SIZE].astype(np.float32)
Images = dict[str, np.ndarray]


def scene(seed: int = 0) -> tuple[Images, Images, np.ndarray]:
    """Return clean passes, the same with noise of each, and the albedo."""
    rng = np.random.default_rng(seed)
    texture = 0.5 + 0.35 * np.sin(XX / 1.7)[..., None] * np.array([1, 0.7, 0.4])
    albedo = texture.astype(np.float32)
    light = 0.2 + np.exp(-((YY - 20) ** 2 + (XX - 30) ** 2) / 800)[..., None]
    spot = np.exp(-((YY - 50) ** 2 + (XX - 50) ** 2) / 30)[..., None]
    clean = {
        "diffuse_direct": albedo * light,
        "diffuse_indirect": albedo * 0.3,
        "specular": spot * np.ones(3),
        "emission": ((XX > 60) & (YY < 12))[..., None] * np.array([1.5, 1.0, 0.2]),
    }
    clean = {name: image.astype(np.float32) for name, image in clean.items()}
    noisy = {
        name: (image * rng.gamma(3, 1 / 3, (SIZE, SIZE, 1))).astype(np.float32)
        if name != "emission"
        else image
        for name, image in clean.items()
    }
    return clean, noisy, albedo


def total(parts: Images) -> np.ndarray:
    return np.sum(list(parts.values()), axis=0, dtype=np.float64).astype(np.float32)


def error(image: np.ndarray, wanted: np.ndarray) -> float:
    return float((np.square(image - wanted) / (np.square(wanted) + 0.01)).mean())


def meta_of(passes: Images, albedo: np.ndarray) -> ImageMeta:
    extra = {"format": "exr"}
    return ImageMeta("YXS", features={"albedo": albedo}, layers=passes, extra=extra)


@pytest.fixture(scope="module")
def render() -> Denoiser:
    return Denoiser.load("render", device="cpu")


def test_passes_add_up_and_each_is_as_good_as_by_itself(render: Denoiser) -> None:
    clean, noisy, albedo = scene()
    beauty = total(noisy)
    result, meta = render.with_passes(beauty, meta_of(noisy, albedo))
    assert set(meta.layers) == set(clean)
    lacking = result.astype(np.float64) - sum(p.astype(np.float64) for p in meta.layers.values())
    assert np.abs(lacking).max() <= 2e-6 * result.max()
    for name, image in meta.layers.items():
        assert image.min() >= 0
        features = {"albedo": albedo} if "diffuse" in name else {}
        own = replace(meta_of({}, albedo), features=features)
        alone = render(noisy[name], meta=own)
        assert error(image, clean[name]) <= error(alone, clean[name]) * 1.001 + 1e-9
    alone = render(beauty, meta=meta_of({}, albedo))
    assert error(result, total(clean)) < error(alone, total(clean))


def test_light_groups_are_fitted_to_the_beauty_and_gain_by_it(render: Denoiser) -> None:
    clean, _, albedo = scene()
    whole, rng = total(clean), np.random.default_rng(4)
    shares = {f"RGBA_{n}": np.float32(share) for n, share in (("key", 0.6), ("fill", 0.4))}
    groups = {
        name: (whole * share * rng.gamma(1, 1, (SIZE, SIZE, 1))).astype(np.float32)
        for name, share in shares.items()
    }
    beauty = total(groups)
    result, meta = render.with_passes(beauty, meta_of(groups, albedo))
    np.testing.assert_array_equal(result, render(beauty, meta=meta_of({}, albedo)))
    np.testing.assert_allclose(total(dict(meta.layers)), result, rtol=1e-6, atol=1e-6)
    for name, image in meta.layers.items():
        alone = render(groups[name], meta=meta_of({}, albedo))
        assert image.min() >= 0
        assert error(image, whole * shares[name]) < error(alone, whole * shares[name])


def test_what_passes_lack_is_said(render: Denoiser) -> None:
    _, noisy, albedo = scene()
    some = {name: image for name, image in noisy.items() if name != "diffuse_direct"}
    share = 1 - float(noisy["diffuse_direct"].sum() / total(noisy).sum())
    with pytest.warns(
        DenoiseWarning, match=f"add up to {share:.1%} of the beauty".replace("%", ".")
    ):
        result, meta = render.with_passes(total(noisy), meta_of(some, albedo))
    assert set(meta.layers) == set(some)
    assert (result - total(dict(meta.layers))).mean() > 0.1  # the pass that is missing


def test_passes_that_are_no_parts_of_the_beauty_are_denoised_by_themselves(
    render: Denoiser,
) -> None:
    _, noisy, albedo = scene()
    beauty = total(noisy)
    with pytest.warns(DenoiseWarning, match="the passes do not add up to the beauty"):
        result, meta = render.with_passes(beauty / (1 + beauty), meta_of(noisy, albedo))
    assert set(meta.layers) == set(noisy)
    alone = render(beauty / (1 + beauty), meta=meta_of({}, albedo))
    np.testing.assert_array_equal(result, alone)


def test_sums_of_passes_are_found_and_stay_sums() -> None:
    _, noisy, _ = scene()
    diffuse = noisy["diffuse_direct"] + noisy["diffuse_indirect"]
    found = find_sum(total(noisy), {"diffuse": diffuse, **noisy})
    assert found.is_whole and set(found.members) == set(noisy)
    assert found.totals == {"diffuse": ("diffuse_direct", "diffuse_indirect")}


@pytest.mark.parametrize("count", [4, 20])
def test_what_is_no_part_is_left_out_of_the_sum(count: int) -> None:
    rng = np.random.default_rng(0)
    parts = {f"p{i}": rng.gamma(1, 1, (9, 30, 3)).astype(np.float32) for i in range(count)}
    other = {"other": rng.gamma(1, 1, (9, 30, 3)).astype(np.float32) * 3}
    found = find_sum(total(parts), {**other, **parts})
    assert found.is_whole and set(found.members) == set(parts)


def test_balanced_passes_add_up_and_none_is_negative() -> None:
    rng = np.random.default_rng(0)
    clean = [rng.gamma(0.3, 1, (300, 7, 3)).astype(np.float32) for _ in range(4)]
    noisy = [a * rng.gamma(1, 1, a.shape).astype(np.float32) for a in clean]
    beauty = (np.sum(clean, axis=0) * rng.uniform(0.1, 1.5, (300, 7, 3))).astype(np.float32)
    out = balanced(beauty, clean, noisy)
    assert min(part.min() for part in out) >= 0
    lacking = np.sum(out, axis=0, dtype=np.float64) - beauty
    assert np.abs(lacking).max() <= 1e-6 * beauty.max()


def save(path: Path, layers: Images) -> Path:
    channels = {
        f"{name}.{c}" if name else c: np.ascontiguousarray(image[..., i], "float32")
        for name, image in layers.items()
        for i, c in enumerate("RGB")
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))
    return path


def test_passes_of_cycles_are_written_without_the_colour_of_the_surface(
    render: Denoiser, tmp_path: Path
) -> None:
    _, noisy, albedo = scene()
    light = {
        "V.DiffDir": noisy["diffuse_direct"] / albedo,
        "V.DiffInd": noisy["diffuse_indirect"] / albedo,
        "V.GlossDir": noisy["specular"],
        "V.Emit": noisy["emission"],
    }
    others = {"V.Combined": total(noisy), "V.DiffCol": albedo, "V.Mist": albedo}
    source = save(tmp_path / "a.exr", {**light, **others})
    array, meta = read(source, passes=True)
    result, meta = render.with_passes(array, meta)
    write(tmp_path / "b.exr", result, meta)
    stored = OpenEXR.File(str(tmp_path / "b.exr"), separate_channels=True).parts[0].channels

    def image(name: str) -> np.ndarray:
        return np.stack([stored[f"{name}.{c}"].pixels for c in "RGB"], -1)

    for name in ("V.DiffCol", "V.Mist"):
        np.testing.assert_array_equal(image(name), albedo)
    lit = (image("V.DiffDir") + image("V.DiffInd")) * albedo + image("V.GlossDir") + image("V.Emit")
    np.testing.assert_allclose(lit, image("V.Combined"), rtol=1e-5, atol=1e-6)
    assert not np.allclose(image("V.DiffDir"), light["V.DiffDir"])


def test_a_file_without_passes_is_refused(tmp_path: Path) -> None:
    clean, _, albedo = scene()
    source = save(tmp_path / "a.exr", {"": total(clean), "albedo": albedo})
    with pytest.raises(
        FileError, match="it has no light passes beside 'RGB', only 'RGB', 'albedo'"
    ):
        read(source, passes=True)
    with pytest.raises(ValueError, match=r"read\(path, passes=True\)"):
        Denoiser.load("render", device="cpu").with_passes(*read(source))
