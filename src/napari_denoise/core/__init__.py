"""Numpy-only foundations: settings, axes, intensity, noise, tiles, metrics."""
