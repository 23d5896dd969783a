"""Sweeps by pieces of depth: the truth is autograd, the sweeps that are asked for, and the tensors that are alive."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from problems import Case, random_case
from test_energy import LIMITS, assert_equal_to, layers, limit, plain_limit, random_u, random_weights, small
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deeplimit import tape
from deeplimit.control import Weights
from deeplimit.coordinates import LayerCoordinates
from deeplimit.energy import DataTerm, Energy
from deeplimit.sweep import DORMAND_PRINCE8, EULER, KUTTA4, Flow

FLOWS = {
    "euler": Flow(EULER, 37),
    "euler one step": Flow(EULER, 1),
    "kutta": Flow(KUTTA4, 10),
    "dormand-prince graded": Flow(DORMAND_PRINCE8, 5, graded=True),
}


def refused(flow: Flow, state_bytes: int) -> int:
    """The least limit, as the sentence that refuses a smaller one names it."""
    with pytest.raises(ValueError, match="memory_limit must be at least") as error:
        tape.cut(flow, state_bytes, 1)
    return int(str(error.value).split()[5])


def random_term(flow: Flow, points: int = 6, d: int = 3) -> tuple[Callable[[float | None], DataTerm], Weights, int]:
    """A data term as a function of its limit, a direction of its weights, and the bytes of a state."""
    random = torch.Generator().manual_seed(flow.steps)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    problem = random_case("tanh", "softmax", flow.steps, d=d, points=points).problem()
    T, m = flow.stages, problem.metric.outputs
    weights, v = (Weights(normal(T, d, d), normal(T, d), normal(m, d), normal(m)) for _ in range(2))
    return (
        lambda memory_limit: DataTerm(problem, flow, weights, tape.cut(flow, 8 * points * d, memory_limit)),
        v,
        8 * points * d,
    )


def numbers(term: DataTerm, v: Weights) -> list[Tensor]:
    """Value, gradient and a product, the product twice."""
    return [torch.tensor(term.value, dtype=torch.float64), *term.gradient, *term.product(v), *term.product(v)]


# The numbers


@pytest.mark.parametrize("flow", [flow for flow in FLOWS.values() if flow.steps > 1])
def test_what_is_made_again_is_equal_to_the_last_bit(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the same pieces the same operations are done, whether their arrays are kept or made again."""
    term, v, a = random_term(flow)
    s, pieces = flow.tableau.stages, -(-flow.steps // 3)
    monkeypatch.setattr(tape, "CACHE", 3 * 13 * a * s)
    kept, again = term(None), term(a * (3 * 13 * s + s + 4 * (pieces + 1)))
    assert kept.cut.keep and not again.cut.keep and len(kept.cut.parts) == pieces
    assert kept.cut.stages == again.cut.stages
    assert all(map(torch.equal, numbers(kept, v), numbers(again, v)))


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_number_of_pieces_does_not_matter(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outer products of one layer alone go another way through BLAS than batches of them: rounding, no more."""
    term, v, a = random_term(flow)
    whole = numbers(term(None), v)
    pieces = term(refused(flow, a))
    assert len(term(None).cut.parts) == 1 and (len(pieces.cut.parts) > 1 or flow.steps == 1)
    monkeypatch.setattr(tape, "CACHE", 1)
    for other in (pieces, term(None)):
        for x, y in zip(whole, numbers(other, v), strict=True):
            assert float((x - y).norm()) <= 1e-14 * float(x.norm())
    assert torch.equal(pieces.Y, term(None).Y) and torch.equal(pieces.Z, term(None).Z)


@pytest.mark.parametrize("depth", [1, 2, 13, 30])
@pytest.mark.parametrize("keep", [True, False])
def test_derivatives_by_pieces_are_those_of_autograd(depth: int, keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network, in pieces of one layer that are kept, or in those that need the least memory."""
    case = random_case("silu", "logistic", depth)
    u, v = random_u(case, depth)
    coordinates, flow = LayerCoordinates(case.problem().metric, depth), Flow(EULER, depth)
    if keep:
        monkeypatch.setattr(tape, "CACHE", 1)
    energy = Energy(case.problem(), coordinates, flow, None if keep else refused(flow, case.x.nbytes))
    assert_equal_to(energy(u.numpy()), case.energy(depth), u, v)


@pytest.mark.parametrize("how", LIMITS)
def test_derivatives_of_the_limit_by_pieces_are_those_of_autograd(how: str) -> None:
    """Of a flow of high order, whose pieces end where its steps do."""
    case, (basis, flow) = random_case("arctan", "squared", 5), LIMITS[how]
    u, v = small(case.size(basis.size + 1))
    energy = limit(case, basis, flow)
    tight = Energy(energy.problem, energy.coordinates, flow, refused(flow, case.x.nbytes))
    assert_equal_to(tight(u.numpy()), plain_limit(case, basis, flow), u, v)


def test_fixed_weights_by_pieces() -> None:
    """A fixed block is one row that stands for all depths; its derivatives are as many as the others'."""
    for trainable in ("K", "bW"):
        case = random_case("tanh", "softmax", 3, m=2, trainable=trainable)
        u, v = random_u(case, 9)
        flow = Flow(EULER, 9)
        coordinates = LayerCoordinates(case.problem().metric, 9)
        energy = Energy(case.problem(), coordinates, flow, refused(flow, case.x.nbytes))
        assert_equal_to(energy(u.numpy()), case.energy(9), u, v)


# The sweeps


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many stages each kind of sweep has gone through."""
    count: Counter[str] = Counter()

    def watch(kind: str, sweep: Callable[..., Any]) -> None:
        def counted(flow: Flow, *args: Any) -> Any:
            second = kind == "adjoint" and len(args) == 4
            count["second adjoint" if second else kind] += flow.stages
            return sweep(flow, *args)

        monkeypatch.setattr(Flow, kind, counted)

    for kind in ("forward", "tangent", "adjoint"):
        watch(kind, getattr(Flow, kind))
    return count


def test_sweeps_where_everything_is_kept(swept: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One forward and one adjoint sweep, then one tangent and one second adjoint sweep a product."""
    monkeypatch.setattr(tape, "CACHE", 1)
    make, v, _ = random_term(Flow(EULER, 24))
    term = make(None)
    _ = term.value
    assert swept == {"forward": 24}
    _ = term.gradient, term.gradient
    assert swept == {"forward": 24, "adjoint": 24}
    for k in (1, 2, 3):
        term.product(v)
        assert swept == {"forward": 24, "adjoint": 24, "tangent": 24 * k, "second adjoint": 24 * k}


@pytest.mark.parametrize("length", [1, 4, 6])
def test_sweeps_where_pieces_are_made_again(length: int, swept: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice forward for a gradient; twice forward and tangent, once adjoint and second adjoint for a product; the piece
    where a sweep turns round is not made again."""
    n = 24
    make, v, a = random_term(Flow(EULER, n))
    monkeypatch.setattr(tape, "CACHE", length * 13 * a)
    term = make(8 * n * a)
    assert not term.cut.keep and len(term.cut.parts) == n // length
    _ = term.gradient
    assert swept == {"forward": 2 * n - length, "adjoint": n}
    term.product(v)
    seen = Counter(swept)
    term.product(v)
    swept.subtract(seen)
    once = n - length
    assert swept == {"forward": 2 * once, "tangent": n + once, "adjoint": n, "second adjoint": n}


# The memory


class Alive(TorchDispatchMode):
    """The bytes of all tensors made within it that are still alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    @property
    def now(self) -> int:
        self.seen = {k: (ref, size) for k, (ref, size) in self.seen.items() if not ref.expired()}
        return sum(size for _, size in self.seen.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                ref = StorageWeakRef(tensor.untyped_storage())
                self.seen[ref.cdata] = (ref, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, self.now)
        return out


def peak(make: Callable[[float | None], DataTerm], v: Weights, memory_limit: float | None) -> int:
    """The most bytes alive during gradient and products, without the derivatives and what is of the size of outputs."""
    with Alive() as alive:
        term = make(memory_limit)
        results = [term.gradient, term.product(v)]
        term.product(v)
    return alive.peak - sum(theta.nbytes for weights in [*results, results[0]] for theta in weights)


def held(depth: int, points: int) -> tuple[int, int]:
    """Bytes that a data term holds after a gradient and a product, and those of one trajectory."""
    make, v, a = random_term(Flow(EULER, depth), points=points, d=5)
    with Alive() as alive:
        term = make(None)
        assert not any(theta.requires_grad for theta in term.gradient)
        term.product(v)
        return alive.now, depth * a


def test_memory_is_linear_in_depth_and_points() -> None:
    """A few arrays of depth × points × width doubles are kept, nothing of the size of depth² and no autograd tape."""
    base, unit = held(40, 300)
    assert held(80, 300)[0] / base == pytest.approx(2, rel=0.05)
    assert held(40, 600)[0] / base == pytest.approx(2, rel=0.05)
    assert base < 7.5 * unit


@pytest.mark.parametrize(
    "flow", [Flow(EULER, 90), Flow(KUTTA4, 20), Flow(DORMAND_PRINCE8, 8)], ids=lambda flow: f"order{flow.tableau.order}"
)
def test_the_limit_is_kept(flow: Flow) -> None:
    """At every limit, down to the least, and not by being far below it; the outputs are a few states more."""
    make, v, a = random_term(flow, points=400, d=2)
    least = refused(flow, a)
    everything = peak(make, v, None)
    for memory_limit in (least, 3 * least, everything):
        assert peak(make, v, memory_limit) <= memory_limit + 12 * a
    assert peak(make, v, least) > 0.6 * least
    assert 8 * flow.stages * a <= everything and least < everything / 2


def test_the_least_memory_grows_like_the_root_of_the_depth() -> None:
    """min over L of 13 L + 4 n/L is 2 √(52 n) = 14.4 √n, the stages of n steps in the place of layers."""
    for n in (64, 256, 1024, 4096, 16384):
        assert refused(Flow(EULER, n), 1000) / 1000 == pytest.approx(2 * np.sqrt(52 * n), rel=0.05)
        assert refused(Flow(KUTTA4, n), 1000) / 1000 == pytest.approx(2 * np.sqrt(52 * 4 * n), rel=0.05)


def test_a_data_term_goes_with_its_last_reference() -> None:
    """No cycle of references holds its arrays until the collector comes by."""
    make, v, _ = random_term(Flow(EULER, 20))
    numbers(make(None), v)  # torch itself keeps something of its first use
    gc.collect()
    gc.disable()
    try:
        with Alive() as alive:
            make(None).product(v)
            after = alive.now
            term = make(None)
            term.product(v)
            assert alive.now > after + 20_000
            del term
            assert alive.now == after
    finally:
        gc.enable()


# The pieces


def test_pieces_fill_the_cache_and_no_more() -> None:
    """13 arrays of a piece fit into the cache, those of one more layer would not; a layer that is larger is alone."""
    for a in (1000, 10_000, tape.CACHE):
        cut = tape.cut(Flow(EULER, 3000), a)
        sizes = [at.stop - at.start for at in cut.stages]
        assert cut.keep and sum(sizes) == 3000 and len({*sizes[:-1]}) == 1
        assert sizes[0] == 1 or 13 * a * sizes[0] <= tape.CACHE < 13 * a * (sizes[0] + 1)
    assert tape.cut(Flow(EULER, 3000), tape.CACHE).stages[7] == slice(7, 8)


@pytest.mark.parametrize("a", [1000, 100_000])
def test_states_are_kept_in_shorter_pieces_before_they_are_made_again(a: int) -> None:
    """8 n + 5 L + 4 (n/L + 1) arrays and a state, the longest L that fits: to keep is cheaper than to make again."""
    n = 3000
    for length in (1, 2, 7, 100):
        limit = a * (8 * n + 5 * length + 1 + 4 * (1 - (-n // length)))
        cut = tape.cut(Flow(EULER, n), a, limit)
        kept = cut.stages[0].stop
        assert cut.keep and a * (8 * n + 5 * kept + 1 + 4 * (1 - (-n // kept))) <= limit
        assert kept >= min(length, tape.CACHE // (13 * a))
    assert not tape.cut(Flow(EULER, n), a, 8 * a * n).keep


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_least_limit_is_enough_and_one_byte_less_is_not(flow: Flow) -> None:
    """The sentence names the number of bytes that works."""
    make, _, a = random_term(flow)
    least = refused(flow, a)
    assert np.isfinite(make(least).value)
    with pytest.raises(ValueError, match=rf"at least {least} bytes for {flow.steps} steps .* got {least - 1}"):
        make(least - 1)


def test_a_limit_is_a_positive_number() -> None:
    """Before anything is computed."""
    case = Case(torch.zeros(1, 1).double(), torch.zeros(1, 1).double(), "identity", "squared")
    problem = case.problem()
    energy = LayerCoordinates(problem.metric, 2), Flow(EULER, 2)
    for wrong, error in ((0, ValueError), (-1.0, ValueError), (float("inf"), ValueError), ("1GB", TypeError)):
        with pytest.raises(error, match="memory_limit must be"):
            Energy(problem, *energy, memory_limit=wrong)
    u = case.to_u(layers(random_weights(case, 2, 0))).numpy()
    assert Energy(problem, *energy, memory_limit=1e9)(u).value == Energy(problem, *energy)(u).value
    with pytest.raises(ValueError, match="memory_limit must be at least"):
        Energy(problem, *energy, memory_limit=1)(u)
