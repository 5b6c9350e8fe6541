"""Readers: from files and arrays to observations."""
