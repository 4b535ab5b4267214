"""Fine-tuning: pairs and regions in, better weights and honest figures out."""
