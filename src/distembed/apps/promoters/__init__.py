"""Yeast promoters by expression: generated promoters for an expression level."""
