"""The bundled recipes for fine-tuning."""
