"""One training loop: stages, losses, validation, checkpoints and logs."""
