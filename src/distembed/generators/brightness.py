r"""A logarithm of the brightness of pixels, where it makes them more normal.

    g(y) = c log(1 + (y - l) / c),      y = l + c (exp(g / c) - 1),      l <= y <= h

l and h are the darkest and the brightest pixel of training, and g goes on with slope one outside
of them. Brightness of fluorescence is positive and skewed, and what differs between cells, dye and
exposure, multiplies it. Of the plain scale and several c the one is taken under which independent
normal pixels are most likely (Box and Cox, 1964),

    -1/2 mean_p log Var g(y_p) + mean log g'(y).

The scale stays plain where the darkest value is a point mass, as in ink on an empty page: the
logarithm of a mass has no best scale, and c would fall without end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Brightness", "BrightnessSettings"]


@dataclass(frozen=True)
class BrightnessSettings:
    """How the scale of brightness is chosen.

    Attributes:
        offsets: Candidates of c, in deviations of a pixel from the mean image.
        darkest: Largest share of pixels that may have the darkest value.
    """

    offsets: tuple[float, ...] = (1.0, 0.5, 0.25, 0.125, 0.0625)
    darkest: float = 0.05


class Brightness(nn.Module):
    """A monotone map of pixels; the identity until it is fitted.

    Args:
        settings: How the scale is chosen; with no offsets it stays plain.

    Example:
        >>> pixels = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)).exp()
        >>> brightness = Brightness()
        >>> brightness.fit(pixels)
        >>> brightness.inverse(brightness(pixels)).allclose(pixels, rtol=1e-4)
        True
        >>> float(brightness.offset) < 1
        True
    """

    low: Tensor
    high: Tensor
    offset: Tensor

    def __init__(self, settings: BrightnessSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or BrightnessSettings()
        for name in ("low", "high", "offset"):
            self.register_buffer(name, torch.tensor(0.0))

    @torch.no_grad()
    def fit(self, pixels: Tensor) -> None:
        """Choose the scale by training images `(N, D)`; an offset of zero is the plain one."""
        y = pixels.double()
        low, high = y.min(), y.max()
        self.low.copy_(low)
        self.high.copy_(high)
        self.offset.zero_()
        deviation = (y - y.mean(0)).square().mean().sqrt()
        if float((y == low).double().mean()) > self.settings.darkest or not float(deviation):
            return
        smallest = (1e-3 * deviation).square()  # a pixel that hardly varies is no reason
        best = -(y.var(0) + smallest).log().mean() / 2
        for ratio in self.settings.offsets:
            c = ratio * deviation
            logged = ((y - low) / c).log1p()
            likelihood = -((c * logged).var(0) + smallest).log().mean() / 2 - logged.mean()
            if likelihood > best:
                best = likelihood
                self.offset.copy_(c)

    def forward(self, y: Tensor) -> Tensor:
        """Map pixels of any shape."""
        if not float(self.offset):
            return y
        c, low, high = self.offset, self.low, self.high
        inside = y.clamp(low, high)
        return c * ((inside - low) / c).log1p() + (y - inside)

    def inverse(self, g: Tensor) -> Tensor:
        """Map back."""
        if not float(self.offset):
            return g
        c, low = self.offset, self.low
        inside = g.clamp_min(0).minimum(self(self.high))
        return low + c * (inside / c).expm1() + (g - inside)
