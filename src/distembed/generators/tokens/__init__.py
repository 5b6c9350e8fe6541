"""Generators of sequences: autoregressive, masked diffusion, and profiles by position."""
