"""Every figure of image quality, by the public call: python -m benchmarks.quality --data PATH.

PATH holds photos_val/{Kodak24,Set12,PolyU}, microscopy/{fmd,w2s,lysosome_stacks} and renders;
docs/benchmarks.md says where they come from, and takes the tables with --markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import references
from benchmarks.fidelity import (
    MicroscopyRow,
    microscopy_row,
    microscopy_table,
    photo_table,
    stack_table,
)
from benchmarks.noise import fluorescence
from benchmarks.protocol import (
    add_noise,
    display,
    display_psnr,
    expose,
    match,
    multiply,
    to_bytes,
)
from benchmarks.realism import SLIDER, look, realism_table
from benchmarks.tables import Table, add_options, environment, pick, show, verdict
from napari_denoise import Denoiser, NoiseModel, read
from napari_denoise.image.metrics import psnr
from napari_denoise.inference.stack import StackJob

Array = NDArray[Any]

CONTROLS = Path(__file__).parent / "controls"
"""Weights that saw no discriminator, which stand beside the realistic ends."""
CAMERA = NoiseModel(gain=20.0, offset=100.0, read_noise=3.0)
"""Of the simulated images, data units."""


DEVELOPMENT = 7
"""Every so many camera pictures may be looked at while weights are made."""
CAMERA_GAIN = 1.7
"""What weights have to gain on them, dB."""


@dataclass(frozen=True)
class Bench:
    """What is measured, with which weights.

    Parameters
    ----------
    data
        Folder of the data sets.
    photo, microscopy, render
        Weights, ready.
    limit
        Only the first so many images of each set; 0 for all.
    """

    data: Path
    photo: Denoiser
    microscopy: Denoiser
    render: Denoiser
    limit: int = 0

    def files(self, folder: str, pattern: str) -> list[Path]:
        """List the images of a set in order."""
        found = sorted((self.data / folder).glob(pattern))
        if not found:
            raise SystemExit(f"{self.data / folder}: no {pattern} there; see docs/benchmarks.md")
        return self.some(found)

    def some(self, items: list[Any]) -> list[Any]:
        """Keep what `limit` allows."""
        return items[: self.limit or None]

    def note(self, *denoisers: Denoiser) -> str:
        """Say what the figures depend on."""
        named = [f"weights {d.info.name} {d.info.sha256[:12]}" for d in denoisers if d.info]
        some = f" First {self.limit} images of each set only." if self.limit else ""
        return environment([*named, denoisers[0].precision]) + some


def denoise(denoiser: Denoiser, array: Array, axes: str, **fields: Any) -> tuple[Array, StackJob]:
    """Denoise by the public call, keeping the job that tells the noise it used."""
    job = denoiser.prepare(array, axes, **fields)
    output = np.empty_like(array)
    for step in job.steps():
        if step.index is not None and step.result is not None:
            output[step.index] = step.result
    return output, job


def kodak(bench: Bench) -> Iterator[Table]:
    """Colour photographs with added noise."""
    files = bench.files("photos_val/Kodak24", "*.png")
    yield from _photographs("kodak", bench, bench.photo, files, references.KODAK24)
    yield _little_noise("kodak-little-noise", bench, files)


def set12(bench: Bench) -> Iterator[Table]:
    """Gray photographs with added noise."""
    files = bench.files("photos_val/Set12", "*.png")
    yield from _photographs("set12", bench, bench.microscopy, files, references.SET12)


def _photographs(
    name: str,
    bench: Bench,
    denoiser: Denoiser,
    files: Sequence[Path],
    others: Sequence[references.Row],
) -> Iterator[Table]:
    """Measure PSNR at three sigmas, at 25 also without telling sigma; then the fidelity."""
    scores: dict[str, list[float]] = {}
    kept: list[tuple[Array, Array]] = []
    for path in files:
        clean, meta = read(path, sequence=False)
        clean = np.asarray(clean)
        for sigma in references.SIGMAS:
            noisy = add_noise(clean, sigma)
            scores.setdefault(f"noisy {sigma}", []).append(psnr(clean, noisy, 255))
            for told in (float(sigma), "auto") if sigma == 25 else (float(sigma),):
                given = noisy.astype(np.float32)
                output, _ = denoise(denoiser, given, meta.axes, noise=told)
                row = f"auto {sigma}" if told == "auto" else f"given {sigma}"
                scores.setdefault(row, []).append(psnr(clean, to_bytes(output), 255))
                if row == "given 25":
                    kept.append((clean, output))
    means = {key: float(np.mean(values)) for key, values in scores.items()}
    yield _photo_psnr(name, bench.note(denoiser), means, others)
    yield photo_table(f"{name}-fidelity", kept)


def _little_noise(name: str, bench: Bench, files: Sequence[Path]) -> Table:
    """Measure what is done to pictures that need next to nothing: sigma 5 and almost none.

    Told that there is no noise at all, the engine hands back its input without asking the
    network: it is told a tenth of a level instead.
    """
    measured: dict[str, list[float]] = {"noisy": [], "output": [], "same": []}
    for path in files:
        clean, meta = read(path, sequence=False)
        clean = np.asarray(clean)
        noisy = add_noise(clean, 5).astype(np.float32)
        output, _ = denoise(bench.photo, noisy, meta.axes, noise=5.0)
        same, _ = denoise(bench.photo, clean.astype(np.float32), meta.axes, noise=0.1)
        images = zip(measured.values(), (noisy, to_bytes(output), same), strict=True)
        for scores, image in images:
            scores.append(psnr(clean, image, 255))
    noisy_scores, scores, distances = map(np.asarray, measured.values())
    gain = scores - noisy_scores
    rows = (
        ("sigma 5, noisy", _db(noisy_scores.mean()), _db(noisy_scores.min())),
        ("sigma 5, **this**", _db(scores.mean()), _db(scores.min())),
        ("sigma 5, gained", _db(gain.mean()), _db(gain.min())),
        ("no noise, told 0.1, **this** to its input", _db(distances.mean()), _db(distances.min())),
    )
    notes = (
        verdict("Least gain of a picture at sigma 5", float(gain.min()), 0.0),
        verdict("No noise, least likeness to the input", float(distances.min()), 45.0),
    )
    header = ("PSNR, dB", "mean", "least of a picture")
    return Table(name, header, rows, (" ".join(notes), bench.note(bench.photo)))


def cameras(bench: Bench) -> Iterator[Table]:
    """Photographs of real cameras, one shot against the mean of many, noise estimated."""
    scores = []
    for path in bench.files("photos_val/PolyU", "*_real.JPG"):
        noisy, meta = read(path, sequence=False)
        mean, _ = read(path.with_name(path.name.replace("_real", "_mean")), sequence=False)
        noisy, mean = np.asarray(noisy), np.asarray(mean)
        output, _ = denoise(bench.photo, noisy, meta.axes, noise="auto")
        scores.append((psnr(mean, noisy, 255), psnr(mean, output, 255)))
    table = np.array(scores)
    seen = np.arange(len(table)) % DEVELOPMENT == 0
    parts = (("all", seen | True), ("measured only", ~seen), ("development", seen))
    rows = tuple(_camera_row(name, table[part]) for name, part in parts if part.any())
    gain = table[:, 1] - table[:, 0]
    notes = (
        verdict("Gained, mean of all", float(gain.mean()), CAMERA_GAIN),
        verdict("Least gain of a picture", float(gain.min()), -0.1),
    )
    header = ("PSNR, dB", "pictures", "noisy", "**this**", "gained", "least gain", "made worse")
    yield Table("cameras", header, rows, (" ".join(notes), bench.note(bench.photo)))


def _camera_row(name: str, scores: Array) -> tuple[str, ...]:
    noisy, ours = scores.mean(axis=0)
    gain = scores[:, 1] - scores[:, 0]
    figures = (_db(value) for value in (noisy, ours, ours - noisy, gain.min()))
    return (name, str(len(scores)), *figures, f"{int((gain < 0).sum())}")


def _photo_psnr(
    name: str, note: str, means: dict[str, float], others: Sequence[references.Row]
) -> Table:
    rows = [
        ("noisy", *(_db(means.get(f"noisy {s}")) for s in references.SIGMAS)),
        ("**this, sigma given**", *(_db(means.get(f"given {s}")) for s in references.SIGMAS)),
        ("**this, noise estimated**", *(_db(means.get(f"auto {s}")) for s in references.SIGMAS)),
        *((row[0], *(_db(value) for value in row[1:])) for row in others),
    ]
    header = ("PSNR, dB", *(f"sigma {s}" for s in references.SIGMAS))
    bar = verdict("BM3D at sigma 25", means["given 25"], references.BARS[name])
    ffdnet = next(row[2] for row in others if row[0].startswith("FFDNet")) or 0.0
    other = verdict("FFDNet at sigma 25", means["given 25"], ffdnet)
    return Table(name, header, tuple(rows), (f"{bar} {other}", note))


def fmd(bench: Bench) -> Iterator[Table]:
    """Real fluorescence, first frame of each type, noise estimated."""
    header = ("PSNR, dB", "noisy", "**this**", "Anscombe + FFDNet", "U-Net trained on FMD", "noise")
    rows, fidelity, wins = [], [], []
    for name in bench.some(list(references.FMD)):
        noisy, clean, axes = _pair(bench.data / "microscopy/fmd", "raw", "gt", f"{name}_1.png")
        output, job = denoise(bench.microscopy, noisy, axes, noise="auto")
        ours, (ffdnet, own) = psnr(clean, output, 255), references.FMD[name]
        wins.append(verdict(f"{name}, Anscombe + FFDNet", ours, ffdnet))
        cells = [_db(value) for value in (psnr(clean, noisy, 255), ours, ffdnet, own)]
        rows.append((name, *cells, job.noise[0].describe()))
        fidelity.append(microscopy_row(name, clean, noisy, output, job.noise[0].offset))
    yield Table("fmd", header, tuple(rows), (" ".join(wins), bench.note(bench.microscopy)))
    yield microscopy_table("fmd-fidelity", fidelity)


def temporal(bench: Bench) -> Iterator[Table]:
    """Measure how still four frames of an unmoving specimen stay: a result that boils does not."""
    rows = []
    for name in bench.some(list(references.FMD)):
        folder = bench.data / "microscopy/fmd/raw"
        noisy = np.stack(
            [np.asarray(read(folder / f"{name}_{i}.png", sequence=False)[0]) for i in range(1, 5)]
        )
        output, _ = denoise(bench.microscopy, noisy, "TYX", noise="auto")
        before, after, peer = _unrest(noisy), _unrest(output), references.FMD_UNREST[name]
        rows.append((name, f"{before:.2f}", f"{after:.2f}", f"{peer:.2f}", f"{after / before:.2f}"))
    header = (
        "temporal standard deviation",
        "noisy",
        "**this**",
        "Anscombe + BM3D",
        "this over noisy",
    )
    yield Table("temporal", header, tuple(rows), (bench.note(bench.microscopy),))


def _unrest(frames: Array) -> float:
    """Return the standard deviation over time, mean over the pixels, in levels."""
    return float(np.std(frames.astype(np.float64), axis=0, ddof=1).mean())


def w2s(bench: Bench) -> Iterator[Table]:
    """Real wide-field images; clean matched to noisy by least squares."""
    rows, fidelity, scores = [], [], []
    for name in bench.some(list(references.W2S_IMAGES)):
        folder = bench.data / "microscopy/w2s"
        noisy, clean, axes = _pair(folder, "noisy_avg1", "clean_avg400", f"{name}.png")
        clean = match(clean, noisy)
        output, job = denoise(bench.microscopy, noisy, axes, noise="auto")
        scores.append((psnr(clean, noisy, 255), psnr(clean, output, 255)))
        rows.append((name, *(_db(value) for value in scores[-1]), job.noise[0].describe()))
        fidelity.append(microscopy_row(name, clean, noisy, output, job.noise[0].offset))
    noisy_mean, mean = np.mean(scores, axis=0)
    rows.append(("**mean**", _db(noisy_mean), f"**{_db(mean)}**", ""))
    rows += [(f"{name}, mean", "", _db(value), "") for name, value in references.W2S.items()]
    notes = [verdict(name, mean, value) for name, value in references.W2S.items()]
    header = ("PSNR, dB", "noisy", "**this**", "noise")
    yield Table("w2s", header, tuple(rows), (" ".join(notes), bench.note(bench.microscopy)))
    yield microscopy_table("w2s-fidelity", fidelity)


def renders(bench: Bench) -> Iterator[Table]:
    """Path-traced frames: colour alone, and with noisy albedo and normal."""
    scores: dict[tuple[str, int], list[float]] = {}
    for reference in bench.files("renders", "*/ref.exr"):
        clean, meta = read(reference, sequence=False)
        for spp in references.SPP:
            path = reference.with_name(f"noisy_{spp}spp.exr")
            noisy, meta = read(path, sequence=False)
            noisy = np.asarray(noisy)
            features = {role: np.asarray(a) for role, a in meta.features.items()}
            output, _ = denoise(bench.render, noisy, meta.axes)
            guided, _ = denoise(bench.render, noisy, meta.axes, features=features)
            for name, image in (("noisy", noisy), ("this", output), ("guided", guided)):
                scores.setdefault((name, spp), []).append(display_psnr(clean, image))
                change = float(image.mean() / clean.mean() - 1) * 100
                scores.setdefault((f"{name} mean", spp), []).append(abs(change))
    means = {key: float(np.mean(values)) for key, values in scores.items()}
    rows = [
        ("noisy", *(_db(means["noisy", s]) for s in references.SPP)),
        ("**this, colour only**", *(_db(means["this", s]) for s in references.SPP)),
        (
            "**this, and noisy albedo and normal**",
            *(_db(means["guided", s]) for s in references.SPP),
        ),
        *((name, *map(_db, values)) for name, values in references.RENDERS.items()),
    ]
    name, bars = next(iter(references.RENDERS.items()))
    judged = " ".join(
        verdict(f"{name}, {s} spp", means["this", s], bar)
        for s, bar in zip(references.SPP, bars, strict=True)
    )
    judged += (
        " Above the noisy frame: "
        + ", ".join(f"{means['this', s] - means['noisy', s]:+.2f} dB" for s in references.SPP)
        + ". Mean radiance, mean distance to the reference's, limit 2 %: "
        + ", ".join(f"{means['this mean', s]:.1f} %" for s in references.SPP)
        + " (noisy: "
        + ", ".join(f"{means['noisy mean', s]:.1f} %" for s in references.SPP)
        + ")."
    )
    header = ("PSNR as shown, dB", *(f"{s} spp" for s in references.SPP))
    yield Table("renders", header, tuple(rows), (judged, bench.note(bench.render)))


def realism_photographs(bench: Bench) -> Iterator[Table]:
    """Measure the slider between the faithful and the realistic end on photographs."""
    for denoiser, folder in ((bench.photo, "Kodak24"), (bench.microscopy, "Set12")):
        images = [read(p, sequence=False) for p in bench.files(f"photos_val/{folder}", "*.png")]
        cleans = [np.asarray(clean) for clean, _ in images]
        noisy = [(add_noise(c, 25).astype(np.float32), meta.axes, None) for c, meta in images]
        yield _slider(bench, denoiser, cleans, noisy, lambda image: image, noise=25.0)


def realism_renders(bench: Bench) -> Iterator[Table]:
    """Measure the slider on renders as they are shown."""
    cleans, noisy, again = [], [], []
    for reference in bench.files("renders", "*/ref.exr"):
        frame, meta = read(reference.with_name("noisy_8spp.exr"), sequence=False)
        guides = {role: np.asarray(a) for role, a in meta.features.items()}
        noisy.append((np.asarray(frame), meta.axes, guides))
        for kept, file in ((cleans, reference), (again, reference.with_name("noisy_32spp.exr"))):
            kept.append(255 * display(read(file, sequence=False)[0]))
    yield _slider(
        bench, bench.render, cleans, noisy, lambda image: 255 * display(image), again=again
    )


def realism_fmd(bench: Bench) -> Iterator[Table]:
    """Measure the slider on real fluorescence."""
    cleans, noisy = [], []
    for kind in bench.some(list(references.FMD)):
        frame, clean, axes = _pair(bench.data / "microscopy/fmd", "raw", "gt", f"{kind}_1.png")
        noisy.append((frame, axes, None))
        cleans.append(clean)
    yield _slider(bench, bench.microscopy, cleans, noisy, lambda image: image, "fmd")


def _slider(
    bench: Bench,
    denoiser: Denoiser,
    cleans: list[Array],
    noisy: list[tuple[Array, str, dict[str, Array] | None]],
    shown: Callable[[Array], Array],
    called: str = "",
    again: list[Array] | None = None,
    **fields: Any,
) -> Table:
    """Measure one kind of image; `shown` makes display values, 0..255, of results.

    `again` are the clean images with other noise, where they have some of their own.
    """
    name = denoiser.info.name if denoiser.info else ""

    def images(weights: Denoiser, share: float = 0.0) -> Iterator[Array]:
        for array, axes, guides in noisy:
            yield shown(weights(array, axes, guides, realism=share, **fields))

    slider = {share: look(cleans, images(denoiser, share), again) for share in SLIDER}
    stored = CONTROLS / f"{name}.safetensors"
    control = None
    if stored.is_file():
        other = Denoiser.load(str(stored), denoiser.device, denoiser.precision)
        control = look(cleans, images(other), again)
    return realism_table(f"realism-{called or name}", slider, control, bench.note(denoiser))


def stacks(bench: Bench) -> Iterator[Table]:
    """Live, bleaching time-lapses: how well each frame keeps its brightness."""
    measured = []
    for path in bench.files("microscopy/lysosome_stacks", "*.tif"):
        noisy, meta = read(path)
        noisy = np.asarray(noisy)
        output, job = denoise(bench.microscopy, noisy, meta.axes, noise="auto")
        measured.append((path.stem, noisy, output, job.noise[0]))
    yield stack_table("stacks", measured, bench.note(bench.microscopy))


def simulated(bench: Bench) -> Iterator[Table]:
    """Measure simulated fluorescence, whose truth is exact, from few photons to many."""
    scene = fluorescence(1)
    rows, fidelity = [], []
    for photons in bench.some([0.3, 1, 3, 10, 30, 100]):
        mean = photons * scene / scene.mean()
        clean, noisy = CAMERA.offset + CAMERA.gain * mean, _recorded(expose(mean, CAMERA))
        name, peak = f"{photons:g} photons", float(np.ptp(clean))
        output, job = denoise(bench.microscopy, noisy, "YX", noise="auto")
        given, _ = denoise(bench.microscopy, noisy, "YX", noise=CAMERA)
        scores = (psnr(clean, image, peak) for image in (noisy, output, given))
        rows.append((name, *(_db(score) for score in scores), job.noise[0].describe()))
        fidelity.append(microscopy_row(name, clean, noisy, output, CAMERA.offset))
    header = ("PSNR, dB", "noisy", "**this**", "told the true noise", "noise, estimated")
    about = f"True noise: {CAMERA.describe()}; data range: that of the truth."
    yield Table("simulated", header, tuple(rows), (about, bench.note(bench.microscopy)))
    yield microscopy_table("simulated-fidelity", fidelity)
    yield microscopy_table("multiplied-fidelity", _multiplied(bench, scene))


def _multiplied(bench: Bench, scene: Array) -> list[MicroscopyRow]:
    """Measure what noise of another law, an electron-multiplying camera's, does to the mean."""
    rows = []
    for photons in bench.some([1, 3, 10, 30]):
        mean = photons * scene / scene.mean()
        clean, noisy = CAMERA.offset + CAMERA.gain * mean, _recorded(multiply(mean, CAMERA))
        output, _ = denoise(bench.microscopy, noisy, "YX", noise="auto")
        rows.append(microscopy_row(f"{photons:g} photons", clean, noisy, output, CAMERA.offset))
    return rows


