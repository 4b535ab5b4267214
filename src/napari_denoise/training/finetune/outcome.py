"""What came out of a fine-tuning, in figures, and where it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from napari_denoise.io.atomic import check_targets
from napari_denoise.io.errors import NotWritten
from napari_denoise.training.finetune.gain import Gain
from napari_denoise.training.finetune.held_out import Figures
from napari_denoise.weights.catalogue import (
    BUNDLED,
    SUFFIX,
    WeightsError,
    check_free,
    check_portable,
    user_folder,
    user_path,
)

_HAIR = 0.001
"""A change of SSIM that is not worth a word."""


@dataclass(frozen=True)
class FineTuneResult:
    """What came out, measured on the validation set.

    Parameters
    ----------
    rows
        Figures of "noisy", "base", "fine-tuned" and, where there is one, "realistic".
    best_step
        The step whose weights were kept; None without a validation set.
    peak
        What PSNR and SSIM relate to.
    against
        What the images are compared with.
    extent
        How much of the validation set was measured; empty for all of it.
    share
        How far the weights go from the base to those of that step, 0 to 1.
    gain
        Of a noisy stack: what they gain against the base, estimated without a clean image.
    """

    rows: Mapping[str, Figures]
    best_step: int | None
    peak: str
    against: str = "the clean image"
    extent: str = ""
    share: float = 1.0
    gain: Gain | None = None

    @property
    def kept(self) -> str:
        """Which weights these are; empty without a validation set to choose them by."""
        if not self.best_step:
            return ""
        share = f"{100 * self.share:.0f} % of the change from the base"
        way = f", blended with the base ({share})" if self.share < 1 else ""
        return f"those of step {self.best_step}{way}"

    @property
    def measured(self) -> str:
        """What was measured against what, in a line."""
        extent = f" ({self.extent})" if self.extent else ""
        return f"Measured on the validation set{extent}, against {self.against}; {self.peak}"

    @property
    def improved(self) -> bool | None:
        """Whether the weights are better than the base; None without a validation set."""
        if not self.rows:
            return None
        if self.gain is not None:
            return self.gain.certain
        return self.rows["fine-tuned"].psnr > self.rows["base"].psnr

    @property
    def offered(self) -> bool:
        """Whether the weights are to be kept: without a clean image only those that surely gain."""
        return self.gain is None or self.gain.certain

    @property
    def mixed(self) -> bool:
        """Whether SSIM contradicts PSNR, by more than a hair."""
        if not self.rows:
            return False
        ssim = self._gain("ssim")  # no number without a clean image
        return ssim < -_HAIR if self.improved else ssim > _HAIR

    @property
    def verdict(self) -> str:
        """The same in words."""
        if self.improved is None:
            return "there is no validation set: whether the weights are better is not known"
        if self.gain is not None:
            if self.improved:
                return f"{self.gain} against the base on the validation set, without a clean image"
            return (
                f"not surely better than the base, {self.gain}: use the base, or train for longer"
            )
        gain, ssim = f"{self._gain('psnr'):+.2f} dB", self._ssim
        if self.improved:
            but = f", but SSIM fell by {ssim}: compare them by eye" if self.mixed else ""
            return f"{gain} against the base on the validation set{but}"
        though = f", though SSIM rose by {ssim}: compare them by eye" if self.mixed else ""
        return (
            f"NO better than the base ({gain}) on the validation set{though or ': use the base'}, "
            "or give more pairs or more time"
        )

    @property
    def _ssim(self) -> str:
        before, now = (self.rows[name].ssim for name in ("base", "fine-tuned"))
        return f"{abs(now - before):.4f} (from {before:.4f} to {now:.4f})"

    def _gain(self, kind: str) -> float:
        """Change from the base, in dB or units of SSIM."""
        return float(getattr(self.rows["fine-tuned"], kind) - getattr(self.rows["base"], kind))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        said = {name: getattr(self, name) for name in ("improved", "mixed", "offered", "verdict")}
        rows = {
            name: {kind: value if isfinite(value) else None for kind, value in asdict(row).items()}
            for name, row in self.rows.items()
        }
        return {**asdict(self), "rows": rows, **said}


def target_path(target: str | Path) -> Path:
    """Turn a name into a path in the user's catalogue; check one that is a file.

    Raises
    ------
    WeightsError
        A bundled name or folder, a wrong ending, or a name that cannot be a file's.
    """
    path = Path(target).expanduser()
    if path.suffix == SUFFIX or path.parent != Path():
        if path.suffix != SUFFIX:
            raise WeightsError(
                f"{path}: a weights file must end in {SUFFIX}, and a name holds no folders"
            )
        check_portable(path.stem)
        if path.resolve().parent == BUNDLED.resolve():
            raise WeightsError(f"{path}: bundled weights are never replaced; choose another place")
        return path
    return user_path(str(target))


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for weights before anything is computed; its folder is made.

    Raises
    ------
    FileExists
        Something is there and is not to be replaced.
    FileError
        It is a folder, or nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise NotWritten(
            path, f"nothing can be written there ({error})", "choose another folder"
        ) from error
    check_targets([path], overwrite=True)
    if not overwrite:
        check_free(path)


def run_folder(target: Path) -> Path:
    """Where checkpoint and log of the weights of a path are kept."""
    if target.parent == user_folder():
        return target.parent.parent / "finetuning" / target.stem
    return target.with_suffix(".finetuning")
