"""What runs a network: mapped values and a map of the noise in, an estimate with its error out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from napari_denoise.image.tiles import Window
from napari_denoise.image.values import Float32Array
from napari_denoise.measure.mappings import Mapped


class Estimate(NamedTuple):
    """A denoised window in mapped units, (C, Y, X) float32: `Channel.from_network` undoes it.

    Parameters
    ----------
    mean
        The denoised values.
    variance
        Of their error, in mapped units squared; None if the network states none.
    """

    mean: Float32Array
    variance: Float32Array | None


class Engine(Protocol):
    """A network that is ready to run; `StackJob` asks for no more than this."""

    @property
    def channels(self) -> int:
        """Image channels that the network takes."""

    @property
    def features(self) -> int:
        """Planes beside the image that it takes, such as albedo and normal; 0 for none."""

    @property
    def halo(self) -> int:
        """Pixels to read around a window: the receptive field radius, rounded up."""

    @property
    def multiple(self) -> int:
        """Windows start on multiples of this many pixels."""

    @property
    def bytes_per_pixel(self) -> int:
        """Peak memory per pixel read."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda:1"."""

    @property
    def precision(self) -> str:
        """What it computes in: "float32", "bfloat16", "float16"."""

    def in_float32(self) -> Engine:
        """Return the same network in float32, for what another precision cannot hold."""

    def run(
        self,
        image: Mapped,
        sigma: Float32Array,
        features: Float32Array | None = None,
        keep: Window | None = None,
    ) -> Estimate:
        """Denoise one window.

        Parameters
        ----------
        image
            (C, Y, X) mapped values.
        sigma
            (1, Y, X) standard deviation of the noise in mapped units; one level is a constant
            map, ``np.broadcast_to(level, shape)``.
        features
            (F, Y, X) beside the window, for networks that take them.
        keep
            Rows and columns of the window that are wanted; all if None.
        """
