"""Barcoded clones of blood progenitors: what early cells tell of late ones."""
