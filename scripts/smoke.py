"""Check an installed wheel: run by smoke.sh outside the checkout, without napari or Qt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import napari_denoise

HOME = Path(napari_denoise.__file__).parent
LIGHT = """
import sys
import napari_denoise, napari_denoise.plugin.contributions, napari_denoise.plugin.samples
heavy = {"torch", "napari", "qtpy", "PySide6", "PyQt6"} & set(sys.modules)
assert not heavy, heavy
"""


def run(*command: str) -> str:
    """Run a command, show what it says where it fails, and return its output."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    """Look at every part that packaging can lose."""
    from npe2 import PluginManifest

    from napari_denoise import read
    from napari_denoise.plugin.samples import SAMPLES, sample_path
    from napari_denoise.weights.catalogue import list_weights

    assert HOME.is_relative_to(sys.prefix), f"{HOME} is not the installed package"
    manifest = PluginManifest.from_distribution("napari-denoise")
    assert manifest.contributions.sample_data, "the manifest lost its samples"
    run("npe2", "validate", "napari-denoise")
    for sample in SAMPLES.values():
        assert sample_path(sample.noisy).is_relative_to(HOME)
        assert read(sample_path(sample.noisy))[1].axes == sample.axes
    weights = [info.name for info in list_weights()]
    assert weights, "the wheel holds no weights"
    assert "denoise" in run("napari-denoise", "--help")
    run("napari-denoise", "info", str(sample_path(SAMPLES["photo"].noisy)))
    run(sys.executable, "-c", LIGHT)
    run(sys.executable, "-c", "import napari_denoise.training.loop.run, matplotlib.figure")
    print(f"{HOME}: napari-denoise {napari_denoise.__version__} works, weights {weights}")


if __name__ == "__main__":
    main()
