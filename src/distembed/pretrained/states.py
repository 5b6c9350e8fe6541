"""Loading of a state into a module: every key and shape is compared, and casts are said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

__all__ = ["cast", "load_state"]

_STORED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def cast(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Cast weights to float32.

    Returns:
        The tensors, and a sentence on what was cast; empty where nothing was.

    Raises:
        ValueError: If a tensor has no floating point type, as quantised weights.

    Example:
        >>> cast({"a": torch.zeros(2, dtype=torch.float16)})[1]
        'All 1 tensors are stored as float16 and were cast to float32.'
    """
    foreign = [f"{k} ({v.dtype})" for k, v in tensors.items() if v.dtype not in _STORED]
    if foreign:
        raise ValueError(
            f"Weights have a type that is not read: {', '.join(foreign[:4])}; expected float32, "
            "float16 or bfloat16. Use a file that is not quantised."
        )
    counts = Counter(v.dtype for v in tensors.values() if v.dtype != torch.float32)
    parts = [
        f"{'All' if n == len(tensors) else ''} {n} tensors are stored as "
        f"{str(dtype).removeprefix('torch.')} and were cast to float32".strip()
        for dtype, n in counts.items()
    ]
    sentence = f"{'; '.join(parts)}." if parts else ""
    return {k: v.float() for k, v in tensors.items()}, sentence


def load_state(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    name: str,
    original: Mapping[str, str] | None = None,
) -> None:
    """Make weights those of a module that has exactly these.

    Args:
        module: The module; on the device `meta` it holds no memory before.
        tensors: Weights under the names of the module.
        name: What they are, for messages.
        original: Names in the file of those that have others in the module.

    Raises:
        ValueError: If weights are missing, unexpected or of another shape; the message counts
            them, and names the first of each kind.
    """
    state = module.state_dict()
    names = original or {}
    errors = _listed("missing", [k for k in state if k not in tensors])
    errors += _listed("unexpected", [names.get(k, k) for k in tensors if k not in state])
    errors += _listed(
        "of another shape",
        [
            f"{names.get(k, k)} {tuple(tensors[k].shape)}, expected {tuple(state[k].shape)}"
            for k in state
            if k in tensors and tensors[k].shape != state[k].shape
        ],
    )
    if errors:
        raise ValueError(
            f"The weights are not those of {name} as its config.json describes it: "
            f"{'; '.join(errors)}. They are of another model, renamed, or not complete; use "
            "config.json and weights of one publication."
        )
    module.load_state_dict(dict(tensors), assign=True)


def _listed(what: str, entries: Sequence[str], most: int = 3) -> list[str]:
    if not entries:
        return []
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return [f"{len(entries)} {what}: {', '.join(entries[:most])}{more}"]
