"""Pieces that every dock widget is made of; they know nothing of denoising."""
