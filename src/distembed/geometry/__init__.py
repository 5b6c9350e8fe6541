"""Geometry of embeddings: judges arrays of embeddings, whoever made them."""
