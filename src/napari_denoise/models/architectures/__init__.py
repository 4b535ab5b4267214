"""The networks that a weights file may name."""
