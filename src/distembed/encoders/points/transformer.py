r"""Features of a token sequence of any length by a transformer (Vaswani et al., 2017).

    u_0 = E[token] + p(t)
    u   = u + Attention(LN u),   u = u + MLP(LN u)                each layer (Xiong et al., 2020)
    h   = W [mean_t u(t), deviation_t u(t)]

p(t) is a fixed function of the position, so no length is too long. No query sees a pad, and the
pooling leaves out what stands at pads: they change nothing.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from distembed.encoders.points.tokens import mean_and_deviation, positions
from distembed.nn.mlp import MLP
from distembed.nn.tokens import check_tokens, read_tokens

__all__ = ["TokenTransformer"]


class TokenTransformer(nn.Module):
    """A transformer on each token sequence.

    Args:
        event_shape: `(T,)`; later sequences may have another length.
        width: Number H of features.
        vocab: The largest token; 0 is the pad.
        channels: Channels of the network.
        depth: Number of layers.
        heads: Heads of attention; they divide the channels.

    Raises:
        ValueError: If an atom is no sequence, or the heads do not divide the channels.

    Example:
        >>> import torch
        >>> encoder = TokenTransformer((5,), width=4, vocab=9)
        >>> short, long = torch.tensor([[7, 3]]), torch.tensor([[7, 3, 0, 0, 0, 0]])
        >>> torch.allclose(encoder(short), encoder(long))
        True
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        width: int,
        vocab: int,
        channels: int = 64,
        depth: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, vocab)
        if heads < 1 or channels % heads:
            raise ValueError(
                f"channels = {channels} are shared out among heads = {heads} of attention; take "
                "a multiple of the heads."
            )
        self.width, self.vocab = width, vocab
        self.tokens = nn.Embedding(vocab + 1, channels)
        self.layers = nn.ModuleList([_Layer(channels, heads) for _ in range(depth)])
        self.outputs = nn.Linear(2 * channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of each sequence, `(N, T) -> (N, H)`.

        Raises:
            ValueError: If x does not hold tokens.
        """
        ids, mask = read_tokens(x, self.vocab)
        u = self.tokens(ids)
        u = u + positions(u)
        for layer in self.layers:
            u = layer(u, mask)
        h: Tensor = self.outputs(mean_and_deviation(u.to(self.tokens.weight.dtype), mask))
        return h


class _Layer(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projections = nn.Linear(channels, 3 * channels)
        self.mixed = nn.Linear(channels, channels)
        self.network = MLP(channels, channels, 2 * channels)

    def forward(self, u: Tensor, mask: Tensor) -> Tensor:
        projected = self.projections(_normalised(u)).unflatten(-1, (3, self.heads, -1))
        q, k, v = projected.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        u = u + self.mixed(attended.transpose(1, 2).flatten(2))
        out: Tensor = u + self.network(_normalised(u))
        return out


def _normalised(u: Tensor) -> Tensor:
    return functional.layer_norm(u, u.shape[-1:])
