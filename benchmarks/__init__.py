"""Figures of this project, each printed by a command: see docs/benchmarks.md."""

import os
import sys

# GNU OpenMP's threads spin while they wait for each other; on a machine that others use too,
# two threads then burn several times the CPU time of one. It is read when PyTorch is loaded.
# Minutes of fine-tuning are counted by the clock, and with threads as users have them.
if "benchmarks.finetune" not in sys.orig_argv:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
