"""napari dock widgets, one file each."""
