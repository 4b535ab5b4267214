"""Sets of files that are one image or several: what describes them, and which file opens them."""
