"""Perturbed cells: the expression distribution of a perturbation that was held out."""
