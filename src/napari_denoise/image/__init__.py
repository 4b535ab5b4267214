"""Arrays as images: axes, frames, planes, tiles and metrics. Numpy alone."""
