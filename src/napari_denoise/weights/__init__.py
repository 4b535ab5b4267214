"""Weights files: their cards, the bundled and the user's own, and what they become."""
