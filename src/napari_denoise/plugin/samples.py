"""The bundled samples: where they are, and as layers for File > Open Sample.

Importing this loads neither PyTorch nor napari.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_denoise.plugin.layers.data import LayerData


@dataclass(frozen=True)
class Sample:
    """A noisy sample and its truth, relative to the sample folder.

    Parameters
    ----------
    title
        A few words.
    noisy, truth
        A file, or a ``####`` pattern of numbered frames.
    axes
        One letter per dimension.
    """

    title: str
    noisy: str
    truth: str
    axes: str


SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {
        "fluorescence": Sample(
            "Fluorescence time-lapse",
            "fluorescence.ome.tif",
            "fluorescence_truth.ome.tif",
            "TYX",
        ),
        "photo": Sample("Photograph", "photo.png", "photo_truth.png", "YXS"),
        "render": Sample(
            "Path-traced sequence",
            "render/still_life_####.exr",
            "render_truth/still_life_####.exr",
            "TYXS",
        ),
    }
)


def sample_path(name: str) -> Path:
    """Return where a file, folder or pattern of the samples is.

    Raises
    ------
    FileNotFoundError
        The samples did not come with this installation.
    """
    installed = Path(str(files("napari_denoise"))) / "sample_data"
    checkout = Path(__file__).parents[3] / "sample_data"
    for folder in (installed, checkout):
        if folder.is_dir():
            return folder / name
    raise FileNotFoundError(
        f"{installed} does not exist: the samples come with the wheel and with a checkout, "
        "so install napari-denoise again"
    )


def fluorescence() -> list[LayerData]:
    """Open the simulated fluorescence time-lapse."""
    return open_sample("fluorescence")


def photo() -> list[LayerData]:
    """Open the noisy photograph."""
    return open_sample("photo")


def render() -> list[LayerData]:
    """Open the path-traced sequence, with its albedo and normal as hidden layers."""
    return open_sample("render")


def open_sample(name: str) -> list[LayerData]:
    """Read a sample as layers for napari, the truth first and hidden.

    Parameters
    ----------
    name
        A key of `SAMPLES`.
    """
    from napari_denoise.io.read import read
    from napari_denoise.plugin.layers.data import to_layers

    sample = SAMPLES[name]
    noisy = to_layers(*read(sample_path(sample.noisy)))
    truth = to_layers(*read(sample_path(sample.truth)))
    limits = noisy[-1][1].get("contrast_limits")
    hidden = []
    for data, attributes, kind in truth:
        changes = {"name": f"{name} truth", "visible": False}
        if limits is not None:
            changes["contrast_limits"] = limits
        hidden.append((data, {**attributes, **changes}, kind))
    return [*hidden, *noisy]
