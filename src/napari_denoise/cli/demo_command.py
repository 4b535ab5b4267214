"""`napari-denoise demo`: the bundled samples, denoised, measured and shown."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_denoise.cli.console import Debug, Device, err, out, reporting, tell
from napari_denoise.cli.progress import FileProgress

if TYPE_CHECKING:
    from napari_denoise.cli.montage import Picture, Row
    from napari_denoise.inference.denoiser import Denoiser
    from napari_denoise.io.meta import ImageMeta


@dataclass(frozen=True)
class Case:
    """A sample with its truth, each a file or a ``####`` pattern."""

    name: str
    title: str
    noisy: Path
    truth: Path


@dataclass(frozen=True)
class DemoResult:
    """A denoised sample: arrays, figures before and after, and where it was written."""

    case: Case
    meta: ImageMeta
    noisy: Any
    denoised: Any
    truth: Any
    before: dict[str, float]
    after: dict[str, float]
    seconds: float
    weights: str
    target: Path
    frames_used: str = ""
    """Of how many frames the pixels are made; empty for frames by themselves."""
    single: DemoResult | None = None
    """The same stack frame by frame, where neighbours were used."""

    @property
    def frames(self) -> int:
        """How many there are."""
        return prod(
            n for a, n in zip(self.meta.axes, self.truth.shape, strict=True) if a not in "YXS"
        )


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "demo_output"
    ),
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="auto, a name, or a .safetensors file.")
    ] = "auto",
    device: Device = "auto",
    viewer: Annotated[
        bool, typer.Option("--viewer/--no-viewer", help="Open napari where there is a display.")
    ] = True,
    debug: Debug = False,
) -> None:
    """Denoise the bundled samples and see what it does: figures, a picture, and napari."""
    with reporting(debug):
        from napari_denoise.batch import find_inputs

        cases = bundled_cases()
        for case in cases:
            find_inputs([case.noisy, case.truth])  # all there, before any work
        denoiser = _load(weights, device)
        results = _denoise(cases, output, denoiser)
        _print_table(results, denoiser)
        picture = output / "demo.png"
        write_picture(results, picture, denoiser)
        tell(f"Results are in {output}/, side by side in {picture}")
        if viewer:
            view(results, picture)


def bundled_cases() -> list[Case]:
    """Return the samples that come with the package and have a truth."""
    from napari_denoise.plugin.samples import SAMPLES, sample_path

    return [
        Case(name, sample.title, sample_path(sample.noisy), sample_path(sample.truth))
        for name, sample in SAMPLES.items()
    ]


def _load(weights: str, device: str) -> Denoiser:
    with err().status("Loading PyTorch ..."):
        from napari_denoise.inference.denoiser import Denoiser

        return Denoiser.load(weights, device)


def _denoise(cases: list[Case], output: Path, denoiser: Denoiser) -> list[DemoResult]:
    results = []
    with FileProgress(len(cases)) as bars:
        for case in cases:
            result = denoise_case(case, denoiser, output, bars)
            if result.frames_used:
                single = denoise_case(case, denoiser, output, bars, neighbors=0)
                result = replace(result, single=single)
            results.append(result)
            bars.finished()
    return results


def denoise_case(
    case: Case,
    denoiser: Denoiser,
    output: Path,
    bars: FileProgress,
    neighbors: Literal["auto", 0] = "auto",
) -> DemoResult:
    """Denoise a sample into a folder, as the command line would, and measure it."""
    from napari_denoise.batch import denoise_file, plan
    from napari_denoise.io.read import read
    from napari_denoise.settings.denoise import DenoiseSettings

    folder = output / case.name if "#" in case.noisy.name else output
    suffix = "_denoised" if neighbors else "_frame_by_frame"
    task = plan([case.noisy], f"{folder}{os.sep}", suffix=suffix)[0]
    weights = denoiser.info.name if denoiser.info else "auto"
    done = denoise_file(
        task,
        denoiser,
        DenoiseSettings(weights=weights, neighbors=neighbors),
        overwrite=True,
        progress=lambda step: bars.step(task, step),
    )
    noisy, meta = read(case.noisy)
    truth, _ = read(case.truth)
    denoised, _ = read(task.target)
    return DemoResult(
        case,
        meta,
        noisy,
        denoised,
        truth,
        figures_of(truth, noisy, meta),
        figures_of(truth, denoised, meta),
        done.seconds,
        done.weights,
        task.target,
        done.frames_used,
    )


def figures_of(truth: Any, image: Any, meta: ImageMeta) -> dict[str, float]:
    """Return mean "psnr" and "ssim" over the frames; linear light is tone-mapped before."""
    from napari_denoise.cli.metrics_command import choose_range, compare
    from napari_denoise.image.axes import Layout
    from napari_denoise.image.tone import tone_mapped

    layout = Layout(meta.axes, tuple(truth.shape))
    if _is_hdr(meta):
        truth, image = tone_mapped(truth), tone_mapped(image)
        peak = 1.0
    elif meta.extra.get("format") == "png":
        peak, _ = choose_range(truth, layout)
    else:  # a camera seldom fills its 16 bits: the range of the truth is the harder one
        peak = float(truth.max()) - float(truth.min())
    rows = list(compare(truth, image, layout, peak))
    return {name: sum(row[name] for row in rows) / len(rows) for name in ("psnr", "ssim")}


