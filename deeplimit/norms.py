"""Distances between controls: nodal L², sup and H¹ norms, the head, and TL² (Garcia Trillos & Slepčev 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from deeplimit import checks
from deeplimit.control import Curve, Layers

MAX_ATOMS = 4096
CURVE_ATOMS = 1024
CURVE_CELLS = 64
GAUSS_POINTS = 8


def joint(K: Tensor, b: Tensor) -> Tensor:
    """(K, b) as one vector for every depth: (n, d, d) and (n, d) to (n, d² + d)."""
    return torch.cat([K.flatten(-2), b], dim=-1)


def check_shapes(a: Layers | Curve, b: Layers | Curve, block: str) -> None:
    """TypeError unless both are controls, ValueError unless a block of theirs, K or W, has one shape."""
    for control in (a, b):
        checks.kind("a control", control, Layers, Curve)
    first, second = (tuple(getattr(control, block).shape[-2:]) for control in (a, b))
    if first != second:
        raise ValueError(f"{block} must have one shape in both controls, got {first} and {second}")


def _difference(a: Layers, b: Layers) -> Tensor:
    check_shapes(a, b, "K")
    if a.depth != b.depth:
        raise ValueError(f"nodal norms compare networks of one depth, got {a.depth} and {b.depth}")
    return joint(a.K, a.b) - joint(b.K, b.b)


def l2(a: Layers, b: Layers) -> float:
    """(h Σ_i |Θ_i − Θ'_i|²)^½ over K and b jointly, Frobenius norms, h = 1/n."""
    return float(torch.linalg.vector_norm(_difference(a, b))) / math.sqrt(a.depth)


def sup(a: Layers, b: Layers) -> float:
    """max_i |Θ_i − Θ'_i| over K and b jointly."""
    return float(torch.linalg.vector_norm(_difference(a, b), dim=-1).max())


def h1(a: Layers, b: Layers) -> float:
    """(n Σ_i |Δ(Θ_i − Θ'_i)|²)^½ over K and b jointly, the discrete H¹ seminorm."""
    return float(torch.linalg.vector_norm(torch.diff(_difference(a, b), dim=0))) * math.sqrt(a.depth)


def head(a: Layers | Curve, b: Layers | Curve) -> float:
    """(|W − W'|² + |c − c'|²)^½."""
    check_shapes(a, b, "W")
    return math.hypot(float(torch.linalg.vector_norm(a.W - b.W)), float(torch.linalg.vector_norm(a.c - b.c)))


def tl2(a: Layers | Curve, b: Layers | Curve, exact: bool = False) -> float:
    """TL² distance of the deep weights (K, b), as pairs (measure on [0, 1], function).

    d² = inf over couplings π of ∫ |s − t|² + |f(s) − g(t)|² dπ(s, t). A network of depth n is (1/n) Σ δ_{i/n} with its
    n weights, a curve is Lebesgue measure with itself.

    Parameters
    ----------
    a, b : Layers or Curve, of any depths
    exact
        False gives the bound from the identity coupling, for a curve 1/(3n²) + ‖K^(n) ∘ T_n − K‖² under the root. True
        solves the optimal assignment between equally many atoms (a curve is taken at the midpoints of 1024 cells or
        more); it is never larger than the identity coupling of the same atoms.

    Raises
    ------
    ValueError
        If the controls have two widths, or the exact distance would need more than 4096 atoms.
    """
    check_shapes(a, b, "K")
    if exact:
        return _assignment(a, b)
    if isinstance(a, Layers) and isinstance(b, Layers) and a.depth == b.depth:
        return l2(a, b)
    return _identity_coupling(a, b)


def distance(a: Layers | Curve, b: Layers | Curve, exact: bool = False) -> float:
    """(TL²(a, b)² + |W − W'|² + |c − c'|²)^½: all four blocks of two controls of any depths."""
    return math.hypot(tl2(a, b, exact), head(a, b))


def hausdorff(a: Sequence[Layers | Curve], b: Sequence[Layers | Curve], exact: bool = False) -> float:
    """sup over a of inf over b of `distance`, the one-sided Hausdorff distance of two sets of controls.

    It tends to 0 along sets of minimisers exactly if every cluster point of theirs is in b, whether or not all of b is
    reached. A problem with symmetries wants all their images in b; images in a change nothing then.

    Raises
    ------
    ValueError
        If one of the sets is empty, or the controls have two widths or numbers of outputs.
    """
    if not a or not b:
        raise ValueError(f"the Hausdorff distance needs two sets of controls, got {len(a)} and {len(b)} of them")
    return max(min(distance(f, g, exact) for g in b) for f in a)


def _identity_coupling(a: Layers | Curve, b: Layers | Curve) -> float:
    cells = np.unique(np.concatenate([np.arange(n + 1) / n for n in (_cells(a), _cells(b))]))
    points, weights = leggauss(GAUSS_POINTS)
    width = np.diff(cells)
    t = cells[:-1, None] + width[:, None] * (points + 1) / 2
    weight = (width[:, None] * weights / 2).ravel()
    gap = _times(a, t.ravel()) - _times(b, t.ravel())
    values = joint(*a.at(t.ravel())) - joint(*b.at(t.ravel()))
    return math.sqrt(float(weight @ (gap**2 + values.square().sum(-1).numpy())))


def _cells(control: Layers | Curve) -> int:
    """Cells on which a control is smooth; a multiple of those of a piecewise linear curve."""
    if isinstance(control, Layers):
        return control.depth
    return control.basis.size * -(-CURVE_CELLS // control.basis.size)


def _times(control: Layers | Curve, t: np.ndarray) -> np.ndarray:
    """T_n(t) = ⌊nt⌋/n for a network, t for a curve."""
    return np.floor(control.depth * t + 1e-9) / control.depth if isinstance(control, Layers) else t


def tl2_bound(a: Layers | Curve, b: Layers | Curve) -> float:
    """(mean over the atoms of |s_k − t_k|² + |f(s_k) − g(t_k)|²)^½: the identity coupling of the atoms of `tl2`.

    The atoms are those of the exact distance: each layer repeated up to the least common multiple of the depths, a
    curve at the midpoints of 1024 cells or more. The optimal assignment of the same atoms is never larger, up to
    rounding; between networks it is the bound that `tl2` gives.
    """
    check_shapes(a, b, "K")
    first, second = _atoms(a, b)
    return math.sqrt(float(np.square(first - second).sum(1).mean()))


def _common(a: Layers | Curve, b: Layers | Curve) -> int:
    """Equally many atoms for both: a multiple of the depths, with a curve at least 1024."""
    depths = [c.depth for c in (a, b) if isinstance(c, Layers)]
    atoms = math.lcm(*depths) if depths else CURVE_ATOMS
    return atoms if len(depths) == 2 else atoms * -(-CURVE_ATOMS // atoms)


def _atoms(a: Layers | Curve, b: Layers | Curve) -> list[np.ndarray]:
    """Rows (T(t_k), K, b) at the midpoints t_k of the common cells, for both controls."""
    count = _common(a, b)
    t = (np.arange(count) + 0.5) / count
    return [np.column_stack([_times(c, t), joint(*c.at(t)).numpy()]) for c in (a, b)]


def _assignment(a: Layers | Curve, b: Layers | Curve) -> float:
    atoms = _common(a, b)
    if atoms > MAX_ATOMS:
        depths = [c.depth for c in (a, b) if isinstance(c, Layers)]
        raise ValueError(f"the exact TL² distance takes at most {MAX_ATOMS} atoms, depths {depths} need {atoms}")
    cost = cdist(*_atoms(a, b), "sqeuclidean")
    rows, columns = linear_sum_assignment(cost)
    return math.sqrt(cost[rows, columns].mean())
