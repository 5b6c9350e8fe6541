"""Fixtures for tests of readers."""

import pytest


@pytest.fixture
def largest_part(monkeypatch):
    """Return a function that returns the most rows that were read at once of a matrix in a file.

    It is zero where no rows were read from a file.
    """
    from distembed.data.readers.exchange import ExchangeRows
    from distembed.data.readers.stored_matrix import DenseRows, SparseRows

    counts = [0]

    def watched(between):
        def read(self, low, high):
            counts.append(high - low)
            return between(self, low, high)

        return read

    for kind in (DenseRows, ExchangeRows, SparseRows):
        monkeypatch.setattr(kind, "between", watched(kind.between))
    return lambda: max(counts)
