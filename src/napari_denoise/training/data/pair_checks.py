"""What is said of a pair when it is added: whether it can be learnt from, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_denoise.image.frames import evenly
from napari_denoise.image.tiles import Window
from napari_denoise.measure.noise_estimation import roughness
from napari_denoise.training.data.pair_planes import WHOLE, PairPlanes, Plane
from napari_denoise.training.data.real_pairs import FEWEST_FRAMES, Pair

Severity = Literal["info", "warning", "error"]

LARGEST_SHIFT = 0.3
"""Pixels; a clean image further off teaches a blur."""
_SEEN = 0.05
"""A factor this far from 1, or an offset of this share of the span, is worth a word."""
_CLEAR = 0.25
"""So far, the images cannot be in the same units."""
_SURE = 4.0
"""Standard errors that noise does not reach."""
_CLIPPED_TOP, _CLIPPED_BOTTOM = 0.005, 0.2
_ALIKE = 0.5
"""Least correlation of block means; less is not the same scene."""
_MOVED = 0.1
"""Share of the variance of block means by which repeated frames may differ."""
_BLOCK, _FRAMES, _SIDE, _FINE = 8, 4, 512, 50
_OF_THE_TARGET = frozenset({"motion", "scene", "swapped", "intensity"})
_FAR, _FEW, _SHARE, _ALL = 4.5, 3, 0.002, 4.5
"""Blocks that changed by so many standard deviations, that many and that share of all, have moved;
where the middle block changed by as many, everything has. Noise that is coarse reaches 3.5."""


@dataclass(frozen=True)
class Finding:
    """One thing to say of a pair."""

    severity: Severity
    code: str
    text: str
    """What was found, with its value."""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class Match(NamedTuple):
    """``clean * factor + offset`` is nearest to the noisy image in squares."""

    factor: float = 1.0
    offset: float = 0.0
    certain: bool = False
    """Whether it differs from no change by more than the noise explains."""


@dataclass(frozen=True)
class Verdict:
    """All that is said of a pair, and what brings its target onto the noisy image.

    Parameters
    ----------
    pair
        Its name.
    findings
        The worst first.
    matches
        One per channel.
    differs
        Whether the intensities clearly differ, so that they were stretched separately.
    shift
        Rows and columns by which the target must be moved.
    """

    pair: str
    findings: tuple[Finding, ...]
    matches: tuple[Match, ...] = (Match(),)
    differs: bool = False
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def usable(self) -> bool:
        """Whether nothing forbids training on it."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is to be kept in mind with every figure of this pair."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def doubts(self) -> tuple[Finding, ...]:
        """What speaks against the target: training on it may harm, and figures mislead."""
        return tuple(finding for finding in self.warnings if finding.code in _OF_THE_TARGET)


@dataclass(frozen=True, eq=False)
class _Look:
    """The frames of a pair that its checks look at, within a window; each is read once.

    Parameters
    ----------
    pair
        With images of one shape.
    window, frames
        See `check_pair`.
    """

    pair: Pair
    window: Window
    frames: Sequence[int]

    @cached_property
    def kept(self) -> dict[int, PairPlanes]:
        """A few frames, spread over all, by their numbers: most checks are of them."""
        return {
            number: self.pair.planes(number, self.window) for number in evenly(self.frames, _FRAMES)
        }

    def of_channel(self, channel: int) -> list[PairPlanes]:
        """Return a few frames of a channel; those that are not kept are read for them alone."""
        layout = self.pair.layout
        numbers = [number for number in self.frames if layout.channel_of(number) == channel]
        return [
            self.kept.get(number) or self.pair.planes(number, self.window)
            for number in evenly(numbers, _FRAMES)
        ]