def _recorded(signal: Array) -> Array:
    return np.clip(np.rint(signal), 0, 65535).astype(np.uint16)


SECTIONS: dict[str, Callable[[Bench], Iterator[Table]]] = {
    "kodak": kodak,
    "set12": set12,
    "cameras": cameras,
    "fmd": fmd,
    "temporal": temporal,
    "w2s": w2s,
    "simulated": simulated,
    "renders": renders,
    "realism-photographs": realism_photographs,
    "realism-renders": realism_renders,
    "realism-fmd": realism_fmd,
    "stacks": stacks,
}


def _pair(folder: Path, noisy: str, clean: str, name: str) -> tuple[Array, Array, str]:
    array, meta = read(folder / noisy / name, sequence=False)
    return np.asarray(array), np.asarray(read(folder / clean / name, sequence=False)[0]), meta.axes


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def main(argv: list[str] | None = None) -> None:
    """Print the tables, and fill a document with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights-photo", default="photo", help="name or path")
    parser.add_argument("--weights-microscopy", default="microscopy", help="name or path")
    parser.add_argument("--weights-render", default="render", help="name or path")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--limit", type=int, default=0, help="first images of each set; 0: all")
    add_options(parser, SECTIONS)
    chosen = parser.parse_args(argv)
    sections = pick(parser, chosen.only, SECTIONS)
    if chosen.markdown and chosen.limit:
        parser.error("--markdown takes figures of whole sets: leave --limit out")
    photo, microscopy, render = (
        Denoiser.load(name, precision=chosen.precision)
        for name in (chosen.weights_photo, chosen.weights_microscopy, chosen.weights_render)
    )
    bench = Bench(chosen.data, photo, microscopy, render, chosen.limit)
    show((table for section in sections for table in section(bench)), chosen.markdown)


if __name__ == "__main__":
    main()
