"""`python -m napari_denoise.cli` is `napari-denoise`."""

from napari_denoise.cli.start import main

main()
