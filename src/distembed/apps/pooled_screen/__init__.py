"""Images of perturbed cells: doses from embeddings, and cells at a dose that was not made."""
