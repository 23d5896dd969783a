"""Symmetries of a problem: signed permutations of the coordinates that keep the data, and what they do to controls.

A signed permutation Q of the inputs and P of the outputs keep the data if a permutation π of the samples has
Q x_s = x_π(s) and P y_s = y_π(s). As σ acts componentwise, it commutes with a permutation, and with a change of sign if
it is odd. Then E_n and E_∞ are the same at Θ and at its image

    K ↦ Q K Qᵀ,  b ↦ Q b,  W ↦ P W Qᵀ,  c ↦ P c,

so that minima come in orbits: order of the group = size of the orbit × order of the stabiliser.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from deeplimit import checks, norms
from deeplimit.activation import Activation
from deeplimit.control import Curve, Layers
from deeplimit.loss import BUILT_IN, LOSSES, Loss

SAME = 1e-4  # controls this close, in TL² and head, are one
ROUNDING = 1e-12  # entries of the data that differ by less, relative to the largest, are equal
MOST = 4096  # symmetries that are listed; coordinates that vanish on all the data alone have 2^k k!
# L(h(−z), −y) = L(h(z), y) for labels counted from these centres; softmax has permutations only.
CENTRES = {"squared": 0.0, "logistic": 0.5}

C = TypeVar("C", bound=Layers | Curve)
Image = tuple[int, int]  # the column that is put here, and its sign

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SignedPermutation:
    """(Qx)_i = sign_i x_{order_i}; order (d,) and sign (d,)."""

    order: Tensor
    sign: Tensor

    @property
    def matrix(self) -> Tensor:
        """Q, shape (d, d)."""
        return self.sign[:, None] * torch.eye(len(self.order), dtype=torch.float64)[self.order]

    def rows(self, theta: Tensor) -> Tensor:
        """Q θ, with θ of shape (…, d, k)."""
        return self.sign[:, None] * theta[..., self.order, :]

    def columns(self, theta: Tensor) -> Tensor:
        """θ Qᵀ, with θ of shape (…, d)."""
        return self.sign * theta[..., self.order]


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Q on the inputs and all hidden states, P on the outputs."""

    Q: SignedPermutation
    P: SignedPermutation

    def act(self, control: C) -> C:
        """The image of a control, of the width and outputs of Q and P: Q K Qᵀ, Q b, P W Qᵀ, P c."""
        checks.kind("control", control, Layers, Curve)
        Q, P = self.Q, self.P
        if (got := tuple(control.W.shape)) != (wanted := (len(P.order), len(Q.order))):
            raise ValueError(f"a symmetry of W of shape {wanted} acts on no other shape, got {got}")
        K, W = Q.columns(Q.rows(control.K)), Q.columns(P.rows(control.W))
        return replace(control, K=K, b=Q.columns(control.b), W=W, c=P.columns(control.c))


def group(x: Tensor, y: Tensor, *, activation: Activation, loss: Loss, trainable: str) -> list[Symmetry]:
    """All signed permutations that keep the data, the identity first.

    Signs of inputs are changed only if σ is odd; outputs are permuted for the losses of the package and change sign for
    the squared and the logistic loss, there as y ↦ 1 − y. A W that is not trainable is the identity and must stay it,
    so that P = Q.

    Parameters
    ----------
    x : (S, d), y : (S, m)
        Inputs, and labels as the loss takes them.
    activation, loss, trainable
        As in `Problem`.

    Returns
    -------
    list of Symmetry
        Other orthogonal maps, which identity and affine problems may have, are not looked for. The identity alone, with
        a logged warning, where there are more than 4096.
    """
    known = loss.name in BUILT_IN and LOSSES[loss.name] is loss
    centre = CENTRES.get(loss.name) if known else None
    inputs, outputs = _codes(x), _codes(y - (centre or 0.0))
    d, m = inputs.shape[1], outputs.shape[1]
    flip = activation.odd, centre is not None
    if "W" in trainable:
        columns = [*inputs.T, *outputs.T]
        kinds = [("x", flip[0])] * d + [("y", flip[1]) if known else (f"y{j}", False) for j in range(m)]
    else:
        # an entry of x and one of y as one number, which changes sign with both
        columns = list((inputs * (2 * np.abs(outputs).max() + 1) + outputs).T)
        kinds = [("xy", all(flip)) if known else (f"xy{j}", False) for j in range(d)]
    found = list(islice(_search(columns, kinds), MOST + 1))
    if len(found) > MOST:
        logger.warning("the data have more than %d symmetries: images of a minimum count as different minima", MOST)
        del found[1:]
    return [Symmetry(_signed(g[:d]), _signed([(j - d, e) for j, e in g[d:]] or g)) for g in found]