def _is_hdr(meta: ImageMeta) -> bool:
    """Whether data are linear light, and so measured and shown tone-mapped."""
    return meta.extra.get("format") == "exr"


def _print_table(results: list[DemoResult], denoiser: Denoiser) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("sample", min_width=12)
    for column in ("frames", "PSNR before", "after", "SSIM before", "after", "time"):
        table.add_column(column, justify="right")
    table.add_column("weights")
    for result in results:
        before, after = result.before, result.after
        table.add_row(
            result.case.title,
            str(result.frames),
            f"{before['psnr']:.2f} dB",
            f"[bold green]{after['psnr']:.2f} dB[/]",
            f"{before['ssim']:.3f}",
            f"[bold green]{after['ssim']:.3f}[/]",
            f"{result.seconds:.1f} s",
            result.weights,
        )
    out().print(table)
    _print_stacks(results)
    out().print(f"device {denoiser.device}, {denoiser.precision}", style="dim")
    if any(_is_hdr(result.meta) for result in results):
        out().print(
            "linear light was tone-mapped to measure it: clip(x, 0, 1) ^ (1 / 2.2)", style="dim"
        )


def _print_stacks(results: list[DemoResult]) -> None:
    """Say what neighbouring frames were worth, and what they cost."""
    for result in results:
        if (single := result.single) is not None:
            out().print(
                f"{result.case.title}: frame by frame {single.after['psnr']:.2f} dB in "
                f"{single.seconds:.1f} s, with neighbours "
                f"[bold green]{result.after['psnr']:.2f} dB[/] in {result.seconds:.1f} s "
                f"({result.frames_used})",
                soft_wrap=True,
            )


def write_picture(results: list[DemoResult], target: Path, denoiser: Denoiser) -> None:
    """Draw all samples on one page."""
    from napari_denoise import __version__
    from napari_denoise.cli.montage import compose

    note = (
        f"before, after and truth   |   {denoiser.device}, {denoiser.precision}   |   {__version__}"
    )
    page = compose([_row(result) for result in results], "napari-denoise", note)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        page.save(temporary, "PNG", optimize=True)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _row(result: DemoResult) -> Row:
    from napari_denoise.cli.montage import Row

    before, after = result.before, result.after
    frames = (
        "one frame" if result.frames == 1 else f"frame {_middle(result) + 1} of {result.frames}"
    )
    return Row(
        result.case.title,
        frames,
        displayed(result),
        (
            f"{before['psnr']:.2f} dB   SSIM {before['ssim']:.3f}",
            f"{after['psnr']:.2f} dB   SSIM {after['ssim']:.3f}   {result.seconds:.1f} s",
            "",
        ),
    )


def _middle(result: DemoResult) -> int:
    return result.frames // 2


def displayed(result: DemoResult) -> tuple[Picture, Picture, Picture]:
    """Show the middle frame of noisy, denoised and truth under the truth's display limits."""
    import numpy as np

    from napari_denoise.cli.metrics_command import plane
    from napari_denoise.image.axes import Layout
    from napari_denoise.image.tone import GAMMA

    layout = Layout(result.meta.axes, tuple(result.truth.shape))
    index = layout.frames[_middle(result)]
    stacks = (result.noisy, result.denoised, result.truth)
    frames = [plane(stack[index], layout).astype(np.float32) for stack in stacks]
    low, high = _limits(frames[-1], result)
    gamma = GAMMA if _is_hdr(result.meta) else 1.0
    shown = [np.clip((frame - low) / (high - low), 0, 1) ** gamma for frame in frames]
    return shown[0], shown[1], shown[2]


def _limits(truth: Any, result: DemoResult) -> tuple[float, float]:
    import numpy as np

    if _is_hdr(result.meta):
        return 0.0, max(float(np.percentile(truth, 98)), 1e-6)
    if truth.ndim == 3:
        return 0.0, float(np.iinfo(result.truth.dtype).max)
    low, high = np.percentile(truth, (0.5, 99.8))
    return float(low), max(float(high), float(low) + 1)


def view(results: list[DemoResult], picture: Path) -> None:
    """Open napari where that can work; say where the picture is where it cannot."""
    if not _has_display():
        err().print(f"There is no display for napari: look at {picture}", soft_wrap=True)
        return
    try:
        from napari_denoise.plugin.window import show
    except ImportError:
        err().print(
            f'napari is not installed (pip install "napari-denoise[all]"): look at {picture}'
        )
        return
    show("napari-denoise demo", lambda viewer: add_layers(viewer, results))


def _has_display() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def add_layers(viewer: Any, results: list[DemoResult]) -> None:
    """Add noisy and denoised layers of each sample, a stack frame by frame too; show the first.

    Parameters
    ----------
    viewer
        A napari viewer or viewer model.
    results
        With equal contrast limits for all layers of a sample.
    """
    import numpy as np

    for number, result in enumerate(results):
        truth = np.asarray(result.truth, np.float32)
        low, high = _limits(truth, result)
        color = "S" in result.meta.axes
        shown = {"noisy": result.noisy}
        if result.single is not None:
            shown["frame by frame"] = result.single.denoised
        shown["denoised"] = result.denoised
        for label, data in shown.items():
            viewer.add_image(
                data,
                name=f"{result.case.name}: {label}",
                rgb=color,
                visible=number == 0,
                contrast_limits=(low, high),
                gamma=result.meta.gamma,
            )
