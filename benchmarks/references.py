"""Figures of other methods, to stand beside ours.

Unless a row says "published", they were measured with the authors' public weights or
programs on the same files and by the same protocol as ours.
"""

from __future__ import annotations

SIGMAS = (15, 25, 50)

Row = tuple[str, float | None, float | None, float | None]

KODAK24: tuple[Row, ...] = (
    ("FFDNet, sigma given", 34.62, 32.11, 28.96),
    ("CBM3D, published", 34.28, 31.68, 28.46),
    ("DRUNet, published, about", 35.3, 32.9, 29.9),
)
SET12: tuple[Row, ...] = (
    ("BM3D", None, 30.01, 26.78),
    ("DnCNN-S", 32.82, 30.41, 27.19),
    ("FFDNet, sigma given", 32.78, 30.50, 27.40),
    ("DRUNet, published, about", 33.25, 30.94, 27.90),
)
BARS = {"kodak": 31.68, "set12": 30.01}
"""BM3D at sigma 25: what the bundled weights have to pass."""

FMD: dict[str, tuple[float, float]] = {
    "Confocal_BPAE_B": (37.91, 38.19),
    "Confocal_FISH": (25.45, 32.92),
    "TwoPhoton_BPAE_G": (33.25, 33.30),
    "TwoPhoton_MICE": (32.59, 33.96),
    "WideField_BPAE_B": (26.58, 38.04),
}
"""Generalised Anscombe + FFDNet with the usual noise estimate; a U-Net trained on FMD."""

FMD_UNREST = {
    "Confocal_BPAE_B": 1.09,
    "Confocal_FISH": 2.38,
    "TwoPhoton_BPAE_G": 3.48,
    "TwoPhoton_MICE": 2.35,
    "WideField_BPAE_B": 7.75,
}
"""Temporal standard deviation of four frames after Anscombe + BM3D (the package bm3d 4.0.3, told
this project's noise estimate; inverse after Makitalo and Foi 2013), mean over the pixels."""

W2S_IMAGES = ("001_0", "010_1", "019_2", "029_0", "038_1")
W2S: dict[str, float] = {
    "Anscombe + FFDNet": 34.70,
    "BM3D": 34.75,
    "U-Net trained on FMD": 34.34,
}
"""Means over the five images."""

SPP = (4, 8, 16, 32)
RENDERS: dict[str, tuple[float, float, float, float]] = {
    "OIDN 2.5, HDR colour only": (31.44, 32.60, 33.64, 34.46),
    "OIDN 2.5, and noisy albedo and normal": (32.47, 33.60, 34.49, 35.12),
    "OIDN 2.5, and prefiltered albedo and normal": (32.84, 33.79, 34.63, 35.32),
    "OIDN 2.5 on tone-mapped input": (27.46, 30.20, 32.32, 33.83),
}

OIDN_WALL = 0.80
"""OIDN 2.5, HDR colour, two threads of the same kind of CPU: wall seconds per megapixel."""

FINETUNE_FMD = 37.0
"""Bar for fine-tuning on two half frames of FMD wide-field."""
ADAPT_FMD = 37.7
"""Bar for adapting to noisy left halves of FMD wide-field, mean of the right halves."""
FINETUNE_FFDNET = 35.40
"""Anscombe + FFDNet on the first wide-field frame of FMD, told what a correlated estimate gives."""
FINETUNE_BM3D = 36.79
"""Anscombe + BM3D (the package bm3d 4.0.3, told this project's noise estimate; inverse after
Makitalo and Foi 2013), mean of W2S fields 033 to 040, channel 0, rounded to bytes."""
FINETUNE_OIDN = {"textured": (26.54, 28.36, 30.33), "dof": (31.46, 32.78, 33.65)}
FINETUNE_GUIDED = {"textured": (29.35, 31.15, 32.61), "dof": (31.74, 32.90, 33.74)}
"""OIDN 2.5 on view 1 of each scene at 4, 8 and 16 spp: colour only; with noisy albedo, normal."""

STACKS_FMD: dict[str, tuple[float | None, str]] = {
    "Confocal_BPAE_B": (40.5, ""),
    "Confocal_FISH": (34.4, ""),
    "TwoPhoton_BPAE_G": (35.0, ""),
    "TwoPhoton_MICE": (36.7, ""),
    "WideField_BPAE_B": (38.0, ""),
}
"""What neighbours have to reach, dB, and other methods: mean of the frames of FMD."""
STACKS_MOVING: dict[str, tuple[float | None, str]] = {
    "TwoPhoton_MICE": (36.2, "BM4D 34.31"),
    "Confocal_BPAE_B": (38.7, ""),
    "TwoPhoton_BPAE_G": (35.4, ""),
    "WideField_BPAE_B": (None, ""),
}
"""Of moving crops; None: not below frame by frame."""
STACKS_FILMS = {"static": 2.7, "drift": 1.5, "fast": 1.5, "deform": 1.8}
"""What neighbours have to gain on simulated films, dB."""
STACKS_EVENTS = {2.4: -0.10, 5.0: 0.03}
"""Spots of so many sigmas: what their height with neighbours may differ from that without."""
STACKS_TRACTOR = {
    "CBM3D, frame by frame": 33.64,
    "V-BM3D": 35.16,
    "DVDnet": 35.68,
}
STACKS_TRACTOR_BAR = 35.2
STACKS_SEQUENCES = {
    "plain_camera": {"colour": "35.89; 3.50", "with albedo and normal": "36.12; 3.38"},
    "stripes_objects": {"colour": "30.98; 5.33", "with albedo and normal": "32.07; 4.75"},
}
"""OIDN 2.5 frame by frame at 8 spp: PSNR as shown, dB; flicker, levels of 255."""
