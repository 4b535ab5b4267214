"""`napari-denoise info`: what a file is, and what denoising it would do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_denoise.cli.console import (
    FAILED,
    Debug,
    Json,
    Position,
    Series,
    err,
    facts,
    print_json,
    reporting,
    say,
    summary,
    warn,
)

if TYPE_CHECKING:
    from napari_denoise.inference.described import Described
    from napari_denoise.io.errors import FileError
    from napari_denoise.io.inputs import ImageInput
    from napari_denoise.io.meta import ImageMeta


_NOTHING = "not measured: only NaN or infinity"
_WITHOUT = "none was found: denoising returns it as it is"


def info(
    file: Annotated[
        str, typer.Argument(help='A file, a folder or a wildcard such as "shot_####.exr".')
    ],
    axes: Annotated[
        str | None, typer.Option(help="A letter per dimension, of T Z C Y X S (RGB).")
    ] = None,
    series: Series = None,
    position: Position = None,
    save_noise: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="Keep the noise of the one input in a file, for denoise --noise-from.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="A folder stands for its subfolders too.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show shape, axes, scale and noise of a file, and the weights it would get.

    A folder or wildcard with several inputs, and a file with several images, show each. JSON is
    always a list of objects that all have the same keys; what is unknown is null. An input that
    cannot be read is named at the end, and the exit code is 1.
    """
    failed: list[FileError] = []
    with reporting(debug):
        from napari_denoise.batch import find_inputs
        from napari_denoise.io.images import images_among

        sources = images_among(find_inputs([file], recursive=recursive), series, position)
        if save_noise is not None and len(sources) > 1:
            raise ValueError(
                f"--save-noise {save_noise}: {file} stands for {len(sources)} inputs; name one"
            )
        values = list(_described(sources, axes, failed))
        if save_noise is not None:
            _save_noise(save_noise, values[0])
        if as_json:
            print_json(values)
        else:
            for entry in values:
                image = f" [{entry['image']}]" if entry["image"] else ""
                facts(entry["name"] + image, _readable(entry))
        for error in failed:
            say("error", "bold red", summary(error))
        if failed:
            err().print(f"{len(failed)} of {len(sources)} inputs cannot be read")
            raise typer.Exit(FAILED)


def _described(
    sources: list[ImageInput], axes: str | None, failed: list[FileError]
) -> Iterator[dict[str, Any]]:
    """Describe what can be read; where there are several inputs, keep the errors of the others."""
    from napari_denoise.io.errors import FileError

    for source in sources:
        try:
            yield describe(source, axes)
        except FileError as error:
            if len(sources) == 1:
                raise
            failed.append(error)


def describe(source: ImageInput, axes: str | None = None) -> dict[str, Any]:
    """Read one input and return what there is to know, as JSON values.

    Raises
    ------
    FileError
        It cannot be read.
    """
    from napari_denoise.batch.guessed import is_guess
    from napari_denoise.inference.described import described, is_linear_colour
    from napari_denoise.io.errors import listening
    from napari_denoise.io.read import read

    with listening() as messages:
        array, meta = read(source.files, axes=axes, sequence=source.is_stack, series=source.series)
    stack = described(array, meta=meta)
    weights = stack.weights()
    noise = _noise(stack, weights)
    for text in messages:
        warn(text)
    _warn_of_nothing(source, noise)
    return {
        "name": source.pattern.name,
        "path": str(source.pattern),
        "files": len(source.files),
        "image": source.label or None,
        "series": source.series,
        "shape": list(array.shape),
        "axes": meta.axes,
        "guessed": axes is None and is_guess(meta),
        "dtype": str(array.dtype),
        "bytes": int(array.nbytes),
        "format": meta.extra.get("format"),
        "scale": {a: [s, u] for a, s, u in zip(meta.axes, meta.scale, meta.units, strict=True)},
        "channels": list(meta.channel_names),
        "layers": sorted(meta.features),
        "render": _render(meta, array.shape),
        "sequence": _sequence(source),
        "linear_light": is_linear_colour(array, meta),
        "noise": noise,
        "weights": weights,
        "denoised": meta.extra.get("napari_denoise"),
    }


