"""`python -m napari_denoise.cli` is `napari-denoise`."""

from napari_denoise.cli import app

app(prog_name="napari-denoise")
