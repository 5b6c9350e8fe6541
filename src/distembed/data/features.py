"""Which columns of some atoms are the features that a model knows by name."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["match_columns"]


def match_columns(wanted: Sequence[str] | None, given: Sequence[str] | None) -> list[int] | None:
    """Return the place of each wanted feature among those given, or None to take all as they are.

    That is so where either side has no names, and where both have the same in the same order.

    Raises:
        ValueError: If wanted features are missing; the message lists them.

    Example:
        >>> match_columns(["a", "b"], ["b", "c", "a"]), match_columns(["a"], ["a"])
        ([2, 0], None)
    """
    if wanted is None or given is None or tuple(wanted) == tuple(given):
        return None
    place = {name: i for i, name in enumerate(given)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise ValueError(
            f"The sets lack {len(missing)} of the model's {len(wanted)} features: "
            f"{', '.join(map(str, missing[:5]))}{', ...' if len(missing) > 5 else ''}. Features "
            "are matched by name; there are: "
            f"{', '.join(map(str, given[:5]))}{', ...' if len(given) > 5 else ''}."
        )
    return [place[name] for name in wanted]
