"""Grids of depth: what coarse networks tell about a fine one, coordinates and minimisers.

Interpolating K and b linearly in t splits each coarse increment into equal fine ones. In the coordinates in which the
regulariser is |u|² that is a matrix P with orthonormal columns wherever the fine depth is a multiple of the coarse one;
elsewhere P (PᵀP)^−½ has them, and spans the same curves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from scipy.interpolate import make_interp_spline

from deeplimit.control import BLOCKS, DEEP, Layers
from deeplimit.coordinates import LayerCoordinates


def _overlaps(fine: int, coarse: int) -> sparse.csr_array:
    """√(n n_c) times the length that the cells of n and n_c equal ones share, shape (n, n_c): increments to increments.

    Row and column 0 stand for θ(0), row i for the cell from (i − 1)/n to i/n.
    """
    edges = np.unique(np.concatenate([np.arange(1, fine) * coarse, np.arange(1, coarse) * fine, [0]]))
    length, middle = np.diff(edges), (edges[:-1] + edges[1:]) / 2
    rows, columns = (1 + (middle // width).astype(int) for width in (coarse, fine))
    within = columns < coarse  # constant on the last coarse cell
    values = np.append(length[within] / np.sqrt(fine * coarse), 1.0)
    places = np.append(rows[within], 0), np.append(columns[within], 0)
    return sparse.csr_array((values, places), shape=(fine, coarse))


class Prolongation:
    """P and Pᵀ between the coordinates of two depths of one problem, Pᵀ P = I.

    Parameters
    ----------
    coarse, fine
        Coordinates with the same metric; the fine depth at least the coarse one.

    Raises
    ------
    ValueError
        If the fine depth is below the coarse one.
    """

    def __init__(self, coarse: LayerCoordinates, fine: LayerCoordinates) -> None:
        if fine.rows < coarse.rows:
            raise ValueError(f"a prolongation leads to a depth at least {coarse.rows}, got {fine.rows}")
        self.coarse, self.fine = coarse, fine
        self._rows = _overlaps(fine.rows, coarse.rows)
        self._columns = self._rows.T.tocsr()

    @cached_property
    def _normaliser(self) -> np.ndarray | None:
        """(PᵀP)^−½ of the rows; None where it is the identity."""
        if self.fine.rows % self.coarse.rows == 0:
            return None
        values, vectors = np.linalg.eigh((self._columns @ self._rows).toarray())
        # the Cholesky factor would do, but shift everything by a part of a cell
        return (vectors / np.sqrt(values)) @ vectors.T

    def prolong(self, v: np.ndarray) -> np.ndarray:
        """P v, from coarse to fine coordinates."""
        S = self._normaliser
        return self._map(v, self.coarse, self.fine, lambda x: self._rows @ (x if S is None else S @ x))

    def restrict(self, v: np.ndarray) -> np.ndarray:
        """Pᵀ v, from fine to coarse coordinates."""
        S = self._normaliser

        def deep(x: np.ndarray) -> np.ndarray:
            x = self._columns @ x
            return x if S is None else S @ x

        return self._map(v, self.fine, self.coarse, deep)

    @staticmethod
    def _map(
        v: np.ndarray, source: LayerCoordinates, target: LayerCoordinates, deep: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Blocks of v as they are, those that depend on depth by `deep`, a map of their rows."""
        out = np.empty(target.size)
        for block, place in source.places.items():
            x = v[place]
            out[target.places[block]] = deep(x.reshape(source.rows, -1)).ravel() if block in DEEP else x
        return out


def weights(depths: Sequence[int], depth: int) -> np.ndarray:
    """w_k with Σ_k w_k p(1/n_k) = p(1/n) for every polynomial p of degree below the number of depths n_k."""
    steps = 1 / np.asarray(depths, dtype=float)
    return np.array([np.prod((1 / depth - steps[steps != h]) / (h - steps[steps != h])) for h in steps])


def extrapolated(controls: Sequence[Layers], depth: int) -> Layers:
    """The network of a depth that a polynomial in 1/n through networks of other depths predicts.

    Minimisers of a branch expand in powers of 1/n with smooth functions of t: k depths leave an error O(n⁻ᵏ). Each
    network is taken to the nodes of the new depth by a cubic spline, so that this holds for θ' as well.

    Parameters
    ----------
    controls
        Networks of different depths, at least one.
    """
    factors = weights([control.depth for control in controls], depth).tolist()
    taken = [splined(control, depth) for control in controls]
    return Layers(*(sum(w * getattr(t, k) for w, t in zip(factors, taken, strict=True)) for k in BLOCKS))


def splined(control: Layers, depth: int) -> Layers:
    """The cubic spline through the nodes of a network, at the nodes of another depth."""
    n = control.depth
    if depth == n:
        return control

    sizes = [theta[0].numel() for theta in (control.K, control.b)]
    both = torch.cat([theta.flatten(1) for theta in (control.K, control.b)], 1).numpy()
    spline = make_interp_spline(np.arange(n) / n, both, k=min(3, n - 1))
    K, b = torch.as_tensor(spline(np.arange(depth) / depth)).split(sizes, 1)
    return Layers(K.reshape(depth, *control.K.shape[1:]), b, control.W, control.c)
