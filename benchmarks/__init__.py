"""Figures of this project, each printed by a command: see docs/benchmarks.md."""

import os

# GNU OpenMP's threads spin while they wait for each other; on a machine that others use too,
# two threads then burn several times the CPU time of one. It is read when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
