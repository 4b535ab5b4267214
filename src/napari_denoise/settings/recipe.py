"""A training recipe as frozen values: what is learnt, from which noise, in which stages."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from napari_denoise.settings.base import STRICT, Settings
from napari_denoise.settings.noise import MOST_SKEWED
from napari_denoise.settings.option import Option

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Range = tuple[float, float]
SSIM_WINDOW = 11
"""Side of the windows that SSIM looks at, pixels."""
PixelLoss = Literal["l1", "even_l1", "l2", "relative"]
"""Absolute, absolute over a power of the true noise, squared over the noise level, squared over
the squared output (for radiance)."""


@dataclass(frozen=True, config=STRICT)
class DataSource:
    """A set of training images and the terms it came under."""

    name: str
    licence: str


@dataclass(frozen=True, config=STRICT)
class NoiseRecipe(Settings):
    """What makes clean patches noisy. Shares not given to another kind are white Gaussian."""

    sigma: Range = (0.0, 0.22)
    """Noise sd in units of the [0, 1] image range."""
    sigma_power: Annotated[float, Field(gt=0)] = 1.0
    """Above 1, low noise is drawn more often: low + (high - low) * uniform ** power."""
    levels: tuple[Weight, ...] = ()
    """If there are any, the sd of white noise is one of these."""
    poisson: Share = 0.0
    """Share of patches that count photons, seen after the Anscombe transform."""
    photons: Range = (0.3, 300.0)
    """Photons at the brightest pixel of the image it is cut from, evenly in the logarithm."""
    dimmest: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Least part of that brightness that the patch itself reaches, evenly in the logarithm."""
    read_noise: Range = (0.0, 2.0)
    """Read noise of such a patch, in photons."""
    skewness: Range = (1.0, 1.0)
    """Of such a patch, as in `NoiseModel`: 1 for photons alone, 1.5 for multiplied electrons."""
    correlated: Share = 0.0
    """Share of patches whose Gaussian noise is blurred."""
    correlation: Range = (0.3, 1.1)
    """Standard deviation of that blur in pixels, drawn apart for y and x."""
    camera: Share = 0.0
    """Share of colour patches that a camera has made: mosaic, colours, smoothing, JPEG."""
    full_well: Range = (80.0, 10000.0)
    """Photons at white behind such a patch, evenly in the logarithm."""
    jpeg_quality: tuple[int, int] = (70, 100)
    """Of its file, 1 to 100."""

    @model_validator(mode="after")
    def _shares_and_ranges_fit(self) -> Self:
        taken = self.poisson + self.correlated + self.camera
        if taken > 1:
            raise ValueError(
                f"poisson + correlated + camera = {taken:g}: shares of the patches, expected at "
                "most 1 together"
            )
        for name in (
            "sigma",
            "photons",
            "read_noise",
            "correlation",
            "full_well",
            "jpeg_quality",
        ):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} {low, high}: expected 0 <= low <= high")
        if not 1 <= self.skewness[0] <= self.skewness[1] <= MOST_SKEWED:
            raise ValueError(
                f"skewness {self.skewness}: expected 1 <= low <= high <= {MOST_SKEWED}"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class DistortionStage(Settings):
    """Come near the clean image, pixel by pixel."""

    steps: Annotated[int, Field(gt=0)]
    loss: PixelLoss = "l1"
    final_loss: PixelLoss | None = None
    """Takes over while the learning rate falls: l2 aims at the mean, where l1 has the median."""
    spread: Weight = 0.0
    """Weight of the variance that the network states of its own error, if it does."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup: Count = 200
    decay: Count = 0
    """Steps at the end over which the learning rate falls to zero."""
    settle: Count = 0
    """Steps after that, of `steps`, in which the image stays and only its variance learns."""
    settle_rate: Annotated[float, Field(gt=0)] = 4e-3
    """Learning rate at the start of these."""

    @model_validator(mode="after")
    def _settling_is_a_part(self) -> Self:
        if self.settle and not (self.spread and self.settle < self.steps):
            raise ValueError(
                f"settle = {self.settle} of steps = {self.steps}, spread = {self.spread:g}: needs "
                "fewer than all steps, and spread > 0, which says that a variance is stated"
            )
        return self

    @model_validator(mode="after")
    def _final_loss_has_its_time(self) -> Self:
        if self.final_loss and not self.decay:
            raise ValueError(
                f"final_loss = {self.final_loss!r} with decay = 0: it takes over while the "
                "learning rate falls, which it never would; set decay"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class TermWeights(Settings):
    """How much each term of the adversarial stage counts; every term is a mean."""

    pixel: Annotated[Weight, Option("Pixel", "Distance of pixels.")] = 1.0
    feature: Annotated[
        Weight,
        Option(
            "Feature",
            "Distance of VGG16 conv2_2 before its activation, over the scale of the clean ones.",
        ),
    ] = 0.1
    adversarial: Annotated[
        Weight, Option("Adversarial", "How clean the discriminator takes the output to be.")
    ] = 0.01
    smoothness: Annotated[
        Weight, Option("Smoothness", "Squared differences of neighbouring pixels of the output.")
    ] = 0.0
    mean_intensity: Annotated[
        Weight,
        Option(
            "Mean intensity",
            "Squared error of the mean of a patch and channel, over 1/255 squared.",
        ),
    ] = 0.1
    psnr: Annotated[Weight, Option("PSNR", "Negative PSNR, over 20 dB.")] = 0.0
    ssim: Annotated[Weight, Option("SSIM", "1 - SSIM.")] = 0.0

    @model_validator(mode="after")
    def _something_is_wanted(self) -> Self:
        if not any(vars(self).values()):
            raise ValueError("every weight is 0: at least one must be more")
        return self


@dataclass(frozen=True, config=STRICT)
class AdversarialStage(Settings):
    """Look like a clean image to a discriminator, from where the distortion stage ended."""

    steps: Annotated[int, Field(gt=0)]
    objective: Literal["non-saturating", "relativistic", "paired", "wasserstein"] = "relativistic"
    discriminator: str = "patch"
    weights: TermWeights = Field(default_factory=TermWeights)
    loss: PixelLoss = "l1"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    discriminator_rate: Annotated[float, Field(gt=0)] = 1e-4
    betas: tuple[Decay, Decay] = (0.5, 0.99)
    warmup: Count = 100
    decay: Count = 0
    critic_steps: Annotated[int, Field(gt=0)] = 1
    """Updates of the discriminator per update of the generator, on the same patches."""
    penalty: Weight = 10.0
    """Weight of the gradient penalty (wasserstein) or of R1 (the others)."""
    penalty_every: Annotated[int, Field(gt=0)] = 16
    """R1 is computed every so many steps and counted so many times."""
    settle: Count = 0
    """Steps at the end, of `steps`, in which the image stays and only its variance learns."""
    settle_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Learning rate at the start of these."""

    @model_validator(mode="after")
    def _settling_is_a_part(self) -> Self:
        if self.settle >= self.steps:
            raise ValueError(
                f"settle = {self.settle} of steps = {self.steps}: it is a part of them; lower it"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class TrainSettings(Settings):
    """A training recipe."""

    _nested: ClassVar[bool] = True

    name: str
    domain: Literal["photo", "microscopy", "render"]
    architecture: str
    config: dict[str, Any]
    distortion: DistortionStage
    adversarial: AdversarialStage | None = None
    noise: NoiseRecipe = Field(default_factory=NoiseRecipe)
    batch: Annotated[int, Field(gt=0)] = 8
    patch: Annotated[int, Field(gt=0, multiple_of=4)] = 64
    intensity_augmentation: Share = 0.0
    """Share of patches whose gamma, contrast and level are changed."""
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0,)
    """Sizes at which every picture is seen; smaller ones are sharper, and free of JPEG's blocks."""
    exposure_augmentation: Annotated[float, Field(ge=0)] = 0.0
    """Patches of HDR are lit by up to so many stops more or less than their frame, and each colour
    by half as many by itself."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    ema: Decay = 0.999
    """Share of the old average kept at each step."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """bfloat16 on a GPU and on a CPU that is faster in it, else float32."""
    compile: bool = False
    """Let PyTorch compile the generator at the start; on a CPU that needs a C++ compiler."""
    seed: int = 0
    save_every: Annotated[int, Field(gt=0)] = 250
    held_out: Count = 0
    """Pictures that are kept from training, to validate on."""
    validate_every: Annotated[int, Field(gt=0)] = 1000
    title: str = ""
    """For the card of the weights, as are the next two; a name for people."""
    description: str = ""
    training_data: tuple[DataSource, ...] = ()

    @property
    def channels(self) -> int:
        """Image channels of the network."""
        return int(self.config.get("channels", 1))

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return self.distortion.steps + (self.adversarial.steps if self.adversarial else 0)

    @model_validator(mode="after")
    def _network_and_stages_fit(self) -> Self:
        if "channels" not in self.config:
            raise ValueError("config.channels is missing: say how many image channels, 1 or 3")
        if self.config.get("spread") and not self.distortion.spread:
            raise ValueError(
                "config.spread = true with distortion.spread = 0: the network would state an "
                "error that it never learnt; set both or neither"
            )
        if self.adversarial and self.adversarial.settle and not self.distortion.spread:
            raise ValueError(
                f"adversarial.settle = {self.adversarial.settle} with distortion.spread = 0: there "
                "is no variance that could settle; set settle to 0"
            )
        if self.adversarial and self.adversarial.weights.ssim and self.patch < SSIM_WINDOW:
            raise ValueError(
                f"patch = {self.patch} with adversarial.weights.ssim: SSIM needs at least "
                f"{SSIM_WINDOW} pixels; raise patch"
            )
        return self

    @model_validator(mode="after")
    def _camera_needs_colour(self) -> Self:
        if self.noise.camera and self.channels != 3:
            raise ValueError(
                f"noise.camera = {self.noise.camera:g} with {self.channels} channels: a mosaic "
                "needs 3; set it to 0"
            )
        return self
