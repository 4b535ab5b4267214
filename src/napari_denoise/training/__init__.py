"""Train generators: a recipe and clean images in, weights and reports out."""
