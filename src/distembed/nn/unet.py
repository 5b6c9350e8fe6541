r"""A field on images: residual convolutions at several scales (U-Net; Ronneberger et al., 2015).

An image is cut into patches of $p \times p$ pixels, p in {1, 2, 4}, which become the channels of a
grid of at most 20 cells a side, or of 32 where p is 4. Each level halves the grid, rounding up,
until 5 cells are left. On the way back a level is enlarged to the exact size of the one above and
added to it, so that no side has to be a power of two. Residual blocks are those of `nn.film` with
a convolution inside,

    h + W_2 silu(W_1 * ((1 + a) GN(h) + b)),     (a, b) affine in silu(condition(z) + time(t)),

GN being a normalisation over pixels and groups of eight channels of one image (Wu and He, 2018);
nothing looks at another atom. The field is what the levels say plus $g(z, t)\,x$, a gain for each
channel. Images are smooth: noise has to leave *every* fine direction at the same rate, which
the gain says in one number and a decoder of few channels cannot say.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.nn.mlp import MLP, shrink
from distembed.nn.precision import reduced
from distembed.nn.time import TimeFeatures

__all__ = ["UNet"]

Expand = Callable[[Tensor], Tensor]
SIDES = (8, 128)
_CELLS, _LOWEST, _GROUP = 20 * 20, 5, 8
_NUMBERS = 2**20  # of the largest layer at a time in sampling: it stays in cache, and memory small


class _Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.film = nn.Linear(width, 2 * channels)
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = _shrunk(nn.Conv2d(channels, channels, 1), 0.1)

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        a, b = self.film(context)[:, :, None, None].chunk(2, 1)
        modulated = torch.addcmul(b, _normed(h), 1 + a)
        out: Tensor = h + self.outer(functional.silu(self.inner(modulated)))
        return out


class UNet(nn.Module):
    """A field on images, conditioned on embeddings and time, that starts near zero.

    It is called as `FiLMNet` is, with flattened atoms. Where no gradient is asked for, atoms go
    through it in pieces, so that memory does not grow with their number.

    Args:
        event_shape: Channels, height and width of an image; sides of 8 to 128 pixels.
        latent: Dimension of the embedding z.
        width: Width of what conditions the blocks; the grid has a quarter as many channels, and
            the levels below a half, both rounded to eights.
        depth: Number of residual blocks at the lowest level; others have two.

    Raises:
        ValueError: If the events are no images, or of a size it cannot take.

    Example:
        >>> field = UNet((1, 28, 28), latent=4)
        >>> x, z, t = torch.zeros(3, 5, 784), torch.zeros(3, 4), torch.tensor(0.5)
        >>> field(x, z, t, lambda rows: rows.unsqueeze(1)).shape
        torch.Size([3, 5, 784])
    """

    def __init__(
        self, event_shape: tuple[int, ...], latent: int, width: int = 128, depth: int = 3
    ) -> None:
        super().__init__()
        self.event_shape = _image(event_shape)
        channels, *sides = self.event_shape
        self.patch = next((p for p in (1, 2) if _cells(sides, p) <= _CELLS), 4)
        grid = [-(-side // self.patch) for side in sides]
        fine, coarse = _eights(width / 4), _eights(width / 2)
        self.largest = fine * grid[0] * grid[1]

        self.time = TimeFeatures()
        self.condition = MLP(latent, width, width)
        self.by_time = nn.Linear(self.time.size, width)
        self.gain = shrink(nn.Linear(width, channels), 0.01)
        self.inputs = nn.Conv2d(channels * self.patch**2, fine, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(fine, *grid))
        self.before, self.down = nn.ModuleList(), nn.ModuleList()
        self.after, self.up = nn.ModuleList(), nn.ModuleList()
        here = fine
        while max(grid) > _LOWEST:
            self.before.append(_Block(here, width))
            self.down.append(nn.Conv2d(here, coarse, 3, stride=2, padding=1))
            self.up.append(nn.Conv2d(coarse, here, 1))
            self.after.append(_Block(here, width))
            grid, here = [-(-side // 2) for side in grid], coarse
        self.lowest = nn.ModuleList([_Block(here, width) for _ in range(depth)])
        out = nn.Conv2d(fine, channels * self.patch**2, 3, padding=1)
        self.outputs = _shrunk(out, 0.01)

    def forward(self, x: Tensor, z: Tensor, t: Tensor, expand: Expand) -> Tensor:
        """Evaluate the field.

        Args:
            x: Atoms, `(N, D)` or `(B, n, D)`, D pixels of all channels.
            z: Embeddings, `(B, L)`.
            t: Time of each atom in [0, 1], with the leading shape of `x`, or a scalar.
            expand: Gives every atom the row of its set, `(B, H)` to the leading shape of `x`.

        Returns:
            The field, with the shape of `x`.
        """
        with reduced(x.device):
            context = functional.silu(expand(self.condition(z)) + self.by_time(self.time(t)))
            context = context.expand(*x.shape[:-1], -1).reshape(-1, context.shape[-1])
            images = x.reshape(-1, *self.event_shape)
            rows = max(1, len(images) if torch.is_grad_enabled() else _NUMBERS // self.largest)
            pieces = zip(images.split(rows), context.split(rows), strict=True)
            out = torch.cat([self._images(piece, rows).to(x.dtype) for piece, rows in pieces])
        return out.reshape(x.shape)

    def _images(self, x: Tensor, context: Tensor) -> Tensor:
        height, width = self.event_shape[1:]
        cut = functional.pad(x, (0, -width % self.patch, 0, -height % self.patch))
        cut = functional.pixel_unshuffle(cut, self.patch)
        h = self.inputs(cut.contiguous(memory_format=torch.channels_last)) + self.place
        above = []
        for block, down in zip(self.before, self.down, strict=True):
            h = block(h, context)
            above.append(h)
            h = down(h)
        for block in self.lowest:
            h = block(h, context)
        for i in reversed(range(len(above))):
            h = above[i] + functional.interpolate(self.up[i](h), size=above[i].shape[2:])
            h = self.after[i](h, context)
        field = functional.pixel_shuffle(self.outputs(_normed(h)), self.patch)
        return torch.addcmul(field[..., :height, :width], self.gain(context)[:, :, None, None], x)


def _image(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    low, high = SIDES
    if len(event_shape) != 3:
        raise ValueError(
            f"The event shape is {tuple(event_shape)}; the unet backbone convolves images, "
            "(channels, height, width). Give grey images an axis, x[:, None], or choose the mlp "
            "backbone, which takes any shape."
        )
    channels, height, width = event_shape
    if channels < 1 or not (low <= min(height, width) and max(height, width) <= high):
        raise ValueError(
            f"The event shape is {tuple(event_shape)}; the unet backbone takes (channels, "
            f"height, width) with sides of {low} to {high} pixels: smaller ones leave it no "
            "scales, larger ones would take too long. Channels come first. Pad, crop or resize "
            "the images, or choose the mlp backbone, which takes any shape."
        )
    return channels, height, width


def _cells(sides: list[int], patch: int) -> int:
    return -(-sides[0] // patch) * -(-sides[1] // patch)


def _eights(channels: float) -> int:
    return _GROUP * max(1, round(channels / _GROUP))


def _normed(h: Tensor) -> Tensor:
    return functional.group_norm(h, h.shape[1] // _GROUP)


def _shrunk(layer: nn.Conv2d, factor: float) -> nn.Conv2d:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    layer.weight.data.mul_(factor)
    return layer
