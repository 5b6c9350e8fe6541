r"""Features of a token sequence of any length by dilated convolutions.

    u_0 = E[token] + p(t)
    u_k = u_{k-1} + conv_k (m * SiLU LN u_{k-1}),     m = 1 where there is a token, else 0
    h   = W [mean_t u(t), deviation_t u(t)]

The dilation doubles from layer to layer, so that K layers of five taps see $1 + 4 (2^K - 1)$
neighbours (Yu and Koltun, 2016); p(t) tells them where in the sequence they are, which neither a
convolution nor a mean knows. Before each convolution the mask puts a zero at every pad, which is
what a convolution reads beyond the end of a sequence anyway: pads change nothing.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from distembed.encoders.points.tokens import mean_and_deviation, positions
from distembed.nn.tokens import check_tokens, read_tokens

__all__ = ["ConvTokens"]

TAPS = 5


class ConvTokens(nn.Module):
    """A residual convolutional network on each token sequence.

    Args:
        event_shape: `(T,)`; later sequences may have another length.
        width: Number H of features.
        vocab: The largest token; 0 is the pad.
        channels: Channels of the network.
        depth: Number of layers.

    Raises:
        ValueError: If an atom is no sequence.

    Example:
        >>> import torch
        >>> encoder = ConvTokens((5,), width=4, vocab=9)
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
        depth: int = 3,
    ) -> None:
        super().__init__()
        check_tokens(event_shape, vocab)
        self.width, self.vocab = width, vocab
        self.tokens = nn.Embedding(vocab + 1, channels)
        self.layers = nn.ModuleList([_convolution(channels, 2**k) for k in range(depth)])
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
            inner = functional.silu(functional.layer_norm(u, u.shape[-1:]))
            masked = inner * mask.unsqueeze(2)
            u = u + cast(nn.Conv1d, layer)(masked.mT).mT
        h: Tensor = self.outputs(mean_and_deviation(u.to(self.tokens.weight.dtype), mask))
        return h


def _convolution(channels: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, TAPS, padding=TAPS // 2 * dilation, dilation=dilation)