def check_pair(pair: Pair, window: Window = WHOLE, frames: Sequence[int] | None = None) -> Verdict:
    """Look at shapes, intensities, alignment, clipping and provenance.

    Parameters
    ----------
    pair
        As it is given.
    window, frames
        Rows and columns, and numbers of frames, to look at where others are held out; None for
        all.
    """
    failed = _unusable(pair)
    if failed is not None:
        return Verdict(pair.name, (failed,))
    look = _Look(pair, window, range(len(pair.layout.frames)) if frames is None else frames)
    seen = [*look.kept.values()]
    failed = _unlearnable(seen, alone=pair.stack)
    if failed is not None:
        return Verdict(pair.name, (failed,))
    if pair.stack:
        found = (*_clipping(seen[0].noisy), *_without_value(seen, ("stack",)), *_as_stack(pair))
        return Verdict(pair.name, found, (Match(),) * pair.layout.size("C"))
    shown = [planes.gray for planes in seen]
    shift = _shift(shown)
    matches, span = _matches(look, shift)
    off = 0.0 if pair.noisy_target else max(_distance(match, span) for match in matches)
    differs = off > _CLEAR or (off > _SEEN and all(map(_fills_its_type, seen[0].sides)))
    findings = [
        *_clipping(seen[0].noisy),
        *_without_value(seen),
        *_scene(shown),
        *(_motion(shown) if pair.one_scene else ()),
        *_part_of_repeats(pair),
        *(_intensity(matches[0], differs) if off > _SEEN else ()),
        *_alignment(shift),
        *(() if pair.noisy_target else _swapped(shown, matches[0])),
    ]
    order = ("error", "warning", "info")
    findings.sort(key=lambda finding: order.index(finding.severity))
    return Verdict(pair.name, tuple(findings), matches, differs, shift)


def _unusable(pair: Pair) -> Finding | None:
    """Name what forbids a pair before its pixels are looked at."""
    noisy, target = (tuple(array.shape) for array in (pair.noisy, pair.target))
    if pair.denoised:
        remedy = "open the image as the instrument gave it"
        return Finding("error", "denoised", "the noisy image is denoised already", remedy)
    if noisy != target:
        text = f"noisy {noisy} and its partner {target} differ in shape"
        return Finding("error", "shapes", text, "crop both to the same field, or choose another")
    if pair.stack and pair.layout.size(pair.along) < FEWEST_FRAMES:
        count = pair.layout.size(pair.along)
        text = f"the stack has {count} frame{'s' * (count > 1)} along T or Z"
        remedy = (
            f"at least {FEWEST_FRAMES} are needed, one to denoise and two to measure it by; two "
            "shots of one scene are a pair (--noisy and --second)"
        )
        return Finding("error", "frames", text, remedy)
    for name, array in (("noisy", pair.noisy), ("other", pair.target)):
        if np.dtype(array.dtype).kind not in "iuf":
            text = f"the {name} image is of type {array.dtype}"
            return Finding("error", "dtype", text, "expected integers or floating point")
    return None


def _unlearnable(seen: Sequence[PairPlanes], *, alone: bool) -> Finding | None:
    """Name what forbids a pair once its pixels are looked at."""
    if not any(np.logical_and(*planes.finite).any() for planes in seen):
        text = "no pixel has a value, neither NaN nor infinite, in both images"
        return Finding("error", "empty", text, "leave the pair out")
    for side, name in enumerate(("noisy", "target")):
        if all(np.ptp(planes.gray[side]) == 0 for planes in seen):
            text = f"the {name} image is constant"
            return Finding("error", "constant", text, "leave the pair out")
    if not alone and all(np.array_equal(*planes.gray) for planes in seen):
        text = "the noisy and the other image are identical"
        remedy = "nothing can be learnt from it: choose the other image"
        return Finding("error", "identical", text, remedy)
    return None


def _without_value(
    seen: Sequence[PairPlanes], names: Sequence[str] = ("noisy image", "other image")
) -> Iterator[Finding]:
    """Count what is not a number, in the frames looked at; no patch to train on holds it."""
    for side, name in enumerate(names):
        count = sum(int((~planes.finite[side]).sum()) for planes in seen)
        if count:
            text = f"{count} pixel{'s' * (count > 1)} of the {name} NaN or infinite"
            yield Finding("warning", "nonfinite", text, "nothing is learnt around them")


def _matches(look: _Look, shift: tuple[float, float]) -> tuple[tuple[Match, ...], float]:
    """Fit every channel by least squares; also the span of the noisy image.

    A target that is clearly off is moved first: what does not overlap lowers the factor.
    """
    by = shift if np.hypot(*shift) > LARGEST_SHIFT else None
    matches, spans = [], []
    for channel in range(look.pair.layout.size("C")):
        seen = look.of_channel(channel)
        if not seen:
            matches.append(Match())
            continue
        noisy = np.concatenate([_values(planes.noisy) for planes in seen])
        clean = np.concatenate([_values(planes.target, by) for planes in seen])
        good = np.isfinite(noisy) & np.isfinite(clean)
        matches.append(least_squares(noisy[good], clean[good]))
        low, high = np.percentile(noisy[good], [0.5, 99.5]) if good.any() else (0.0, 0.0)
        spans.append(float(high - low))
    return tuple(matches), max(spans)


