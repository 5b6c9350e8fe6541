"""Densities of embeddings over a population of sets."""
