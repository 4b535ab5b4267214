"""`napari-denoise finetune`: noisy images and their partners in, better weights for them out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.text import Text

from napari_denoise.cli.asked import asking
from napari_denoise.cli.console import (
    Debug,
    Json,
    err,
    out,
    print_json,
    reporting,
    say,
    tell,
    warn,
)
from napari_denoise.cli.plain import as_options
from napari_denoise.io.errors import FileExists, NotWritten
from napari_denoise.settings.finetune_fields import PAIRS, FineTuneFields

if TYPE_CHECKING:
    from napari_denoise.image.long_work import InParts
    from napari_denoise.training.data.real_pairs import Pair
    from napari_denoise.training.data.regions import Regions
    from napari_denoise.training.finetune.fine_tuning import FineTuning
    from napari_denoise.training.finetune.outcome import FineTuneResult

_RUN = "The run"
_T = TypeVar("_T")


@asking(FineTuneFields)
def finetune(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="NAME|FILE",
            help="A name for the weights, under which they are found, or a .safetensors file.",
        ),
    ],
    noisy: Annotated[
        list[str] | None,
        typer.Option(
            "--noisy", help="A noisy image or stack; may be repeated.", rich_help_panel=PAIRS
        ),
    ] = None,
    clean: Annotated[
        list[str] | None,
        typer.Option(
            "--clean",
            help="Its clean image; once for each --noisy, or one for all of them.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    second: Annotated[
        list[str] | None,
        typer.Option(
            "--second",
            help="In place of --clean: a second noisy shot of the same scene (noise2noise).",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            "--pairs",
            help="A folder with noisy/ and clean/ (or noisy2/), files of equal names.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    repeats: Annotated[
        list[str] | None,
        typer.Option(
            "--repeats",
            help="Repeated frames of one scene, of which the clean image is made.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    stack: Annotated[
        list[str] | None,
        typer.Option(
            "--stack",
            help="A noisy stack and nothing clean: its frames teach each other. What moves is "
            "aligned, what comes and goes left out.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="A letter per dimension, of T Z C Y X S, where the files are wrong.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            "--regions", help="JSON: where to train and to validate.", rich_help_panel=PAIRS
        ),
    ] = None,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            "--hold-out",
            metavar="NAME",
            help="A pair to validate on only, by name or wildcard; may be repeated.",
            rich_help_panel=PAIRS,
        ),
    ] = None,
    *,
    asked: dict[str, Any],
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=_RUN)
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume a run that was stopped or killed.", rich_help_panel=_RUN
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace weights and run of that name.", rich_help_panel=_RUN
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check the pairs and say how long it takes.", rich_help_panel=_RUN
        ),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fine-tune weights on your own pairs, and say how much better they are.

    `napari-denoise finetune --noisy shot.tif --clean average.tif --minutes 5 -o mine`

    `napari-denoise finetune --stack cells.ome.tif --minutes 5 -o mine` needs no clean image.

    A part of every image is held out, or what --regions or --hold-out say; the figures are of
    that part. Ctrl+C loses nothing: --resume goes on, and the best weights so far are kept.
    """
    with reporting(debug):
        from napari_denoise.cli.options import assumed_offset, parse_noise
        from napari_denoise.settings.finetune import FineTuneSettings
        from napari_denoise.settings.problems import SettingsError

        noise = asked["noise"]
        model = parse_noise(noise)
        try:
            settings = FineTuneSettings.parse({**asked, "noise": model})
        except SettingsError as error:
            raise ValueError(as_options(error)) from error
        with err().status("Loading PyTorch ..."):
            import torch

            from napari_denoise.training.finetune.fine_tuning import FineTuning
            from napari_denoise.training.finetune.outcome import (
                check_target,
                run_folder,
                target_path,
            )
        if threads is not None:
            torch.set_num_threads(threads)
        target = target_path(output)
        folder = run_folder(target)
        if resume and target.is_file() and not overwrite:
            remedy = f"train on from them with --base {output}, under another name"
            raise FileExists(
                target, "that fine-tuning is finished, and the weights are saved", remedy
            )
        if not dry_run:
            check_target(target, overwrite=overwrite)
        given = _open(noisy, clean, second, pairs, repeats, stack, axes)
        drawn = _regions(regions, hold_out, given)
        anew = overwrite or dry_run  # nothing is deleted before the first step
        parts = FineTuning.preparing(given, settings, folder, drawn, resume=resume, overwrite=anew)
        tuning = _shown(parts)
        if resume and not folder.is_dir():
            warn(f"{folder}: there is no run to resume; this one is new")
        if assumed := assumed_offset(noise, model):
            warn(assumed)
        for note in tuning.notes:
            warn(note)
        if dry_run:
            tell(_shown(tuning.planning()).describe())
            return
        result = _train(tuning)
        path = None
        if result.offered:
            path = tuning.save(target, result, overwrite=overwrite).path
        _finish(tuning, result, path, as_json)


