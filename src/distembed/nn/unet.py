r"""A field on images: residual convolutions at several scales (U-Net; Ronneberger et al., 2015).

An image is cut into patches of $p \times p$ pixels, p in {1, 2, 4}, which become the channels of a
grid: p is 4 where the grid would otherwise have more than 20 x 20 cells. Each level halves the
grid, rounding up, until no side has more than 5 cells. On the way back a level is enlarged to the
exact size of the one above and added to it, so that no side has to be a power of two. Residual
blocks are those of `nn.film` with a convolution inside,

    h + W_2 silu(W_1 * ((1 + a) GN(h) + b)),     (a, b) affine in silu(condition(z) + time(t)),

where GN normalises over pixels and groups of eight channels of one image (Wu and He, 2018); atoms
do not interact. The field is the output of the levels plus $g(z, t)\,x$, with one gain g per
channel. Images are smooth, so noise has to leave *every* fine direction at the same rate: the gain
expresses that in one number, which a decoder of few channels cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from distembed.nn.film import Expand
from distembed.nn.mlp import MLP, shrink
from distembed.nn.precision import reduced
from distembed.nn.time import TimeFeatures

__all__ = ["UNet", "UNetSettings"]


@dataclass(frozen=True)
class UNetSettings:
    """Sizes of a U-Net that do not depend on the image.

    Attributes:
        shortest: Smallest side of an image, in pixels.
        longest: Largest side of an image, in pixels.
        cells: Largest number of cells of the finest grid, where patches of 4 pixels allow it.
        coarsest: Largest side of the coarsest grid, in cells.
        group: Channels that are normalised together.
        chunk: Numbers of the largest layer that one forward pass holds without gradients. Larger
            batches of images are evaluated in pieces, which stay in cache and bound the memory.
    """

    shortest: int = 8
    longest: int = 128
    cells: int = 400
    coarsest: int = 5
    group: int = 8
    chunk: int = 2**20

    def channels(self, width: float) -> int:
        """Round a number of channels to a multiple of the group."""
        return self.group * max(1, round(width / self.group))

    def patch(self, sides: list[int]) -> int:
        """Return the side of a patch in pixels, 1, 2 or 4."""

        def cells(p: int) -> int:
            return -(-sides[0] // p) * -(-sides[1] // p)

        return next((p for p in (1, 2) if cells(p) <= self.cells), 4)


class _Block(nn.Module):
    """Residual convolutions that are modulated by a context `(N, width)`."""

    def __init__(self, channels: int, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.film = nn.Linear(width, 2 * channels)
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = shrink(nn.Conv2d(channels, channels, 1), 0.1)

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        a, b = self.film(context)[:, :, None, None].chunk(2, 1)
        modulated = torch.addcmul(b, functional.group_norm(h, self.groups), 1 + a)
        out: Tensor = h + self.outer(functional.silu(self.inner(modulated)))
        return out


class UNet(nn.Module):
    """A field on images, conditioned on embeddings and time, that starts near zero.

    It has the interface of `FiLMNet`, with flattened atoms.

    Args:
        event_shape: Channels, height and width of an image; sides of 8 to 128 pixels.
        latent: Dimension of the embedding z.
        width: Width of the context of the blocks; the finest grid has a quarter as many channels,
            and the levels below a half, both rounded to multiples of eight.
        depth: Number of residual blocks at the coarsest level; other levels have two.
        settings: Sizes that do not depend on the image.

    Raises:
        ValueError: If the events are no images, or have a side that is too short or too long.

    Example:
        >>> field = UNet((1, 28, 28), latent=4)
        >>> x, z, t = torch.zeros(3, 5, 784), torch.zeros(3, 4), torch.tensor(0.5)
        >>> field(x, z, t, lambda rows: rows.unsqueeze(1)).shape
        torch.Size([3, 5, 784])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        latent: int,
        width: int = 128,
        depth: int = 3,
        settings: UNetSettings | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or UNetSettings()
        self.event_shape = _image(event_shape, self.settings)
        channels, *sides = self.event_shape
        self.patch = self.settings.patch(sides)
        grid = [-(-side // self.patch) for side in sides]
        fine, coarse = self.settings.channels(width / 4), self.settings.channels(width / 2)
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
        while max(grid) > self.settings.coarsest:
            self.before.append(self._block(here, width))
            self.down.append(nn.Conv2d(here, coarse, 3, stride=2, padding=1))
            self.up.append(nn.Conv2d(coarse, here, 1))
            self.after.append(self._block(here, width))
            grid, here = [-(-side // 2) for side in grid], coarse
        self.lowest = nn.ModuleList([self._block(here, width) for _ in range(depth)])
        self.outputs = shrink(nn.Conv2d(fine, channels * self.patch**2, 3, padding=1), 0.01)

    def forward(self, x: Tensor, z: Tensor, t: Tensor, expand: Expand) -> Tensor:
        """Evaluate the field.

        Args:
            x: Atoms, `(N, D)` or `(B, n, D)`, D pixels of all channels.
            z: Embeddings, `(B, L)`.
            t: Time of each atom in [0, 1], with the leading shape of `x`, or a scalar.
            expand: Repeats the row of each set for its atoms, `(B, H)` to the leading shape of
                `x`.

        Returns:
            The field, with the shape of `x`.
        """
        with reduced(x.device):
            context = functional.silu(expand(self.condition(z)) + self.by_time(self.time(t)))
            context = context.expand(*x.shape[:-1], -1).reshape(-1, context.shape[-1])
            images = x.reshape(-1, *self.event_shape)
            chunk = self.settings.chunk // self.largest
            rows = max(1, len(images) if torch.is_grad_enabled() else chunk)
            pieces = zip(images.split(rows), context.split(rows), strict=True)
            out = torch.cat([self._images(piece, rows).to(x.dtype) for piece, rows in pieces])
        return out.reshape(x.shape)

    def _images(self, x: Tensor, context: Tensor) -> Tensor:
        """Evaluate the field on images `(N, C, H, W)` with contexts `(N, width)`."""
        height, width = self.event_shape[1:]
        padded = functional.pad(x, (0, -width % self.patch, 0, -height % self.patch))
        patches = functional.pixel_unshuffle(padded, self.patch)
        h = self.inputs(patches.contiguous(memory_format=torch.channels_last)) + self.place
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
        h = functional.group_norm(h, h.shape[1] // self.settings.group)
        field = functional.pixel_shuffle(self.outputs(h), self.patch)
        return torch.addcmul(field[..., :height, :width], self.gain(context)[:, :, None, None], x)

    def _block(self, channels: int, width: int) -> _Block:
        return _Block(channels, width, channels // self.settings.group)


def _image(event_shape: tuple[int, ...], settings: UNetSettings) -> tuple[int, int, int]:
    """Return channels, height and width, or raise a ValueError."""
    shortest, longest = settings.shortest, settings.longest
    if len(event_shape) != 3:
        raise ValueError(
            f"The event shape is {tuple(event_shape)}; the unet backbone convolves images, "
            "(channels, height, width). Give grey images an axis, x[:, None], or choose the mlp "
            "backbone, which takes any shape."
        )
    channels, height, width = event_shape
    if channels < 1 or min(height, width) < shortest or max(height, width) > longest:
        raise ValueError(
            f"The event shape is {tuple(event_shape)}; the unet backbone takes (channels, "
            f"height, width) with sides of {shortest} to {longest} pixels: smaller ones leave it "
            "no scales, larger ones would take too long. Channels come first. Pad, crop or "
            "resize the images, or choose the mlp backbone, which takes any shape."
        )
    return channels, height, width
