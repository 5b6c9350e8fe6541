"""How sure an embedding is: covariances, intervals, tests, and a model of the population."""

__all__: list[str] = []
