"""Figures of this project, each printed by a command: see docs/benchmarks.md."""
