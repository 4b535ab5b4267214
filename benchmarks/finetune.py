"""What minutes of fine-tuning bring on real pairs: python -m benchmarks.finetune --data PATH.

PATH is that of benchmarks.quality. Each case trains on some pairs, choosing the best weights on a
part that it holds out of them by itself, and is measured on images that it never saw. Takes
--minutes for each of six trainings and of three films, with as many threads as there are cores.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import films, references
from benchmarks.protocol import display_psnr, match
from benchmarks.tables import Table, add_options, environment, pick, show, verdict
from napari_denoise import Denoiser, finetune, read
from napari_denoise.image.metrics import psnr
from napari_denoise.training.data.real_pairs import Pair, pair_of, pair_of_stack

Array = NDArray[Any]

SCENES = ("textured", "dof")
SPP = (4, 8, 16)
ADAPT_STEPS = 2_500
ADAPT_FILMS = (("001_0", "drift"), ("004_1", "deform"), ("009_2", "static"))
"""Fields of W2S, and how each is filmed."""


@dataclass(frozen=True)
class Bench:
    """What is measured on, and for how long each case is trained.

    Parameters
    ----------
    data
        Folder of the data sets.
    minutes
        Of each training.
    folder
        Where weights are kept.
    """

    data: Path
    minutes: float
    folder: Path

    def train(self, name: str, pairs: Sequence[Pair], base: str) -> Trained:
        """Fine-tune with the faithful recipe, as a user would who chose nothing."""
        target = self.folder / f"{name}.safetensors"
        started = perf_counter()
        reports = finetune(pairs, base=base, minutes=self.minutes, save_as=target)
        (last,) = deque(reports, maxlen=1) or (None,)
        if last is None or last.result is None:
            raise SystemExit(f"{name}: no step was taken")
        seconds = perf_counter() - started
        return Trained(
            Denoiser.load(base), Denoiser.load(target), last.steps, seconds, last.result.best_step
        )


@dataclass(frozen=True)
class Trained:
    """Weights before and after, and what it took."""

    base: Denoiser
    tuned: Denoiser
    steps: int
    seconds: float
    best_step: int | None

    def describe(self, name: str) -> str:
        """Say how long it took."""
        return (
            f"{name}: {self.steps} steps of 8 patches of 64 px in {self.seconds:.0f} s, "
            f"step {self.best_step} kept."
        )


def _gray(folder: Path, name: str) -> Array:
    return np.asarray(read(folder / f"{name}.png", sequence=False)[0])


def fmd(bench: Bench) -> Iterator[Table]:
    """Real wide-field: the left half of two frames to train, the right of two others to test."""
    name = "WideField_BPAE_B"
    folder = bench.data / "microscopy/fmd"
    raw = [_gray(folder / "raw", f"{name}_{number}") for number in (1, 2, 3, 4)]
    clean = _gray(folder / "gt", f"{name}_1")
    half = clean.shape[1] // 2
    pair = pair_of(name, np.stack(raw[:2])[..., :half], clean[:, :half], "TYX")
    trained = bench.train("fmd", [pair], "microscopy")

    def right(image: Array) -> float:
        return psnr(clean[:, half:], image[:, half:], 255)

    scores = [
        (right(noisy), right(trained.base(noisy, "YX")), right(trained.tuned(noisy, "YX")))
        for noisy in raw[2:]
    ]
    means = np.mean(scores, axis=0)
    ffdnet, own = references.FMD[name]
    others = (f"{references.FINETUNE_FFDNET:.2f}", f"{own:.2f}")
    header = (
        *("PSNR, dB", "noisy", "base", "**fine-tuned**"),
        *("Anscombe + FFDNet, first frame", "U-Net trained on FMD, first frame"),
    )
    notes = (
        verdict(f"{name}, right half of frames 3 and 4", means[2], references.FINETUNE_FMD),
        f"With the usual noise estimate, Anscombe + FFDNet gives {ffdnet:.2f} dB.",
        trained.describe("Training"),
        environment(),
    )
    yield Table("finetune-fmd", header, ((name, *map(_db, means), *others),), notes)


def w2s(bench: Bench) -> Iterator[Table]:
    """Real wide-field: eight fields to train, eight others to test."""
    folder = bench.data / "microscopy/w2s"

    def field(number: int) -> tuple[str, Array, Array]:
        name = f"{number:03d}_0"
        return name, _gray(folder / "noisy_avg1", name), _gray(folder / "clean_avg400", name)

    pairs = [pair_of(name, noisy, clean, "YX") for name, noisy, clean in map(field, range(1, 9))]
    trained = bench.train("w2s", pairs, "microscopy")
    scores = []
    for _, noisy, clean in map(field, range(33, 41)):
        matched = match(clean, noisy)
        images = (noisy, trained.base(noisy, "YX"), trained.tuned(noisy, "YX"))
        scores.append([psnr(matched, image, 255) for image in images])
    means = np.mean(scores, axis=0)
    header = ("PSNR, dB", "noisy", "base", "**fine-tuned**", "Anscombe + BM3D")
    row = ("fields 033-040, channel 0", *map(_db, means), _db(references.FINETUNE_BM3D))
    notes = (
        verdict("Base", means[2], means[1]),
        verdict("Anscombe + BM3D", means[2], references.FINETUNE_BM3D),
        trained.describe("Training on fields 001-008"),
        environment(),
    )
    yield Table("finetune-w2s", header, (row,), notes)


def _render(bench: Bench, scene: str, file: str) -> tuple[Array, dict[str, Array]]:
    array, meta = read(bench.data / "renders" / scene / f"{file}.exr", sequence=False)
    return np.asarray(array), {role: np.asarray(a) for role, a in meta.features.items()}


def _pair(bench: Bench, scene: str, noisy: str, target: str, *, guided: bool) -> Pair:
    image, features = _render(bench, scene, noisy)
    second = target.startswith("noisy")
    wanted = _render(bench, scene, target)[0]
    features = features if guided else {}
    name = f"{scene} {noisy}"
    return pair_of(name, image, wanted, "YXS", noisy_target=second, features=features)


def renders(bench: Bench) -> Iterator[Table]:
    """Path-traced frames: other views of the same scenes, with and without albedo and normal."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for guided, others in ((False, references.FINETUNE_OIDN), (True, references.FINETUNE_GUIDED)):
        pairs = [
            _pair(bench, f"{scene}_0", f"noisy_{spp}spp", "ref", guided=guided)
            for scene in SCENES
            for spp in SPP
        ]
        name = "with albedo and normal" if guided else "colour only"
        trained = bench.train(f"renders-{guided}", pairs, "render")
        for scene in SCENES:
            figures = [_tested(bench, trained, f"{scene}_1", spp, guided=guided) for spp in SPP]
            bars = others[scene]
            columns = zip(*figures, strict=True)
            for kind, column in zip(("noisy", "base", "**fine-tuned**"), columns, strict=True):
                rows.append((f"{scene}_1, {name}", kind, *map(_db, column)))
            rows.append((f"{scene}_1, {name}", "OIDN 2.5", *map(_db, bars)))
            notes += [
                verdict(f"{scene}_1, {spp} spp, {name}", figure[2], bar)
                for spp, figure, bar in zip(SPP, figures, bars, strict=True)
            ]
        notes.append(trained.describe(f"Training, {name}"))
    header = ("PSNR as shown, dB", "", *(f"{spp} spp" for spp in SPP))
    yield Table("finetune-renders", header, tuple(rows), (" ".join(notes), environment()))


