"""Taylor's remainder: whether derivatives that somebody wrote are those of a function.

|f(z + hv) − f(z) − h f'(z)v − … − hᵏ f⁽ᵏ⁾(z)vᵏ/k!| falls as h^(k+1) for the right derivatives, and as hᵏ if the k-th is
wrong anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

STEP = 2.0**-12  # an error of a derivative shows above the next term if it is a thousandth of it
ROOM = 0.3  # below the order that is wanted, for the next term
ROUNDING = 64 * torch.finfo(torch.float64).eps


def worst(remainder: Callable[[float], Tensor], size: Tensor, order: int) -> tuple[int, float] | None:
    """Where a remainder is largest, if the largest one falls more slowly than h^order, and its order; else None.

    Parameters
    ----------
    remainder
        h ↦ the remainders at many places, of any shape.
    size
        What they are a difference of, of the same shape: rounding is that times 64 machine numbers.

    Returns
    -------
    The place as an index of the flattened array, and the observed order, NaN where a remainder is not finite.
    """
    coarse, fine = (remainder(h).abs().flatten() for h in (2 * STEP, STEP))
    infinite = ~(coarse + fine).isfinite()
    if infinite.any():
        return int(infinite.nonzero()[0]), math.nan
    place = int((fine - ROUNDING * size.flatten()).argmax())
    if not fine[place] > ROUNDING * size.flatten()[place]:
        return None
    observed = math.log2(float(coarse.max() / fine.max())) if coarse.max() > 0 else 0.0
    return None if observed > order - ROOM else (place, observed)
