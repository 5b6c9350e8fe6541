r"""Features of an image of any size by residual convolutions and moments over its pixels.

    u_0 = conv [x, i, j],        (i, j) the place of a pixel in [-1, 1]^2
    u_k = D u_{k-1} + conv SiLU GN u_{k-1}
    h   = W [mean_p u(p), deviation_p u(p)]

A convolution can not tell places apart and a mean over pixels forgets them, so the place is an
input (CoordConv; Liu et al., 2018). Nothing has one weight a pixel, hence the network takes images
of any size. GN normalises one image by itself (group normalisation; Wu and He, 2018) and only
inside a residual branch: the stream keeps brightness and contrast. D halves the image while it is
larger than eight pixels, as decided by the shape that the network is built for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConvImages"]

SMALLEST = 8
"""Images of at most so many pixels a side are not halved further."""


class ConvImages(nn.Module):
    """A residual convolutional network on each image.

    Args:
        event_shape: Shape of one image, `(H, W)` or `(C, H, W)`; later ones may differ in H and W.
        width: Number of features.
        channels: Channels of the network.
        depth: Number of layers that keep the size of the image.

    Raises:
        ValueError: If the shape is not that of an image.

    Example:
        >>> encoder = ConvImages((1, 28, 28), width=4)
        >>> encoder(torch.rand(5, 1, 28, 28)).shape, encoder(torch.rand(2, 1, 9, 40)).shape
        (torch.Size([5, 4]), torch.Size([2, 4]))
    """

    def __init__(
        self, event_shape: tuple[int, ...], width: int, channels: int = 32, depth: int = 2
    ) -> None:
        super().__init__()
        if len(event_shape) not in (2, 3) or min(event_shape) < 1:
            raise ValueError(
                f"Atoms have shape {tuple(event_shape)}; conv2d takes images, (H, W) or "
                "(C, H, W). Reshape them, or use mlp."
            )
        self.width = width
        self.colours = event_shape[0] if len(event_shape) == 3 else None
        side, halvings = max(event_shape[-2:]), 0
        while side > SMALLEST:
            side, halvings = -(-side // 2), halvings + 1
        inputs = (self.colours or 1) + 2
        self.inputs = nn.Conv2d(inputs, channels, 3, stride=2 if halvings else 1, padding=1)
        strides = [2] * (halvings - 1) + [1] * depth
        self.layers = nn.Sequential(*[_Layer(channels, stride) for stride in strides])
        self.outputs = nn.Linear(2 * channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of each image, `(N, *event) -> (N, width)`.

        Raises:
            ValueError: If the images have another number of channels.
        """
        x = x.unsqueeze(1) if self.colours is None else x
        if x.ndim != 4 or x.shape[1] != (self.colours or 1) or 0 in x.shape[2:]:
            expected = "(H, W)" if self.colours is None else f"({self.colours}, H, W)"
            shape = tuple(x.shape[1 + (self.colours is None) :])
            raise ValueError(f"Atoms have shape {shape}; this conv2d was built for {expected}.")
        dtype = self.outputs.weight.dtype
        u = self.layers(self.inputs(_placed(x.to(dtype))))
        pixels = u.flatten(2).to(dtype)  # not in the reduced precision of a convolution
        variance = pixels.var(2, unbiased=False)
        h: Tensor = self.outputs(torch.cat([pixels.mean(2), (variance + 1e-6).sqrt()], 1))
        return h


class _Layer(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm = nn.GroupNorm(1, channels)
        self.branch = nn.Conv2d(channels, channels, 3, stride, padding=1)

    def forward(self, u: Tensor) -> Tensor:
        branch: Tensor = self.branch(functional.silu(self.norm(u)))
        return branch + functional.avg_pool2d(u, self.stride, ceil_mode=True)


def _placed(x: Tensor) -> Tensor:
    """Append the place of each pixel, `(N, C, H, W) -> (N, C + 2, H, W)`."""
    rows, columns = (
        (2 * torch.arange(side, dtype=x.dtype, device=x.device) + 1) / side - 1
        for side in x.shape[2:]
    )
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return torch.cat([x, places.expand(x.shape[0], -1, -1, -1)], 1)
