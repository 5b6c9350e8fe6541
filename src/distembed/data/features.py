"""Match feature columns by name."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["match_columns"]


def match_columns(
    required: Sequence[str] | None, available: Sequence[str] | None
) -> list[int] | None:
    """Return the position of each required feature among those of the atoms.

    Args:
        required: Names in the order of the model; None where its atoms have no names.
        available: Names in the order of the atoms; None where they have none.

    Returns:
        Positions; or None where columns are to be taken as they are, because either side has no
        names, or both have the same names in the same order.

    Raises:
        ValueError: If required features are missing; the message lists them.

    Example:
        >>> match_columns(["a", "b"], ["b", "c", "a"]), match_columns(["a"], ["a"])
        ([2, 0], None)
    """
    if required is None or available is None or tuple(required) == tuple(available):
        return None
    position = {name: i for i, name in enumerate(available)}
    missing = [name for name in required if name not in position]
    if missing:
        raise ValueError(
            f"The sets lack {len(missing)} of the model's {len(required)} features: "
            f"{', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}. Features "
            "are matched by name; there are: "
            f"{', '.join(map(str, available[:5]))}{', ...' if len(available) > 5 else ''}."
        )
    return [position[name] for name in required]
