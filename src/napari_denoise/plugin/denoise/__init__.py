"""The Denoise widget."""
