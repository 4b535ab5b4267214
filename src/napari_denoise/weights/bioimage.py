"""Weights -> a bioimage.io package: TorchScript with a description that its own checker passes.

The format and the checker are those of bioimageio.spec, an extra
(https://bioimage-io.github.io/spec-bioimage-io).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor, nn

import napari_denoise
from napari_denoise.io.atomic import check_targets, replacing
from napari_denoise.models.network import Network
from napari_denoise.weights.bioimage_text import UNITS, Part, Size, describe, readme
from napari_denoise.weights.catalogue import WeightsError, WeightsInfo, find_weights
from napari_denoise.weights.files import load_network

if TYPE_CHECKING:
    from bioimageio.spec.model.v0_5 import ModelDescr

SUFFIX = ".zip"
INSTALL = 'python -m pip install "napari-denoise[bioimageio]"'
FEATURES = (
    *(f"{role}_{axis}" for role, axes in (("albedo", "rgb"), ("normal", "xyz")) for axis in axes),
    "has_albedo",
    "has_normal",
)
"""The planes of `inference.features`."""
TEST_NOISE = 0.1
SAME = 1e-5
"""How far a package run back may be from the network, in mapped units: float32's rounding."""
TOLERANCES = {
    "denoised": {"relative_tolerance": 1e-3, "absolute_tolerance": 1e-4},
    "variance": {"relative_tolerance": 1e-2, "absolute_tolerance": 0.0},
}
"""For other people's devices, TF32 included."""


class _Exported(nn.Module):
    """A network with one output per tensor of the description."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Image, noise and features -> the denoised image, and its variance if there is one."""
        mean, variance = self.network.split(self.network(*inputs))
        return mean if variance is None else (mean, variance)


