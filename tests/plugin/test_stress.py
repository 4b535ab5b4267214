"""Neither widget freezes napari, whatever collects while its workers work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_closing_and_reopening_docks_while_workers_fill_cycles_hangs_nothing():
    command = [sys.executable, Path(__file__).parent / "_stress.py", "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 on others" in done.stdout
