"""Embed whole distributions."""