def _values(samples: NDArray[Any], by: tuple[float, float] | None = None) -> Plane:
    """All values of (C, Y, X), moved by rows and columns."""
    planes = samples.astype(float)
    if by is not None:
        from scipy.ndimage import shift

        planes = shift(planes, (0, *by), order=1, mode="nearest")
    return np.ravel(planes)


def least_squares(noisy: Plane, clean: Plane) -> Match:
    """Scale a clean image to a noisy one; the noise stands in the fitted values alone."""
    if clean.size < 3 or np.ptp(clean) == 0:
        return Match()
    mean_noisy, mean_clean = noisy.mean(), clean.mean()
    centred = clean - mean_clean
    squares = float(np.square(centred).sum())
    factor = float((centred * (noisy - mean_noisy)).sum() / squares)
    rest = float(np.std(noisy - mean_noisy - factor * centred))
    errors = rest / np.sqrt(squares), rest / np.sqrt(clean.size)
    differences = abs(factor - 1), abs(mean_noisy - mean_clean)
    certain = any(d > _SURE * e for d, e in zip(differences, errors, strict=True))
    return Match(factor, float(mean_noisy - factor * mean_clean), certain)


def _distance(match: Match, span: float) -> float:
    return max(abs(match.factor - 1), abs(match.offset) / max(span, 1e-30))


def _fills_its_type(samples: NDArray[Any]) -> bool:
    """Whether an image reaches from 0 to the largest integer: it was stretched to it."""
    if samples.dtype.kind not in "iu":
        return False
    return bool(samples.min() <= 0 and samples.max() >= np.iinfo(samples.dtype).max)


def _intensity(match: Match, differs: bool) -> Iterator[Finding]:
    factor, offset, _ = match
    if factor <= 0.05:
        text = f"the clean image hardly follows the noisy one (factor {factor:.3g})"
        yield Finding("warning", "intensity", text, "check that both show the same scene")
        return
    sign = "-" if offset < 0 else "+"
    text = f"intensities differ: noisy is about {factor:.3g} x clean {sign} {abs(offset):.4g}"
    if differs:
        yield Finding("info", "intensity", text, "the clean image is scaled to the noisy one")
    else:
        remedy = "scaled for training; match = 'always' (Scale clean images) also for the figures"
        yield Finding("info", "intensity", text, remedy)


def _shift(shown: Sequence[tuple[Plane, Plane]]) -> tuple[float, float]:
    """Return rows and columns by which the second image must move, the median over frames."""
    from skimage.registration import phase_cross_correlation

    found = []
    for noisy, clean in shown:
        one, other = (_windowed(_tamed(_centre(plane))) for plane in (noisy, clean))
        # Plain correlation: a phase alone weighs noise as much as structure.
        shift, *_ = phase_cross_correlation(one, other, upsample_factor=_FINE, normalization=None)
        found.append(shift)
    rows, columns = np.median(np.array(found), axis=0)
    return float(rows), float(columns)


