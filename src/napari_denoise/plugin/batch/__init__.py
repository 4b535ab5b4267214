"""The Batch dock widget: many files planned, denoised in the background, and resumed."""
