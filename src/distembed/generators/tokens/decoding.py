r"""Sequences drawn one token after another, from any model of the next token.

A model of the next token has V + 1 classes: 0 ends the sequence, 1 to V are its symbols. A draw
takes the class at which the cumulative probabilities pass a uniform number, one for each sequence
and position. `Sampling` changes the probabilities before the draw: then samples do not follow the
density of the model, which is that of temperature 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Sampling", "draw_sequences", "draw_tokens"]


@dataclass(frozen=True)
class Sampling:
    """Change the probabilities of the next token.

    Attributes:
        temperature: Divides the logits; below one, draws are nearer to the most probable token.
        top_k: Number of the most probable tokens that may be drawn; None for all.
        top_p: Share of the probability that may be drawn: the most probable tokens whose sum
            reaches it.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
        >>> Sampling(top_k=2).probabilities(logits).round(decimals=4).tolist()
        [[0.625, 0.375, 0.0]]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(
                f"temperature = {self.temperature}; it divides the logits and is above 0. For the "
                "most probable tokens alone say top_k=1."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k = {self.top_k}; at least one token may be drawn.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p = {self.top_p}; it is a share of the probability, in (0, 1].")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return probabilities `(..., V + 1)` of the next token, in float64."""
        p = (logits.double() / self.temperature).softmax(-1)
        if self.top_k is not None and self.top_k < p.shape[-1]:
            # the order decides between equal ones: exactly k remain
            largest, order = torch.sort(p, dim=-1, descending=True, stable=True)
            k = slice(self.top_k)
            p = torch.zeros_like(p).scatter(-1, order[..., k], largest[..., k])
        if self.top_p < 1:
            p = p / p.sum(-1, keepdim=True)
            largest, order = torch.sort(p, dim=-1, descending=True, stable=True)
            before = largest.cumsum(-1) - largest
            p = torch.zeros_like(p).scatter(-1, order, largest * (before < self.top_p))
        return p / p.sum(-1, keepdim=True)


def draw_tokens(p: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a class of each row of probabilities, `(..., K) -> (...)`."""
    cumulative = p.double().cumsum(-1)
    u = torch.rand(p.shape[:-1], generator=rng, device=p.device, dtype=torch.float64)
    total = cumulative[..., -1:]
    # where rounding lifts u * total to the total, the last class of positive probability is drawn
    return ((cumulative <= u.unsqueeze(-1) * total) & (cumulative < total)).sum(-1)


def draw_sequences(
    logits: Tensor,
    advance: Callable[[Tensor, int], Tensor],
    longest: int,
    sampling: Sampling,
    rng: torch.Generator,
) -> Tensor:
    """Draw a sequence for every row, `(R, longest)` int64 with pads 0 after its end.

    Args:
        logits: Of the first token, `(R, V + 1)`.
        advance: Takes the drawn tokens `(R,)`, which are 0 where a sequence has ended, and their
            number, and returns the logits of the next.
        longest: Number of tokens at which a sequence ends in any case.
        sampling: How a token is drawn.
        rng: Source of draws.
    """
    out = torch.zeros(len(logits), longest, dtype=torch.int64, device=logits.device)
    alive = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    for t in range(longest):
        token = draw_tokens(sampling.probabilities(logits), rng) * alive
        out[:, t] = token
        alive = token > 0
        if t + 1 == longest or not bool(alive.any()):
            break
        logits = advance(token, t)
    return out