def _render(meta: ImageMeta, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """Return what an OpenEXR holds beside the image that was read."""
    held = meta.extra.get("exr")
    if held is None:
        return None
    return {
        "image": held["label"],
        "layers": held["layers"],
        "like_the_image": held["alike"],
        "passes": held["passes"],
        "alpha": "S" in meta.axes and shape[-1] == 4,
        "data_window": held["window"],
        "display_window": held["display"],
    }


def _sequence(source: ImageInput) -> dict[str, Any] | None:
    """Return the stack these files are, or the one a numbered file alone belongs to."""
    from napari_denoise.io.inputs import siblings

    stack = source if source.is_stack else siblings(source.files[0])
    if not stack.is_stack:
        return None
    return {
        "pattern": str(stack.pattern),
        "frames": len(stack.files),
        "first": stack.numbers[0] if stack.numbers else 0,
        "last": stack.numbers[-1] if stack.numbers else len(stack.files) - 1,
        "missing": list(stack.gaps),
    }


def _noise(stack: Described, weights: str) -> list[dict[str, Any]]:
    """Measure each channel's noise in the frames that denoising would look at."""
    from dataclasses import fields

    from napari_denoise.inference.noise_files import measured_models
    from napari_denoise.settings.noise import NoiseModel

    channels = []
    for model in measured_models(stack, weights):
        if model is None:
            none = dict.fromkeys(field.name for field in fields(NoiseModel))
            channels.append({"text": _NOTHING, "finite": False, **none})
        else:
            text = _WITHOUT if model == NoiseModel() else model.describe()
            channels.append({"text": text, "finite": True, **vars(model)})
    return channels


def _save_noise(path: str, entry: dict[str, Any]) -> None:
    """Keep the noise that an input was described with."""
    from dataclasses import fields

    from napari_denoise.inference.noise_files import save_noise
    from napari_denoise.settings.noise import NoiseModel

    names = [field.name for field in fields(NoiseModel)]
    models = [
        NoiseModel(**{name: channel[name] for name in names}) if channel["finite"] else None
        for channel in entry["noise"]
    ]
    save_noise(path, models, entry["name"])


def _warn_of_nothing(source: ImageInput, noise: list[dict[str, Any]]) -> None:
    empty = sum(not channel["finite"] for channel in noise)
    if empty:
        which = f"in {empty} of {len(noise)} channels " if len(noise) > 1 else ""
        warn(
            f"{source.pattern}: {which}the frames looked at hold only NaN or infinity: it cannot "
            "be denoised; look at where it comes from, or leave those channels out"
        )


def _readable(entry: dict[str, Any]) -> dict[str, Any]:
    measured = any(model["finite"] for model in entry["noise"])
    names = entry["channels"] or [f"channel {i}" for i in range(len(entry["noise"]))]
    noise = [model["text"] for model in entry["noise"]]
    if len(noise) > 1:
        noise = [f"{name}: {text}" for name, text in zip(names, noise, strict=False)]
    if entry["linear_light"] and measured:
        noise.append("(at 2.6 times the mean: the noise of path-traced light grows with it)")
    sizes = ", ".join(f"{a} {n}" for a, n in zip(entry["axes"], entry["shape"], strict=True))
    return {
        "path": entry["path"],
        "size": f"{sizes}  ({entry['bytes'] / 1e6:.1f} MB)"
        + (", axes guessed: the file names none" if entry["guessed"] else ""),
        "type": entry["dtype"] + (", linear light" if entry["linear_light"] else ""),
        "scale": _scale(entry["scale"]),
        "channels": ", ".join(entry["channels"]) or None,
        "layers": ", ".join(entry["layers"]) or None,
        "render": _render_text(entry["render"]),
        "sequence": _sequence_text(entry),
        "noise": "\n".join(noise),
        "weights": _weights_text(entry["weights"]) if measured else "none: it has no values",
        "denoised": _denoised_text(entry["denoised"], names),
    }


def _render_text(render: dict[str, Any] | None) -> str | None:
    if render is None:
        return None
    lines = [f"image {render['image']!r}" + (" with alpha" if render["alpha"] else "")]
    named = [name for name in render["layers"] if name and name != render["image"]]
    if named:
        lines.append(f"beside it: {', '.join(named)}")
    if render["like_the_image"]:
        lines.append(f"of its kind (--every-view): {', '.join(render['like_the_image'])}")
    if render["passes"]:
        lines.append(f"light passes (--passes): {', '.join(render['passes'])}")
    if render["data_window"] != render["display_window"]:
        own, shown = ("{} {} to {} {}".format(*render[f"{w}_window"]) for w in ("data", "display"))
        lines.append(f"data window {own} of {shown}")
    return "\n".join(lines)


def _scale(scale: dict[str, list[Any]]) -> str | None:
    known = [f"{a} {s:g} {u or ''}".strip() for a, (s, u) in scale.items() if u or s != 1]
    return ", ".join(known) or "not stated"


def _sequence_text(entry: dict[str, Any]) -> str | None:
    stack = entry["sequence"]
    if stack is None:
        return None
    text = f"{stack['pattern']}: {stack['frames']} frames, {stack['first']} to {stack['last']}"
    if stack["missing"]:
        from napari_denoise.io.ranges import ranges_text

        text += f", missing {ranges_text(stack['missing'])}"
    if entry["files"] == 1:
        text += "\nthis file is one of them; name the pattern, the folder or --sequence for all"
    return text


def _weights_text(name: str) -> str:
    from napari_denoise.weights.catalogue import list_weights

    titles = {info.name: info.card.title for info in list_weights()}
    return f"{name}: {titles[name]}" if name in titles else f"{name} (not installed)"


def _denoised_text(provenance: Any, names: list[str]) -> str | None:
    """Say with what an image was denoised; of channels that were denoised apart, each."""
    if isinstance(provenance, list):
        texts = [_denoised_text(note, []) or "not denoised" for note in provenance]
        if len(texts) == len(names):
            texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=True)]
        return "\n".join(texts) if any(map(bool, provenance)) else None
    if not isinstance(provenance, dict):
        return None
    made = [str(provenance[k]) for k in ("weights", "version", "time") if k in provenance]
    return f"already: {', '.join(made)}"
