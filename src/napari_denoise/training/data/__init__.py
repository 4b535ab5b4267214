"""What is learnt from: clean images made noisy, real pairs, renders."""