def export_bioimage(
    name: str | Path,
    target: Path,
    *,
    realism: float = 0.0,
    authors: Sequence[str] = (),
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write weights as a bioimage.io package, checked and run back before it gets its name.

    Parameters
    ----------
    name
        Name or path of weights.
    target
        Ends in ``.zip``, or a folder, which gets the package under the weights' name.
    realism
        From the faithful (0) to the realistic end (1).
    authors
        Who is to be named; nobody if empty.
    licence
        Of the weights, as SPDX identifier; not stated if None.

    Raises
    ------
    WeightsError
        bioimageio.spec is missing, the weights or the target cannot be used, the checker does
        not pass the package, or run back it gives other numbers.
    FileExists
        The target exists.
    """
    _require()
    info = find_weights(name)
    path = target / f"{info.path.stem}{SUFFIX}" if target.is_dir() else target
    if path.suffix.lower() != SUFFIX:
        raise WeightsError(f"{path}: a bioimage.io package must end in {SUFFIX}")
    check_targets([path], overwrite=overwrite)
    _check_licence(licence)
    with TemporaryDirectory() as folder, _quiet():
        package = _package(info, realism, authors, licence, Path(folder))
        check_package(package)
        with replacing([path], overwrite=overwrite) as (new,):
            new.write_bytes(package.read_bytes())
    return path


def _require() -> None:
    try:
        import bioimageio.spec  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            f"a bioimage.io package needs bioimageio.spec, which cannot be loaded ({error}): "
            f"install it with `{INSTALL}`"
        ) from error


def _check_licence(licence: str | None) -> None:
    from bioimageio.spec.generic.v0_3 import LicenseId
    from pydantic import ValidationError

    try:
        _ = licence is None or LicenseId(licence)
    except ValidationError as error:
        raise WeightsError(
            f"licence {licence!r} is not an SPDX identifier: choose one of "
            "https://spdx.org/licenses, such as CC-BY-4.0 or BSD-3-Clause, or leave it out"
        ) from error


def _package(
    info: WeightsInfo,
    realism: float,
    authors: Sequence[str],
    licence: str | None,
    folder: Path,
) -> Path:
    from bioimageio.spec import save_bioimageio_package
    from pydantic import ValidationError

    network = load_network(info, realism)
    exported = _Exported(network).eval()
    halo = ceil(network.radius / network.multiple) * network.multiple
    size = Size(2 * halo + network.multiple, network.multiple, halo)
    inputs = _inputs(info, network, size)
    outputs = _outputs(exported, inputs)
    test = tuple(part.test for part in inputs)
    script = torch.jit.trace(exported, test, check_trace=False)  # type: ignore[no-untyped-call]
    script.save(folder / "weights.pt")
    (folder / "card.json").write_text(info.card.to_json(), encoding="utf-8")
    blind = _is_blind(exported, inputs)
    text = readme(info, realism, [*inputs, *outputs], size, blind=blind)
    (folder / "README.md").write_text(text, encoding="utf-8")
    try:
        model = _model(info, realism, authors, licence, folder, inputs, outputs, size)
    except ValidationError as error:
        raise _refused(
            info.name, [(fault["loc"], fault["msg"]) for fault in error.errors()]
        ) from error
    return Path(save_bioimageio_package(model, output_path=folder / f"package{SUFFIX}"))


def _inputs(info: WeightsInfo, network: Network, size: Size) -> list[Part]:
    """Make up what the package is tested with: waves under noise, higher than wide."""
    generator = torch.Generator().manual_seed(0)
    shape = size.smallest + size.multiple, size.smallest
    y, x = (torch.arange(n, dtype=torch.float32) for n in shape)
    waves = 0.5 + 0.2 * torch.sin(y / 7)[:, None] + 0.2 * torch.cos(x / 5 + 1)
    clean = waves.expand(1, info.card.channels, *shape)
    noise = torch.full((1, 1, *shape), min(TEST_NOISE, info.card.noise_range[1]))
    noisy = clean + noise * torch.randn(clean.shape, generator=generator)
    parts = [
        Part("image", f"Noisy image, {UNITS}", _colours(info.card.channels), noisy),
        Part("noise", f"Noise standard deviation of each pixel, {UNITS}", ("sigma",), noise),
    ]
    if network.features:
        planes = torch.rand((1, network.features, *shape), generator=generator)
        meaning = "Albedo and normal of a render; zeros where there is none, see README.md"
        parts.append(Part("features", meaning, FEATURES[: network.features], planes))
    return parts


def _outputs(exported: _Exported, inputs: Sequence[Part]) -> list[Part]:
    with torch.inference_mode():
        result = exported(*(part.test for part in inputs))
    channels = inputs[0].channels
    if isinstance(result, Tensor):
        return [Part("denoised", f"Denoised image, {UNITS}", channels, result)]
    return [
        Part("denoised", f"Denoised image, {UNITS}", channels, result[0]),
        Part("variance", "Stated variance of its error, see README.md", channels, result[1]),
    ]


def _colours(channels: int) -> Sequence[str]:
    if channels == 3:
        return "red", "green", "blue"
    return tuple(f"intensity{n or ''}" for n in range(channels))


def _is_blind(exported: _Exported, inputs: Sequence[Part]) -> bool:
    """Whether the network does not look at the noise level."""
    image, noise, *others = (part.test for part in inputs)
    with torch.inference_mode():
        one, two = (exported(image, level, *others) for level in (noise, noise / 2))
    return isinstance(one, Tensor) and torch.equal(one, two)


def _model(
    info: WeightsInfo,
    realism: float,
    authors: Sequence[str],
    licence: str | None,
    folder: Path,
    inputs: Sequence[Part],
    outputs: Sequence[Part],
    size: Size,
) -> ModelDescr:
    from bioimageio.spec.model.v0_5 import ModelDescr

    ours = {
        "weights": info.name,
        "sha256": info.sha256,
        "parent": info.card.parent,
        "realism": realism,
        "mapping": info.card.mapping,
        "noise_range": list(info.card.noise_range),
        "training_data": [vars(entry) for entry in info.card.training_data],
        "version": napari_denoise.__version__,
    }
    # Plain values, as they stand in the package's YAML: its classes check and convert them.
    return ModelDescr.model_validate(
        {
            "format_version": ModelDescr.implemented_format_version,
            "type": "model",
            "name": _name(info),
            "description": describe(info),
            "authors": [{"name": name} for name in authors if name.strip()],
            "license": licence,
            "tags": ["denoising", "image-restoration", "2d", "pytorch", info.card.domain],
            "documentation": {"source": folder / "README.md"},
            "attachments": [{"source": folder / "card.json"}],
            "inputs": [_input(part, size, folder) for part in inputs],
            "outputs": [_output(part, size, folder) for part in outputs],
            "weights": {
                "torchscript": {
                    "source": folder / "weights.pt",
                    "pytorch_version": torch.__version__.partition("+")[0],
                    "comment": "float32; the values are those of a float16 weights file",
                }
            },
            "config": {
                "bioimageio": {
                    "reproducibility_tolerance": [
                        {"output_ids": [part.name], **TOLERANCES[part.name]} for part in outputs
                    ],
                    "task": "denoising",
                },
                "napari_denoise": ours,
            },
        }
    )


def _name(info: WeightsInfo) -> str:
    """Return the name within the letters that the format allows."""
    return f"napari-denoise {re.sub(r'[^A-Za-z0-9_+() -]', '_', info.name)}"[:64]


def _input(part: Part, size: Size, folder: Path) -> dict[str, Any]:
    free = {"min": size.smallest, "step": size.multiple}
    lengths = {axis: free if part.name == "image" else _as_image(axis) for axis in "yx"}
    axes = [{"type": "space", "id": axis, "size": length} for axis, length in lengths.items()]
    return _tensor(part, axes, folder)


def _output(part: Part, size: Size, folder: Path) -> dict[str, Any]:
    axes = [
        {"type": "space", "id": axis, "size": _as_image(axis), "halo": size.halo} for axis in "yx"
    ]
    return _tensor(part, axes, folder)


def _as_image(axis: str) -> dict[str, Any]:
    return {"tensor_id": "image", "axis_id": axis}


def _tensor(part: Part, space: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    np.save(folder / f"{part.name}.npy", part.test.numpy())
    return {
        "id": part.name,
        "description": part.meaning,
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": list(part.channels)},
            *space,
        ],
        "data": {"type": "float32"},
        "test_tensor": {"source": folder / f"{part.name}.npy"},
    }


def check_package(package: Path) -> None:
    """Validate a package, and run it back to the outputs that it holds.

    Raises
    ------
    WeightsError
        It does not follow the format, or gives other numbers.
    """
    from bioimageio.spec import load_description
    from bioimageio.spec.model.v0_5 import ModelDescr

    with _quiet(), ZipFile(package) as file:  # given a path it would keep the file open
        model = load_description(file, perform_io_checks=True)
        if not isinstance(model, ModelDescr) or model.weights.torchscript is None:
            details = model.validation_summary.details
            raise _refused(package, [(e.loc, e.msg) for detail in details for e in detail.errors])
        stored = model.weights.torchscript.get_reader()
        script = torch.jit.load(stored)  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            result = script(*(torch.from_numpy(array) for array in model.get_input_test_arrays()))
        wanted = model.get_output_test_arrays()
    got = [result] if isinstance(result, Tensor) else list(result)
    error = max(float(np.abs(g.numpy() - w).max()) for g, w in zip(got, wanted, strict=True))
    if not error <= SAME:
        raise _refused(package, [(("weights",), f"run back, its outputs differ by {error:g}")])


def _refused(what: str | Path, faults: Sequence[tuple[Sequence[Any], str]]) -> WeightsError:
    lines = "; ".join(f"{'.'.join(map(str, place))}: {message}" for place, message in faults)
    return WeightsError(f"{what}: not valid as a bioimage.io package: {lines}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to our one message: the checker logs, and PyTorch deprecates what it reads."""
    from loguru import logger

    logger.disable("bioimageio")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*torch\.jit", DeprecationWarning)
            warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)  # the checker's
            yield
    finally:
        logger.enable("bioimageio")
