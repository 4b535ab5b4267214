"""Nothing that a hand without a plan presses breaks a widget."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_random_actions_on_all_widgets_raise_nothing_and_lose_no_pixel():
    command = [sys.executable, Path(__file__).parent / "_monkey.py", "18", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* results, (?:[2-9]|\d\d+) turned", done.stdout), done.stdout
