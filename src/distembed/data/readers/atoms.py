"""The one door for atoms in memory: whatever a user holds becomes an array, or is refused.

| Source | Atoms |
|---|---|
| arrays of any real type, order and stride; lists and tuples of numbers | an array |
| memory maps | the map itself |
| masked arrays, objects, columns with NA | an array, if nothing is missing |
| torch tensors on any device, with gradients, of half precision | an array |
| SciPy sparse matrices and arrays of any format, after a check of their indices | CSR |
| data frames and structured arrays of numbers | an array, with the names of its features |
| complex numbers, dates, bytes, text, records, ragged or empty lists | refused, with the fix |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distembed.data.observations import portable_type
from distembed.data.readers.columns import open_table

__all__ = ["Atoms", "as_atoms", "is_array"]

_FIXES = {
    "c": "give their real and imaginary parts as two features: np.stack([x.real, x.imag], -1)",
    "M": "give numbers, such as (x - reference) / np.timedelta64(1, 'D')",
    "m": "give numbers, such as x / np.timedelta64(1, 's')",
    "S": "decode bytes to strings, or convert them to numbers",
    "V": "give one array of numbers, (m, *event)",
}


@dataclass(frozen=True)
class Atoms:
    """Atoms of one source.

    Attributes:
        x: An array `(R, *event)` of real numbers, or of strings `(R,)`; or CSR `(R, D)`.
        features: Names of the features, where the source has them.
    """

    x: Any
    features: tuple[str, ...] | None = None


def is_array(source: Any) -> bool:
    """Return whether a source is one array of any library, and not a list."""
    named = ("__array__", "__array_interface__", "detach", "tocsr", "to_memory")
    return any(hasattr(source, name) for name in named)


def as_atoms(subject: str, source: Any) -> Atoms:
    """Return atoms as an array, without the loss of a value or of the name of a feature.

    Args:
        subject: The source, as the subject of a message ("Set 'a'").
        source: Any of the table above.

    Raises:
        ValueError: If the source is refused; the message says why, and the usual fix.

    Example:
        >>> as_atoms("Set 'a'", np.array([(1, 2.5)], dtype=[("x", int), ("y", float)]))
        Atoms(x=array([[1. , 2.5]]), features=('x', 'y'))
    """
    if hasattr(source, "obsm") and hasattr(source, "var_names"):
        raise ValueError(
            f"{subject} is AnnData; join several with anndata.concat(..., label='set'), and read "
            "with by='set'."
        )
    framed = hasattr(source, "columns") and hasattr(source, "__getitem__")
    if framed or isinstance(source, np.ndarray) and source.dtype.names:
        return _frame(subject, source)
    if hasattr(source, "to_memory"):  # sparse and in a file
        source = source.to_memory()
    if hasattr(source, "tocsr"):
        return Atoms(_csr(subject, source))
    if hasattr(source, "detach"):
        source = _tensor(subject, source)
    if isinstance(source, list | tuple):
        _refuse_named(subject, source)
        if any(np.ma.isMaskedArray(part) for part in source):
            source = np.ma.stack(source)
    if np.ma.isMaskedArray(source):
        _refuse_masked(subject, source)
    return Atoms(_real(subject, _plain(subject, source)))


def _frame(subject: str, source: Any) -> Atoms:
    if hasattr(source, "to_numpy"):  # one block of numbers is much faster than its columns
        x, names = source.to_numpy(), tuple(map(str, source.columns))
        if x.dtype.kind in "biuf" and names and len(set(names)) == len(names):
            return Atoms(_filled(subject, x.astype(portable_type(x.dtype), copy=False)), names)
    table = open_table(source)
    for name, why in table.others.items():
        raise ValueError(
            f"{subject} has the column {name!r}, which is no feature ({why or 'text'}). Drop it; "
            "or, if it names sets, join the tables and read with by=."
        )
    if not table.names:
        raise ValueError(f"{subject} has no column; an atom needs at least one feature.")
    try:
        columns = table.load(table.names, "numbers")
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error
    return Atoms(_filled(subject, np.stack(columns, axis=1)), tuple(table.names))


def _csr(subject: str, source: Any) -> Any:
    """Return a sparse matrix as CSR, after a check of its indices, which SciPy trusts."""
    if source.ndim != 2:
        raise ValueError(f"{subject} has shape {source.shape}; a sparse one needs (m, D).")
    if hasattr(source, "check_format"):
        try:
            source.check_format(full_check=True)
            # SciPy looks no further where the last pointer is not positive
            if (np.diff(np.asarray(source.indptr).astype(np.int64)) < 0).any():
                raise ValueError("indptr must not fall")
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{subject} is a sparse matrix that is damaged: {error}. Write it again from its "
                "source."
            ) from error
    csr = source.tocsr()
    if csr.dtype.kind not in "biuf":
        raise ValueError(_other_type(subject, csr.dtype))
    return _filled(subject, csr.astype(portable_type(csr.dtype), copy=False))


def _tensor(subject: str, source: Any) -> Any:
    """Return a torch tensor as an array that may share its memory."""
    if str(source.layout) != "torch.strided":
        raise ValueError(f"{subject} is a sparse tensor; give x.to_dense(), or a SciPy matrix.")
    tensor = source.detach().cpu().resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":  # which NumPy lacks, and float32 holds exactly
        tensor = tensor.float()
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{subject} is a tensor of type {tensor.dtype}: {error}.") from error


def _refuse_named(subject: str, rows: Sequence[Any]) -> None:
    """Refuse rows whose values have names, which an array would drop."""
    for row in rows[:1]:
        named = (
            isinstance(row, dict)
            or hasattr(row, "columns")
            or hasattr(row, "index")
            and (hasattr(row, "to_numpy"))
        )
        if named:
            raise ValueError(
                f"{subject} is a {type(rows).__name__} of {type(row).__name__}, whose names an "
                "array would drop. Make one data frame of it, such as pandas.DataFrame(rows)."
            )


def _refuse_masked(subject: str, source: Any) -> None:
    mask = np.ma.getmaskarray(source)
    if mask.any():
        rows = np.unique(np.argwhere(mask)[:, 0]) if mask.ndim else [0]
        listed = ", ".join(str(int(r)) for r in rows[:5]) + (", ..." if len(rows) > 5 else "")
        raise ValueError(
            f"{subject} is masked in {len(rows)} rows: {listed}. A masked value is missing, and "
            "is not a sample. Drop these rows, or fill them."
        )


def _plain(subject: str, source: Any) -> np.ndarray:
    """Return what NumPy makes of a source, as a plain array or a memory map."""
    if isinstance(source, np.memmap):
        return source
    try:
        return np.asarray(source)
    except ValueError as error:
        raise ValueError(f"{subject} is ragged; its atoms must have one shape.") from error
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{subject} is a {type(source).__name__}, of which NumPy makes no array: {error}."
        ) from error


def _real(subject: str, x: np.ndarray) -> np.ndarray:
    """Return an array of real numbers, or of strings `(R,)`."""
    if x.dtype.kind == "O":
        x = _objects(subject, x)
    if x.dtype.kind == "U" and x.ndim == 1 and len(x):
        return x
    if x.dtype.kind not in "biuf":
        raise ValueError(_other_type(subject, x.dtype))
    if x.ndim < 2:
        raise ValueError(
            f"{subject} has shape {x.shape}; it needs (m, *event). A set of m numbers is "
            "x[:, None], of shape (m, 1)."
        )
    mapped = isinstance(x, np.memmap)  # batches of a map are converted as they are read
    filled: np.ndarray = _filled(
        subject, x if mapped else x.astype(portable_type(x.dtype), copy=False)
    )
    return filled


def _objects(subject: str, x: np.ndarray) -> np.ndarray:
    """Return objects as numbers or strings; refuse others with their row."""
    values = x.ravel().tolist()
    if x.ndim == 1 and values and isinstance(values[0], str):
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise ValueError(f"{subject} holds {value!r} in row {row}; atoms are all strings.")
        return x.astype(str)
    for i, value in enumerate(values):
        if not isinstance(value, int | float | np.number | np.bool_) or value != value:
            row = int(np.unravel_index(i, x.shape)[0]) if x.ndim else 0
            raise ValueError(
                f"{subject} holds {_short(value)} in row {row}; atoms are numbers of one shape. "
                "Correct or drop that row."
            )
    numbers: np.ndarray = x.astype(np.float64)
    return numbers


def _filled(subject: str, x: Any) -> Any:
    if not x.shape[0]:
        raise ValueError(f"{subject} is empty; a distribution needs at least one atom.")
    if x.ndim > 1 and not all(x.shape[1:]):
        raise ValueError(f"{subject} has shape {x.shape}; an atom needs at least one number.")
    return x


def _other_type(subject: str, dtype: np.dtype[Any]) -> str:
    fix = _FIXES.get(dtype.kind)
    return f"{subject} holds {dtype} values; atoms are numbers{f': {fix}' if fix else ''}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"a {type(value).__name__}"
