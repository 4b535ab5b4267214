"""One window through a PyTorch network: transfer, pad, run, crop."""

from __future__ import annotations

import copy
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_denoise.engines.base import Estimate
from napari_denoise.engines.device import PRECISIONS
from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array
from napari_denoise.measure.mappings import Mapped
from napari_denoise.models.network import Network
from napari_denoise.weights.catalogue import WeightsInfo, read_info
from napari_denoise.weights.files import load_network, load_second_pass


class TorchEngine:
    """A network on a device in one precision.

    Parameters
    ----------
    network
        As `weights.files.load_network` returns it.
    channels
        Image channels the network takes.
    device, precision
        As `engines.device` chose them.
    """

    def __init__(self, network: Network, channels: int, device: str, precision: str) -> None:
        self.device, self.precision, self.channels = device, precision, channels
        self.dtype = PRECISIONS[precision]
        self.radius, self.multiple, self.spread = network.radius, network.multiple, network.spread
        self.bytes_per_pixel, self.features = network.bytes_per_pixel, network.features
        self._device = torch.device(device)
        self._table: tuple[Float32Array, Tensor] | None = None
        if self.dtype == torch.float32 and self._device.type == "cuda":
            # Tiles agree only without TF32. Convolutions ask a flag of the whole process for it:
            # switched around each tile it would race with other threads, so it stays off.
            torch.backends.cudnn.allow_tf32 = False
        self.network = network.to(self._device, self.dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def in_float32(self) -> TorchEngine:
        """Return the same network in float32: itself, if it computes in that already."""
        if self.precision == "float32":
            return self
        return TorchEngine(copy.deepcopy(self.network), self.channels, self.device, "float32")

    @property
    def halo(self) -> int:
        """Pixels to read around a window: the receptive field radius, rounded up."""
        return ceil(self.radius / self.multiple) * self.multiple

    def run(
        self,
        image: Mapped,
        sigma: Float32Array,
        features: Float32Array | None = None,
        keep: Window | None = None,
    ) -> Estimate:
        """Denoise one window; see `engines.base.Engine`."""
        rows, columns = image.values.shape[1:]
        wanted = keep or (slice(0, rows), slice(0, columns))
        with torch.inference_mode():
            values = self._on_device(image)
            guides = None
            if features is not None:
                guides = self._transfer(_pad(features, self.multiple))[None]
            level = self._level(sigma, values.shape[1:])
            output = self._network_on(values, level, guides, wanted)
            variance = _to_numpy(output[1]) if self.spread else None
            return Estimate(_to_numpy(output[0]), variance)

    def _on_device(self, image: Mapped) -> Tensor:
        """Move a window to the device; codes in their own dtype, to be mapped there."""
        values = _pad(image.values, self.multiple)
        if image.table is None:
            return self._transfer(values)
        # The bus carries 1 or 2 bytes a pixel; a table maps them on the device.
        table = self._table_on_device(image.table)
        codes = self._transfer(values.view(np.int16) if values.itemsize == 2 else values)
        return table[codes.int() & (table.numel() - 1)]

    def _table_on_device(self, table: Float32Array) -> Tensor:
        kept = self._table  # read once: another thread may use this engine for another table
        if kept is None or kept[0] is not table:
            kept = self._table = table, torch.from_numpy(table).to(self._device)
        return kept[1]

    def _level(self, sigma: Float32Array, size: tuple[int, ...]) -> Tensor:
        """(1, 1, Y, X) noise level; of a constant map one number goes to the device."""
        if not any(sigma.strides):
            level = torch.full((1, 1, 1, 1), float(sigma.flat[0]), device=self._device)
            return level.expand(1, 1, *size)
        return self._transfer(_pad(sigma, self.multiple))[None]

    def _transfer(self, array: NDArray[np.generic]) -> Tensor:
        # Writable, which PyTorch wants even of what is only read: read-only windows are copied.
        tensor = torch.from_numpy(np.require(array, requirements=("C", "W")))
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _network_on(
        self, image: Tensor, sigma: Tensor, guides: Tensor | None, keep: Window
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
        sigma_map = sigma.expand(len(batch), -1, -1, -1)
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


def load_second_engine(info: WeightsInfo, device: str, precision: str) -> TorchEngine | None:
    """Build, or return again, the engine for averages of neighbours; None if a file has none."""
    return _cached_second(info.path, info.sha256, device, precision)


@lru_cache(maxsize=2)
def _cached_second(path: Path, _content: str, device: str, precision: str) -> TorchEngine | None:
    info = read_info(path)
    network = load_second_pass(info)
    if network is None:
        return None
    return TorchEngine(network, info.card.channels, device, precision)


def _pad(window: NDArray[np.generic], multiple: int) -> NDArray[np.generic]:
    """Reflect at the bottom and right up to a multiple; works from 1x1 on.

    Windows start on multiples of the stride, so only those at the true border need it.
    """
    height, width = window.shape[1:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return window
    return np.pad(window, ((0, 0), (0, down), (0, right)), mode="reflect")