def _tested(
    bench: Bench, trained: Trained, scene: str, spp: int, *, guided: bool
) -> tuple[float, float, float]:
    clean, _ = _render(bench, scene, "ref")
    noisy, found = _render(bench, scene, f"noisy_{spp}spp")
    features = found if guided else None
    base, tuned = (d(noisy, "YXS", features=features) for d in (trained.base, trained.tuned))
    return display_psnr(clean, noisy), display_psnr(clean, base), display_psnr(clean, tuned)


def noise2noise(bench: Bench) -> Iterator[Table]:
    """Two renders of 4 samples per pixel and no reference, against training on the reference."""
    rows, means = [], {}
    notes = []
    for name, target in (("reference", "ref"), ("second render of 4 spp", "noisy_4spp_b")):
        pairs = [_pair(bench, f"{s}_0", "noisy_4spp", target, guided=False) for s in SCENES]
        trained = bench.train(f"renders-{target}", pairs, "render")
        scores = [_tested(bench, trained, f"{s}_1", 4, guided=False) for s in SCENES]
        means[name] = float(np.mean(scores, axis=0)[2])
        if not rows:
            for kind, index in (("noisy", 0), ("base", 1)):
                rows.append((kind, *(_db(score[index]) for score in scores)))
        rows.append((f"**fine-tuned on the {name}**", *(_db(s[2]) for s in scores)))
        notes.append(trained.describe(f"Training on the {name}"))
    full, blind = means.values()
    notes.insert(0, verdict("No reference, mean of both", blind, full - 0.5))
    header = ("PSNR as shown, dB, 4 spp", *(f"{scene}_1" for scene in SCENES))
    yield Table("finetune-noise2noise", header, tuple(rows), (" ".join(notes), environment()))


