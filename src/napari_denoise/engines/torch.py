"""One window through the network: transfer, map, pad, run, crop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_denoise.engines.device import PRECISIONS
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array
from napari_denoise.measure.mappings import Mapping
from napari_denoise.models.network import Network
from napari_denoise.weights.catalogue import WeightsInfo, read_info
from napari_denoise.weights.files import load_network


@dataclass(frozen=True)
class NetworkScale:
    """Noise level for the network, and a linear squeeze that keeps it in its range.

    Noise beyond what the network saw in training is brought into range by shrinking
    the image around its middle: a denoiser sees the same signal-to-noise ratio.
    """

    sigma: float
    factor: float = 1.0


class Estimate(NamedTuple):
    """A denoised window in mapped units, (C, Y, X) float32: `intensity.inverse_mean` undoes it.

    Parameters
    ----------
    mean
        The denoised values.
    variance
        Of their error, in mapped units squared; None if the network states none.
    """

    mean: Float32Array
    variance: Float32Array | None


class TorchEngine:
    """A network on a device in one precision.

    Parameters
    ----------
    network
        As `models.weights.load_network` returns it.
    channels
        Image channels the network takes.
    device, precision
        As `models.device` chose them.
    """

    def __init__(self, network: Network, channels: int, device: str, precision: str) -> None:
        self.device = torch.device(device)
        self.dtype = PRECISIONS[precision]
        self.channels = channels
        self.radius, self.multiple, self.spread = network.radius, network.multiple, network.spread
        self.bytes_per_pixel, self.features = network.bytes_per_pixel, network.features
        self.network = network.to(self.device, self.dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def halo(self) -> int:
        """Pixels to read around a window: the receptive field radius, rounded up."""
        return ceil(self.radius / self.multiple) * self.multiple

    def run(
        self,
        window: NDArray[np.generic],
        mapping: Mapping,
        scale: NetworkScale,
        features: Float32Array | None = None,
        keep: Window | None = None,
    ) -> Estimate:
        """Denoise one window.

        Parameters
        ----------
        window
            (C, Y, X) in the data's units and dtype.
        mapping
            Of the channel.
        scale
            Noise level in mapped units.
        features
            (F, Y, X) beside the window, for networks that take them.
        keep
            Rows and columns of the window that are wanted; all if None.
        """
        wanted = keep or (slice(0, window.shape[1]), slice(0, window.shape[2]))
        with torch.inference_mode(), _exact_float32():
            mapped = self._mapped(_pad(window, self.multiple), mapping)
            squeezed = (mapped - 0.5) * scale.factor + 0.5 if scale.factor != 1 else mapped
            guides = None
            if features is not None:
                guides = self._transfer(_pad(features, self.multiple))[None]
            output = self._network_on(squeezed, scale.sigma * scale.factor, guides, wanted)
            mean, variance = output[0], output[1] if self.spread else None
            if scale.factor != 1:
                mean = (mean - 0.5) / scale.factor + 0.5
                variance = variance / scale.factor**2 if variance is not None else None
            return Estimate(_to_numpy(mean), None if variance is None else _to_numpy(variance))

    def _mapped(self, window: NDArray[np.generic], mapping: Mapping) -> Tensor:
        """Move a window to the device, integers in their own dtype, and map it there."""
        if window.dtype in (np.uint8, np.uint16):
            # The bus carries 1 or 2 bytes a pixel; a table maps them on the device.
            table = _table(mapping, window.dtype.str, str(self.device))
            codes = self._transfer(window.view(np.int16) if window.itemsize == 2 else window)
            return table[codes.int() & (table.numel() - 1)]
        return self._transfer(mapping.forward(window))

    def _transfer(self, array: NDArray[np.generic]) -> Tensor:
        # Writable, which PyTorch wants even of what is only read: read-only windows are copied.
        tensor = torch.from_numpy(np.require(array, requirements=("C", "W")))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _network_on(
        self, image: Tensor, sigma: float, guides: Tensor | None, keep: Window
    ) -> Tensor:
        """(C, Y, X) -> (1 or 2, C, Y, X) of what to keep, with the channels of the network."""
        samples = image.shape[0]
        if samples == self.channels:
            batch = image[None]
        elif self.channels == 1:
            batch = image[:, None]  # colour samples one by one
        else:
            batch = image[:, None].expand(-1, self.channels, -1, -1)  # gray as colour
        batch = batch.contiguous(memory_format=torch.channels_last)
        level = torch.full((1, 1, 1, 1), sigma, device=self.device, dtype=torch.float32)
        sigma_map = level.expand(len(batch), 1, *batch.shape[2:])
        output = self.network.within(batch, sigma_map, guides, keep)
        # (N, 1 or 2, C, Y, X)
        parts = output.reshape(len(batch), -1, self.channels, *output.shape[2:])
        return parts[0] if samples == self.channels else parts.mean(dim=2).transpose(0, 1)


def _to_numpy(planes: Tensor) -> Float32Array:
    return np.asarray(planes.cpu().numpy(), np.float32)


def load_engine(info: WeightsInfo, realism: float, device: str, precision: str) -> TorchEngine:
    """Build, or return again, the engine of a weights file."""
    return _cached(info.path, info.sha256, realism, device, precision)


@lru_cache(maxsize=4)
def _cached(path: Path, _content: str, realism: float, device: str, precision: str) -> TorchEngine:
    info = read_info(path)
    return TorchEngine(load_network(info, realism), info.card.channels, device, precision)


def _pad(window: NDArray[np.generic], multiple: int) -> NDArray[np.generic]:
    """Reflect at the bottom and right up to a multiple; works from 1x1 on.

    Windows start on multiples of the stride, so only those at the true border need it.
    """
    height, width = window.shape[1:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return window
    return np.pad(window, ((0, 0), (0, down), (0, right)), mode="reflect")


@lru_cache(maxsize=8)
def _table(mapping: Mapping, dtype: str, device: str) -> Tensor:
    """List what every code of an 8 or 16 bit dtype maps to, float32 on the device."""
    info = np.iinfo(dtype)
    return torch.from_numpy(mapping.forward(np.arange(info.max + 1))).to(device)


@contextmanager
def _exact_float32() -> Iterator[None]:
    """Switch TF32 off while a float32 network runs, as tile independence needs it."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
