"""Differences of a function: its derivative with an error bound, and where it jumps.

What somebody wrote as the derivative of a function is compared with these, at every place with steps that suit it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# f'(0) ≈ Σ_k c_k (f(kh) − f(−kh)) / h, of order 8
COEFFICIENTS = torch.tensor([4 / 5, -1 / 5, 4 / 105, -1 / 280], dtype=torch.float64)
STEPS = 2.0 ** -torch.arange(24, 3, -1, dtype=torch.float64)  # from the finest, 6e-8, to the coarsest, 0.06
REACH = float(4 * STEPS[0])  # how far from a place the finest differences look
ROUNDING = 16 * torch.finfo(torch.float64).eps  # of f, beside its size
TOLERANCE = 1e-9  # relative, for what somebody wrote
ROOM = 8.0  # the next term of the expansion adds less than 7 rounding errors to the one of the step that is taken

PIECES = 4  # that an interval is split into
SPLITS = 12  # to 6e-8 of its width
BEFORE = 5  # splits, a factor 1024, over which a smooth change falls and a jump stays
SMALLEST = 1e-9  # jump, beside the largest |f|


def derivative(f: Callable[[Tensor], Tensor], size: Tensor) -> tuple[Tensor, Tensor]:
    """f'(0) by central differences of order 8, and a bound of its error, entry by entry.

    For smaller steps the rounding errors r of a difference grow, for larger ones what it leaves out of Taylor's series.
    The step is the largest one whose difference agrees within r with those of all smaller steps (Lepski's rule).

    Parameters
    ----------
    f
        t (n,) ↦ f(t), (n, …): one function of t in each entry.
    size
        What f is rounded beside, of the shape of an entry or of one number.
    """
    k = torch.arange(1, len(COEFFICIENTS) + 1, dtype=torch.float64)
    k, c = torch.cat([k, -k]), torch.cat([COEFFICIENTS, -COEFFICIENTS])
    found = torch.stack([torch.tensordot(c, f(k * h), dims=1) / h for h in STEPS])
    rounding = c.abs().sum() * ROUNDING * size / STEPS.reshape(-1, *[1] * (found.dim() - 1))
    rounding = rounding.expand_as(found)
    lowest, highest = (found - rounding).cummax(0).values, (found + rounding).cummin(0).values
    last = ((lowest <= highest).sum(0, keepdim=True) - 1).clamp(min=0)
    return found.gather(0, last)[0], ROOM * rounding.gather(0, last)[0]


def worst(given: Tensor, wanted: Tensor, error: Tensor) -> int | None:
    """Where a derivative that is given is farthest from a wanted one, beyond its error, flattened; None if nowhere."""
    beyond = (given - wanted).abs() - error - TOLERANCE * wanted.abs()
    place = int(beyond.nan_to_num(torch.inf).argmax())
    return None if beyond.flatten()[place] <= 0 else place


def jumps(f: Callable[[Tensor], Tensor], left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The ends of one tiny interval in each [left, right] where f jumps; intervals without a jump are left out.

    Each interval is split, and of the parts the one is kept over which f changes least like the others. The change
    over it falls with the width where f is continuous, and stays where it jumps.

    Parameters
    ----------
    f
        A function of one number, applied componentwise.
    left, right
        Shape (n,).
    """
    changes = []
    size = torch.zeros((), dtype=left.dtype)
    for _ in range(SPLITS):
        ends = left[:, None] + (right - left)[:, None] * torch.linspace(0, 1, PIECES + 1, dtype=left.dtype)
        values = f(ends)
        parts = values.diff(dim=1)
        odd = (parts - parts.median(1, keepdim=True).values).abs().argmax(1, keepdim=True)
        left, right = ends.gather(1, odd)[:, 0], ends.gather(1, odd + 1)[:, 0]
        changes.append(parts.gather(1, odd)[:, 0].abs())
        size = torch.maximum(size, values.abs().nan_to_num(0, 0, 0).max())
    stays = (changes[-1] > SMALLEST * size) & (changes[-1] > changes[-1 - BEFORE] / 2)
    return left[stays], right[stays]