def _open(
    noisy: list[str] | None,
    clean: list[str] | None,
    second: list[str] | None,
    folders: list[Path] | None,
    repeats: list[str] | None,
    stacks: list[str] | None,
    axes: str | None,
) -> list[Pair]:
    """Read all pairs that are named.

    Raises
    ------
    ValueError
        None, or images without partners.
    """
    from napari_denoise.training.data.real_pairs import (
        distinct,
        open_folder,
        open_pair,
        open_stack,
    )
    from napari_denoise.training.data.repeats import open_frames

    if clean and second:
        raise ValueError("--clean and --second: give one of them; the losses differ")
    images, others = noisy or [], clean or second or []
    if len(others) == 1:
        others = others * len(images)
    if len(images) != len(others):
        raise ValueError(
            f"{len(images)} --noisy and {len(others)} --{'second' if second else 'clean'}: give "
            "one for each, or one clean image for all"
        )
    found = [
        open_pair(one, other, axes=axes, noisy_target=bool(second), name=name)
        for one, other, name in zip(images, others, _names(images), strict=True)
    ]
    for folder in folders or []:
        found += open_folder(folder, axes=axes)
    found += [open_frames(stack, axes=axes) for stack in repeats or []]
    found += [open_stack(stack, axes=axes) for stack in stacks or []]
    if not found:
        raise ValueError(
            "no pairs: give --noisy with --clean or --second, --pairs or --repeats; or a noisy "
            "stack alone, with --stack"
        )
    return distinct(found)


def _names(images: list[str]) -> list[str]:
    """Name pairs after their files, with the folder where files of several are called alike."""
    paths = [Path(image) for image in images]
    names = [path.name.split(".")[0] for path in paths]
    return [
        name if names.count(name) == 1 else f"{path.parent.name}/{name}"
        for path, name in zip(paths, names, strict=True)
    ]


def _regions(file: Path | None, hold_out: list[str] | None, pairs: list[Pair]) -> Regions:
    from napari_denoise.training.data.regions import Region, Regions, read_regions

    drawn = read_regions(file).regions if file is not None else ()
    held = []
    for pattern in hold_out or []:
        found = [pair.name for pair in pairs if pair.name == pattern]
        found = found or [pair.name for pair in pairs if fnmatch(pair.name, pattern)]
        if not found:
            names = ", ".join(pair.name for pair in pairs)
            raise ValueError(f"--hold-out {pattern}: no pair of that name; there are {names}")
        held += [Region("validate", pair=name) for name in found]
    return Regions((*drawn, *held))


def _shown(parts: InParts[_T]) -> _T:
    """Do all parts, each of them named on a line while it is at work."""
    with err().status("") as line:
        while True:
            try:
                text = next(parts)
            except StopIteration as end:
                result: _T = end.value
                return result
            line.update(Text(f"{text[0].upper()}{text[1:]} ..."), spinner="dots")


def _train(tuning: FineTuning) -> FineTuneResult:
    """Train to the end and measure; interrupted, it keeps the steps done."""
    plan = _shown(tuning.beginning())
    if plan is None:
        say("resuming", "bold", str(tuning.folder))
    else:
        say("plan", "bold", plan.describe())
        if not plan.fits:
            warn("that may not fit into memory: lower --batch or --patch")
    try:
        _take_steps(tuning)
        return _shown(tuning.measuring())
    except KeyboardInterrupt:
        if tuning.keep():
            warn("the run is kept: take it up with --resume")
        raise
    except NotWritten:
        warn("the run is kept as it was written last: take it up with --resume")
        raise


def _take_steps(tuning: FineTuning) -> None:
    from napari_denoise.cli.progress import training_bars

    console = err()
    bars = training_bars()
    bar = bars.add_task("fine-tuning", total=None, loss=float("nan"), speed=0.0)

    def tell() -> None:
        bars.update(bar, description="ending after this step; Ctrl+C once more: at once")

    with bars, closing(tuning.training()) as reports, _between_steps(tell) as heed:
        for report in reports:
            if report.note:
                warn(report.note, console)
            elif report.terms:
                loss, speed = report.terms.get("pixel", float("nan")), report.steps_per_second
                bars.update(bar, completed=report.step, total=report.steps, loss=loss, speed=speed)
            if report.figures:
                say(f"step {report.step}", "cyan", _line(report.figures), console)
            heed()


@contextmanager
def _between_steps(tell: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Let Ctrl+C and SIGTERM wait for the end of the step at work; a second one does not wait.

    Gives what is to be called between two steps: it interrupts if that was asked for. `tell`
    is called at once; it must not write, for it may come in the middle of writing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in found.items() if callable(handler)}
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            before[signal.Signals(number)](number, frame)
        tell()

    def heed() -> None:
        if came:
            before[signal.Signals(came[0])](came[0], None)

    for number in before:
        signal.signal(number, note)
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(figures: Any) -> str:
    names = [name for name in figures if name.startswith("psnr_")]
    return "PSNR " + ", ".join(f"{n.removeprefix('psnr_')} {figures[n]:.2f}" for n in names) + " dB"


def _finish(tuning: FineTuning, result: FineTuneResult, path: Path | None, as_json: bool) -> None:
    from napari_denoise.training.finetune.curve_picture import draw_curve

    log, picture = tuning.folder / "log.csv", tuning.folder / "curve.png"
    curve = [log, picture]
    try:
        draw_curve(log, picture)
    except NotWritten as error:  # the weights are saved
        warn(str(error))
        curve = [log]
    if as_json:
        print_json({**result.to_json(), "weights": path, "curve": curve})
        return
    _print_table(result)
    tell(result.verdict)
    kept = f" ({result.kept})" if result.kept else ""
    tell(f"weights: {path}{kept}" if path else "weights: not saved; keep using the base")
    tell(f"curve: {' and '.join(map(str, curve))}")


def _print_table(result: FineTuneResult) -> None:
    from rich.table import Table

    if not result.rows:
        return
    out().print(Text(result.measured), soft_wrap=True)
    table = Table(box=None, header_style="bold")
    for column in ("", "PSNR", "SSIM", "mean intensity error"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in result.rows.items():
        table.add_row(name, *row.texts(missing="-"))
    out().print(table)
