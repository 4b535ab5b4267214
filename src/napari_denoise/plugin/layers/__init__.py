"""napari layers as stacks of frames: read, replaced, stored and undone."""
