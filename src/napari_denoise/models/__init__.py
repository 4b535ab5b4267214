"""Networks, the weights they load, and the device they run on."""

import os

# Read when PyTorch loads its OpenMP. Threads that wait by spinning take several times the
# processor time as soon as anything else runs on the machine, a viewer for example.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
