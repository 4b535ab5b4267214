"""Make the repository's root importable: `benchmarks` is no part of the installed package."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
