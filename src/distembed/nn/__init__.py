"""Layers without science."""
