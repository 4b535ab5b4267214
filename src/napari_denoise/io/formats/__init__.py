"""One file a format: bytes to arrays and back."""
