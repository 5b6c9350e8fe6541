"""Training: one loop for anything that has a loss, its settings, its checkpoints and its log."""