def _centre(plane: Plane) -> Plane:
    cuts = [slice((n - min(n, _SIDE)) // 2, (n + min(n, _SIDE)) // 2) for n in plane.shape]
    return plane[tuple(cuts)]


def _tamed(plane: Plane) -> Plane:
    """Without fireflies, hot pixels, and the finest noise, each of which can draw the peak."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(np.clip(plane, *np.percentile(plane, [1, 99])), 1.0))


def _windowed(plane: Plane) -> Plane:
    rows, columns = (np.hanning(length + 2)[1:-1] for length in plane.shape)
    return np.asarray((plane - plane.mean()) * rows[:, None] * columns)


def _alignment(shift: tuple[float, float]) -> Iterator[Finding]:
    distance = float(np.hypot(*shift))
    if distance > LARGEST_SHIFT:
        by = f"{shift[0]:+.2f} rows, {shift[1]:+.2f} columns"
        text = f"the images are {distance:.2g} px apart ({by})"
        yield Finding("warning", "shift", text, "align them, or the network learns to blur")


def _clipping(noisy: NDArray[Any]) -> Iterator[Finding]:
    for name, value, most in (
        ("highest", noisy.max(), _CLIPPED_TOP),
        ("lowest", noisy.min(), _CLIPPED_BOTTOM),
    ):
        share = float((noisy == value).mean())
        if share > most:
            text = f"{share:.1%} of the noisy pixels have the {name} value, {value:g}: clipped"
            yield Finding("warning", "clipped", text, "record with another exposure or offset")


def _scene(shown: Sequence[tuple[Plane, Plane]]) -> Iterator[Finding]:
    noisy, clean = (np.concatenate([_blocks(pair[i]) for pair in shown]) for i in (0, 1))
    if len(noisy) < 16 or np.ptp(noisy) == 0 or np.ptp(clean) == 0:
        return
    found = float(np.corrcoef(noisy, clean)[0, 1])
    if found < _ALIKE:
        text = f"the images hardly resemble each other (correlation {found:.2f})"
        yield Finding("warning", "scene", text, "check that both show the same scene")


def _motion(shown: Sequence[tuple[Plane, Plane]]) -> Iterator[Finding]:
    """Compare the first and the last of repeated frames; one may be brighter as a whole."""
    planes = [shown[place][0] for place in (0, -1)]
    first, last = (_blocks(plane) for plane in planes)
    if len(first) < 16 or np.ptp(first) == 0:
        return
    half = max(len(shown) // 2, 1)
    if _parts_move(*(_mean([pair[0] for pair in part]) for part in (shown[:half], shown[-half:]))):
        yield _moves()
        return
    match = least_squares(last, first)
    rest = float(np.var(last - match.factor * first))
    noise = [roughness([plane.astype(np.float32)]) / _BLOCK for plane in planes]
    expected = (match.factor * noise[0]) ** 2 + noise[1] ** 2
    if rest > max(_MOVED * float(np.var(last)), _SURE * expected):
        yield _moves()


def _moves() -> Finding:
    text = "the repeated frames differ by more than their noise: something moves"
    return Finding("warning", "motion", text, "give frames of a still scene, or pairs")


def _mean(planes: Sequence[Plane]) -> Plane:
    return np.asarray(np.mean(planes, axis=0, dtype=np.float64))


def _parts_move(early: Plane, late: Plane) -> bool:
    """Whether some blocks changed by far more than most, or most by far more than noise can.

    The change of a block is judged by that of its pixels, so that noise may be stronger where it
    is brighter, and a pixel that flickers counts as one.
    """
    change = _in_blocks(late) - least_squares(_blocks(late), _blocks(early)).factor * _in_blocks(
        early
    )
    mean, spread = change.mean(axis=1), change.std(axis=1)
    known = spread > 0
    if known.sum() < 16:
        return False
    score = np.abs(mean[known] - np.median(mean[known])) / (spread[known] / _BLOCK)
    middle = 1.4826 * float(np.median(score))
    far = int((score > _FAR * max(middle, 1.0)).sum())
    return middle > _ALL or far >= max(_FEW, _SHARE * len(score))


def _part_of_repeats(pair: Pair) -> Iterator[Finding]:
    """Say how many of the repeated frames are trained on, where not all are."""
    count = pair.noisy.shape[0]
    if pair.repeats > count + 1:
        text = f"{count} of {pair.repeats} frames are trained on, spread over all"
        yield Finding("info", "repeats", text)


def _as_stack(pair: Pair) -> Iterator[Finding]:
    if pair.one_scene:
        text = "something moves in the repeated frames: they are learnt from as a noisy stack"
        yield Finding("info", "motion", text)


def _blocks(plane: Plane) -> Plane:
    return np.asarray(_in_blocks(plane).mean(axis=1))


def _in_blocks(plane: Plane) -> NDArray[Any]:
    """Cut a plane into blocks, a row of pixels each."""
    rows, columns = (length // _BLOCK for length in plane.shape)
    cut = plane[: rows * _BLOCK, : columns * _BLOCK]
    parts = cut.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    return parts.reshape(rows * columns, _BLOCK * _BLOCK)


def _swapped(shown: Sequence[tuple[Plane, Plane]], match: Match) -> Iterator[Finding]:
    noisy, clean = (roughness([pair[i].astype(np.float32) for pair in shown]) for i in (0, 1))
    if clean * abs(match.factor) > 1.2 * noisy:
        text = "the clean image is noisier than the noisy one"
        yield Finding("warning", "swapped", text, "were they swapped?")
