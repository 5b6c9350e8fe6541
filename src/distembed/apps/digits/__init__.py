"""Mixtures of real scanned digits: the demo."""