def _adapted(bench: Bench, name: str, stack: Array, **length: float) -> tuple[Denoiser, Any]:
    """Let a noisy stack teach itself; return the weights, or the base where none are offered."""
    target = bench.folder / f"{name}.safetensors"
    pair = pair_of_stack(name, stack, "TYX")
    (last,) = deque(finetune(pair, save_as=target, **length), maxlen=1) or (None,)
    if last is None or last.result is None:
        raise SystemExit(f"{name}: no step was taken")
    weights = str(target) if last.result.offered else "microscopy"
    return Denoiser.load(weights), last


def _compared(
    name: str, tuned: Denoiser, last: Any, noisy: Array, measure: Callable[[Array], float]
) -> tuple[str, ...]:
    """Make a row of one case, each frame denoised by itself."""
    before, after = (d(noisy, "TYX", neighbors=0) for d in (Denoiser.load("microscopy"), tuned))
    scores = measure(before), measure(after)
    mean = 100 * (float(after.mean()) / float(noisy.mean()) - 1)
    gain = f"{scores[1] - scores[0]:+.2f}"
    return name, *map(_db, scores), gain, str(last.result.gain), f"{mean:+.2f} %", str(last.steps)


def adapt(bench: Bench) -> Iterator[Table]:
    """Noisy stacks and nothing clean: each teaches itself, and says what that gains."""
    rows = []
    folder = bench.data / "microscopy/fmd"
    for name, numbers in (("WideField_BPAE_B", (1, 3, 4)), ("TwoPhoton_MICE", (1, 2, 3, 4))):
        frames = np.stack([_gray(folder / "raw", f"{name}_{number}") for number in numbers])
        clean = _gray(folder / "gt", f"{name}_1")
        half = clean.shape[1] // 2
        tuned, last = _adapted(bench, name, frames[..., :half], steps=ADAPT_STEPS)

        def right(images: Array, clean: Array = clean[:, half:]) -> float:
            return float(np.mean([psnr(clean, image, 255) for image in images]))

        rows.append(_compared(f"{name}, right half", tuned, last, frames[..., half:], right))
    for number, (field, motion) in enumerate(ADAPT_FILMS):
        clean = _gray(bench.data / "microscopy/w2s/clean_avg400", field)
        noisy, light = films.film_with_rows(clean, motion, number)
        tuned, last = _adapted(bench, f"film {field}", noisy, minutes=bench.minutes)

        def inner(images: Array, light: Array = light) -> float:
            pairs = zip(light[films.INNER], images[films.INNER], strict=True)
            return float(np.mean([psnr(a, b, float(np.ptp(light))) for a, b in pairs]))

        rows.append(_compared(f"film of {field}, {motion}", tuned, last, noisy, inner))
    header = (
        *("PSNR, dB", "base", "**adapted**", "gain", "its own estimate"),
        *("mean against noisy", "steps"),
    )
    notes = (verdict("WideField_BPAE_B", float(rows[0][2]), references.ADAPT_FMD), environment())
    yield Table("finetune-adapt", header, tuple(rows), notes)


SECTIONS: dict[str, Callable[[Bench], Iterator[Table]]] = {
    "fmd": fmd,
    "w2s": w2s,
    "renders": renders,
    "noise2noise": noise2noise,
    "adapt": adapt,
}


def _db(value: float) -> str:
    return f"{value:.2f}"


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and fill a document with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each training")
    parser.add_argument("--keep", type=Path, help="folder to keep the weights in")
    add_options(parser, SECTIONS)
    chosen = parser.parse_args(argv)
    sections = pick(parser, chosen.only, SECTIONS)
    with TemporaryDirectory() as temporary:
        bench = Bench(chosen.data, chosen.minutes, chosen.keep or Path(temporary))
        show((table for section in sections for table in section(bench)), chosen.markdown)


if __name__ == "__main__":
    main()
