"""Two-sample tests between sets and between groups of sets."""
