"""What neighbouring frames are worth: python -m benchmarks.stacks --data PATH.

PATH holds microscopy/{fmd,w2s} and sequences; docs/benchmarks.md says where they come from, and
takes the tables with --markdown. Films are simulated by `benchmarks.films`. Nothing may be chosen
by the tables tractor, sequences and films-validation: they run only where --only names them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import OpenEXR
from scipy.ndimage import gaussian_filter

from benchmarks import films, references
from benchmarks.neighbours import Array, Bench, parsed, together, with_neighbors
from benchmarks.noise import fluorescence
from benchmarks.protocol import (
    add_noise,
    change_by_quarter,
    display,
    display_psnr,
    flicker,
    psnrs,
    relative_mean_error,
    to_bytes,
)
from benchmarks.tables import Table, add_options, limit_verdict, pick, show, verdict
from benchmarks.timing import alternate
from napari_denoise import Denoiser

FMD_FRAMES = {"WideField_BPAE_B": (1, 3, 4)}
"""The second wide-field picture is the first once more; all others have four."""
FILMED = ("001_0", "005_1", "009_2")
VALIDATION = tuple(f"{field:03d}_{number % 3}" for number, field in enumerate(range(33, 41)))
"""W2S fields and channels."""
LEAST_LOSS = -0.05
"""A neighbour that misleads may cost a frame no more, dB."""
AUTO_SLACK = 0.3
"""Below what is needed of a given number of neighbours, dB."""
MEAN = 0.5
"""Change of a mean, per cent."""
GHOST = 0.04
"""Of the height of what is no longer there."""
COST = 2.6
"""CPU time of two neighbours on each side, in times that of none."""


def fmd(bench: Bench) -> Iterator[Table]:
    """Real fluorescence that does not move."""
    yield _fmd(bench, "neighbours-fmd", references.STACKS_FMD, lambda frames: frames, AUTO_SLACK)


def moving(bench: Bench) -> Iterator[Table]:
    """Crops of the same frames whose origin moves."""
    needed = references.STACKS_MOVING
    yield _fmd(bench, "neighbours-moving", needed, films.moving_crops, 0.0)


def _fmd(
    bench: Bench,
    name: str,
    needed: Mapping[str, tuple[float | None, str]],
    crops: Callable[[Array], Array],
    slack: float,
) -> Table:
    rows, notes = [], []
    for kind, (bar, peer) in needed.items():
        files = [f"{kind}_{number}.png" for number in FMD_FRAMES.get(kind, (1, 2, 3, 4))]
        noisy, clean = (
            crops(bench.images(*(f"microscopy/fmd/{part}/{file}" for file in files)))
            for part in ("raw", "gt")
        )
        outputs = bench.each(bench.microscopy, noisy, "TYX")
        scores = [float(psnrs(clean, image, 255).mean()) for image in (noisy, *outputs)]
        least = scores[1] if bar is None else bar
        rows.append((kind, *map(_db, scores), _db(least), peer))
        notes += bench.judged(kind, scores[2:], least, slack)
    header = ("PSNR, dB", "noisy", *bench.header, "needed", "other methods")
    return Table(name, header, tuple(rows), (*together(notes), bench.note(bench.microscopy)))


def simulated(bench: Bench) -> Iterator[Table]:
    """Film fields that may be looked at."""
    yield _films(bench, "neighbours-films", FILMED)


def validation(bench: Bench) -> Iterator[Table]:
    """Film fields by which nothing is chosen."""
    yield _films(bench, "neighbours-films-validation", VALIDATION)


def _films(bench: Bench, name: str, fields: Sequence[str]) -> Table:
    rows, notes = [], []
    for motion, bar in references.STACKS_FILMS.items():
        scores = [
            _inner_psnrs(bench, *films.simulated_film(bench.field(field), motion, seed))
            for seed, field in enumerate(fields)
        ]
        noisy, single, *fused = np.mean(scores, axis=0)
        gains = [value - single for value in fused]
        rows.append((motion, _db(noisy), _db(single), *map(_gain, gains), _gain(bar)))
        notes += bench.judged(motion, gains, bar)
    header = ("PSNR, dB", "noisy", bench.header[0], *bench.gained, "needed")
    about = f"W2S clean fields {', '.join(fields)}, as `benchmarks.films` films them."
    return Table(name, header, tuple(rows), (*together(notes), about, bench.note(bench.microscopy)))


def _inner_psnrs(bench: Bench, noisy: Array, clean: Array) -> list[float]:
    """Noisy, frame by frame, with neighbours: mean of the inner frames."""
    peak = float(np.ptp(clean))
    outputs = bench.each(bench.microscopy, noisy, "TYX")
    inner = films.INNER
    return [float(psnrs(clean, image, peak)[inner].mean()) for image in (noisy, *outputs)]


def traps(bench: Bench) -> Iterator[Table]:
    """Films whose neighbours mislead: the frame that loses most."""
    fields = [bench.field(name) for name in FILMED]
    rows, notes = [], []
    for name, trap in films.TRAPS.items():
        noisy, clean = trap(fields, 0)
        single, *fused = (
            psnrs(clean, image, float(np.ptp(clean)))
            for image in bench.each(bench.microscopy, noisy, "TYX")
        )
        gains = [image - single for image in fused]
        cells = [f"{_gain(gain.mean())}, least {_gain(gain.min())}" for gain in gains]
        rows.append((name, _db(single.mean()), *cells))
        notes += bench.judged(name, [float(gain.min()) for gain in gains], LEAST_LOSS)
    header = ("PSNR of all frames, dB", bench.header[0], *bench.gained)
    yield Table(
        "neighbours-traps",
        header,
        tuple(rows),
        (*together(notes), bench.note(bench.microscopy)),
    )


def events(bench: Bench) -> Iterator[Table]:
    """Spots that live in one frame: how much of them is left, and how much the next one shows."""
    rows, notes = [], []
    for sigmas, least in references.STACKS_EVENTS.items():
        shares = []
        for seed, name in enumerate(FILMED):
            (noisy, clean), spots = films.events(bench.field(name), sigmas, seed)
            shares.append(
                [
                    [films.recovered(image[t], clean[t], spots) for t in (3, 4)]
                    for image in bench.each(bench.microscopy, noisy, "TYX")
                ]
            )
        height, ghost = np.mean(shares, axis=0).T
        rows.append((f"{sigmas:g} sigma, height", *(f"{value:.2f}" for value in height)))
        rows.append((f"{sigmas:g} sigma, in the next frame", *(f"{g:.1%}" for g in ghost)))
        what = f"Height at {sigmas:g} sigma"
        for n, value, shade in zip(bench.neighbors, height[1:], ghost[1:], strict=True):
            notes.append(verdict(f"{what}, neighbors={n}", value, height[0] + least, "of it"))
            notes.append(limit_verdict(f"Ghost, neighbors={n}", shade, GHOST, "of the height"))
    header = ("share of the height", *bench.header)
    about = (
        f"Spots of sd {films.SPOT_SD:g} px in frame 3 alone of static films of W2S clean fields "
        f"{', '.join(FILMED)}; height in standard deviations of one pixel's noise; by regression."
    )
    notes = [*together(notes), about, bench.note(bench.microscopy)]
    yield Table("neighbours-events", header, tuple(rows), tuple(notes))


def tractor(bench: Bench) -> Iterator[Table]:
    """Measure a colour film with added noise, sigma given."""
    frames = bench.images(*(f"sequences/tractor/{n:03d}.png" for n in range(1, 11)))
    clean = frames[:, 40:296, 40:360]
    noisy = to_bytes(add_noise(clean, 25))
    outputs = bench.each(bench.photo, noisy, "TYXS", noise=25.0)
    inner = slice(2, 8)
    scores = [float(psnrs(clean, image, 255)[inner].mean()) for image in (noisy, *outputs)]
    rows = [
        (name, _db(score)) for name, score in zip(("noisy", *bench.header), scores, strict=True)
    ]
    rows += [(name, _db(score)) for name, score in references.STACKS_TRACTOR.items()]
    notes = bench.judged("tractor", scores[2:], references.STACKS_TRACTOR_BAR)
    header = ("tractor, sigma 25", "PSNR, dB")
    yield Table(
        "neighbours-tractor", header, tuple(rows), (*together(notes), bench.note(bench.photo))
    )


def sequences(bench: Bench) -> Iterator[Table]:
    """Path-traced sequences of 8 samples per pixel: likeness, flicker and mean radiance."""
    rows, means = [], []
    for name, others in references.STACKS_SEQUENCES.items():
        folder = bench.data / "sequences" / name
        reference = _layers(folder, "ref", "RGB")
        noisy = _layers(folder, "noisy_8spp", "RGB")
        features = {
            "albedo": _layers(folder, "noisy_8spp", "albedo.RGB"),
            "normal": _layers(folder, "noisy_8spp", "normal.XYZ"),
        }
        for kind, guides in (("colour", {}), ("with albedo and normal", features)):
            outputs = bench.each(bench.render, noisy, "TYXS", features=guides)
            rows.append((f"{name}, {kind}", *_seen(reference, [noisy, *outputs]), others[kind]))
            single, *fused = outputs
            changes = [change_by_quarter(single, noisy, reference)]
            changes += [change_by_quarter(image, single, reference) for image in fused]
            cells = (", ".join(f"{value:+.2f}" for value in change) for change in changes)
            means.append(((f"{name}, {kind}", *cells), changes[1:]))
    note = bench.note(bench.render)
    header = ("PSNR as shown, dB; flicker", "noisy", *bench.header, "OIDN 2.5, frame by frame")
    yield Table("neighbours-sequences", header, tuple(rows), (note,))
    worst = [
        limit_verdict(f"neighbors={n}, worst", float(np.abs(change).max()), MEAN, "%")
        for n, *change in zip(bench.neighbors, *(changes for _, changes in means), strict=True)
    ]
    header = (
        "change of the mean, %, from dark to bright",
        "frame by frame, to the noisy",
        *(f"{column}, to frame by frame" for column in bench.header[1:]),
    )
    yield Table(
        "neighbours-radiance",
        header,
        tuple(cells for cells, _ in means),
        (*together(worst), note),
    )


def _layers(folder: Path, stem: str, layer: str) -> Array:
    """Read a layer of six EXR frames by its own name."""
    files = (OpenEXR.File(str(folder / f"{stem}.{number:04d}.exr")) for number in range(1, 7))
    return np.stack([file.channels()[layer].pixels for file in files]).astype(np.float32)


def _seen(reference: Array, outputs: Sequence[Array]) -> list[str]:
    cells = []
    for output in outputs:
        scores = [display_psnr(*pair) for pair in zip(reference, output, strict=True)]
        cells.append(f"{np.mean(scores):.2f}; {flicker(display(reference), display(output)):.2f}")
    return cells


def mean(bench: Bench) -> Iterator[Table]:
    """Photons of still, smooth scenes: neighbours do not change their mean."""
    rows, changes = [], []
    for photons in (0.1, 0.3, 1, 3, 10, 30):
        found = []
        for scene in range(2):
            noisy = _still(photons, scene)
            outputs = bench.each(bench.microscopy, noisy, "TYX")
            found.append([relative_mean_error(noisy, o, films.COUNTER.offset) for o in outputs])
        changes.append(100 * np.transpose(found))
        rows.append((f"{photons:g} photons", *(", ".join(map(_gain, c)) for c in changes[-1])))
    notes = []
    for n, change in zip((0, *bench.neighbors), np.swapaxes(changes, 0, 1), strict=True):
        named = f"neighbors={n}, worst" if n else "Frame by frame, worst"
        notes.append(limit_verdict(named, float(np.abs(change).max()), MEAN, "%"))
    about = (
        "Two scenes, each of 200 frames of 64 x 64, as floats, so that nothing is rounded; "
        f"{films.COUNTER.describe()}. Mean above the offset, relative to the noisy frames'."
    )
    header = ("change of the mean, %", *bench.header)
    notes = [*together(notes), about, bench.note(bench.microscopy)]
    yield Table("neighbours-mean", header, tuple(rows), tuple(notes))


def _still(photons: float, seed: int) -> Array:
    """Expose 200 frames of a smooth scene that does not move."""
    rng = np.random.default_rng(seed)
    scene = gaussian_filter(rng.standard_normal((64, 64)), 6, mode="wrap")
    scene = 1 + 0.6 * scene / np.abs(scene).max()
    frames = np.broadcast_to(photons * scene / scene.mean(), (200, *scene.shape))
    return films.record(frames, rng, films.COUNTER)[0].astype(np.float32)


def cost(bench: Bench) -> Iterator[Table]:
    """CPU seconds of a frame of a stack that is walked in order, by turns with frame by frame."""
    compared = (0, *(n for n in (2,) if bench.neighbors))
    scene = films.light(fluorescence(1, bench.size))
    noisy, _ = films.record(
        np.stack([np.roll(scene, (t, -t), (0, 1)) for t in range(bench.rounds + 4)]),
        np.random.default_rng(0),
    )
    walks = {
        n: bench.microscopy.frames(noisy, "TYX", **with_neighbors(n)).__next__ for n in compared
    }
    timings = alternate(walks, bench.rounds)
    rows = tuple(
        (f"neighbors={n}", t.describe(), "{1:.2f} ({0:.2f}-{2:.2f})".format(*t.ratio(timings[0])))
        for n, t in timings.items()
    )
    notes = [
        limit_verdict(f"neighbors={n}", t.ratio(timings[0])[1], COST, "times frame by frame")
        for n, t in timings.items()
        if n
    ]
    about = (
        f"uint16 frames of {bench.size} x {bench.size}, {bench.rounds} by turns after the first of "
        "the stack; medians, quartiles in brackets."
    )
    header = ("stack walked in order", "CPU s a frame", "over frame by frame")
    yield Table(
        "neighbours-cost", header, rows, (*together(notes), about, bench.note(bench.microscopy))
    )


def _db(value: float) -> str:
    return f"{value:.2f}"


def _gain(value: float) -> str:
    return f"{value:+.2f}"


SECTIONS: dict[str, Callable[[Bench], Iterator[Table]]] = {
    "fmd": fmd,
    "moving": moving,
    "films": simulated,
    "traps": traps,
    "events": events,
    "mean": mean,
    "cost": cost,
}
MEASURED_ONCE: dict[str, Callable[[Bench], Iterator[Table]]] = {
    "tractor": tractor,
    "sequences": sequences,
    "films-validation": validation,
}
"""Once per version; nothing is chosen by them."""


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and fill a document with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights-photo", default="photo", help="name or path")
    parser.add_argument("--weights-microscopy", default="microscopy", help="name or path")
    parser.add_argument("--weights-render", default="render", help="name or path")
    parser.add_argument("--neighbors", type=parsed, default=(3, "auto"), help="such as 3,auto")
    parser.add_argument("--size", type=int, default=1024, help="rows and columns, for cost")
    parser.add_argument("--rounds", type=int, default=5, help="frames timed, for cost")
    add_options(parser, SECTIONS)
    chosen = parser.parse_args(argv)
    sections = pick(parser, chosen.only, SECTIONS | MEASURED_ONCE)
    weights = chosen.weights_photo, chosen.weights_microscopy, chosen.weights_render
    denoisers = (Denoiser.load(name, device="cpu", precision="float32") for name in weights)
    bench = Bench(chosen.data, *denoisers, chosen.neighbors, chosen.size, chosen.rounds)
    show((table for section in sections for table in section(bench)), chosen.markdown)


if __name__ == "__main__":
    main()
