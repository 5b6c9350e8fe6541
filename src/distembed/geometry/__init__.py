"""Geometry of embeddings: distances, their calibration to W2, and paths, on plain arrays."""