def identity(width: int, outputs: int) -> Symmetry:
    """What keeps all data of a width and a number of outputs."""
    return Symmetry(*(_signed([(j, 1) for j in range(size)]) for size in (width, outputs)))


def _signed(images: list[Image]) -> SignedPermutation:
    order, sign = zip(*images, strict=True)
    return SignedPermutation(torch.tensor(order), torch.tensor(sign, dtype=torch.float64))


def _codes(values: Tensor) -> np.ndarray:
    """Whole numbers that are equal, or opposite, where the values are so up to rounding."""
    size = values.abs().numpy().ravel()
    order = np.argsort(size)
    steps = np.diff(size[order], prepend=0.0) > ROUNDING * size.max()
    number = np.empty(len(size), dtype=int)
    number[order] = np.cumsum(steps)
    return number.reshape(values.shape) * np.sign(values.numpy()).astype(int)


def _search(columns: list[np.ndarray], kinds: list[tuple[str, bool]]) -> Iterator[list[Image]]:
    """For each column (S,) the one it is taken from and its sign, such that the rows are the same up to their order.

    Columns go to columns of their kind, whose flag allows signs, those with the fewest choices first. A choice is
    followed only while the rows of the columns chosen so far are the same up to order: generic data leave one.
    """
    choices = [_choices(k, columns, kinds) for k in range(len(columns))]
    sequence = sorted(range(len(columns)), key=lambda k: len(choices[k]))

    def extend(chosen: dict[int, Image], rows: np.ndarray, images: np.ndarray) -> Iterator[list[Image]]:
        if len(chosen) == len(columns):
            yield [chosen[k] for k in range(len(columns))]
            return
        k = sequence[len(chosen)]
        taken = {j for j, _ in chosen.values()}
        for j, sign in choices[k]:
            if j not in taken:
                finer = _finer(rows, columns[k], images, sign * columns[j])
                if np.array_equal(np.sort(finer[0]), np.sort(finer[1])):
                    yield from extend({**chosen, k: (j, sign)}, *finer)

    start = np.zeros(len(columns[0]), dtype=int)
    yield from extend({}, start, start)


def _choices(k: int, columns: list[np.ndarray], kinds: list[tuple[str, bool]]) -> list[Image]:
    """Columns of the same kind with the same entries up to their order; column k itself first."""
    alike = sorted((j for j, kind in enumerate(kinds) if kind == kinds[k]), key=lambda j: j != k)
    signs = (1, -1) if kinds[k][1] else (1,)
    wanted = np.sort(columns[k])
    return [(j, sign) for j in alike for sign in signs if np.array_equal(np.sort(sign * columns[j]), wanted)]


def _finer(rows: np.ndarray, column: np.ndarray, images: np.ndarray, image: np.ndarray) -> list[np.ndarray]:
    """One number for each different row so far, the same on both sides, with one more column taken into account."""
    entries = np.concatenate([column, image])
    both = np.concatenate([rows, images]) * (2 * np.abs(entries).max() + 1) + entries
    return np.split(np.unique(both, return_inverse=True)[1], 2)


def images(control: C, symmetries: Sequence[Symmetry]) -> list[C]:
    """The different images of a control, its orbit."""
    kept: list[C] = []
    for image in (g.act(control) for g in symmetries):
        if all(norms.distance(image, other) > SAME for other in kept):
            kept.append(image)
    return kept


def stabiliser(control: Layers | Curve, symmetries: Sequence[Symmetry]) -> list[Symmetry]:
    """The symmetries that leave a control where it is."""
    return [g for g in symmetries if norms.distance(g.act(control), control) <= SAME]


def orbit(control: Layers | Curve, symmetries: Sequence[Symmetry]) -> int:
    """The number of different images of a control: order of the group / order of the stabiliser."""
    return len(symmetries) // len(stabiliser(control, symmetries)) if symmetries else 1


def distance(a: Layers | Curve, b: Layers | Curve, symmetries: Sequence[Symmetry]) -> float:
    """min over the images of b of their distance to a, in TL² and head; the plain one without symmetries."""
    return min((norms.distance(a, g.act(b)) for g in symmetries), default=norms.distance(a, b))
