"""Compiled sweeps: the same numbers as the sweeps layer by layer, and chosen as asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from deeplimit import Problem, data, discrete, kernels
from deeplimit.activation import ACTIVATIONS, Activation
from deeplimit.sweep import DORMAND_PRINCE8, EULER, HEUN, Flow

FLOWS = {
    "euler": Flow(EULER, 9),
    "one step": Flow(EULER, 1),
    "graded euler": Flow(EULER, 5, graded=True),
    "heun": Flow(HEUN, 4),
    "order 8": Flow(DORMAND_PRINCE8, 3, graded=True),
    "a part": Flow(DORMAND_PRINCE8, 6, graded=True).part(2, 4),
}
flows = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
shapes = pytest.mark.parametrize(("points", "width"), [(1, 1), (7, 2), (4, 3), (6, 5)])


@pytest.fixture(autouse=True)
def unchosen() -> Iterator[None]:
    """The choice of one test is not that of the next."""
    before = kernels._choice
    yield
    kernels._choice = before


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same_sweeps(sweep: object) -> None:
    """What a sweep gives with compiled loops is what it gives without, to rounding of the largest number."""
    results = []
    for choice in ("numba", "torch"):
        kernels.use(choice)
        results.append(sweep())  # type: ignore[operator]
    for compiled, plain in zip(*results, strict=True):
        assert compiled.shape == plain.shape
        assert float((compiled - plain).abs().max()) <= 1e-13 * float(plain.abs().max())


@flows
@shapes
def test_linear_sweeps_are_the_same_compiled(flow: Flow, points: int, width: int) -> None:
    """Tangent from zero and from a start, adjoint with and without sources; the starts and ends included."""
    T = flow.stages
    D, K, source = (
        normal(T, points, width) / flow.steps,
        normal(T, width, width, seed=1),
        normal(T, points, width, seed=2),
    )
    start, e, f = normal(points, width, seed=3), normal(T, points, width, seed=4), normal(T, points, width, seed=5)
    assert_same_sweeps(lambda: flow.tangent(D, K, source))
    assert_same_sweeps(lambda: flow.tangent(D, K, source, start))
    assert_same_sweeps(lambda: flow.adjoint(D, K, start))
    assert_same_sweeps(lambda: flow.adjoint(D, K, start, (e, f)))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("flow", [FLOWS["euler"], FLOWS["order 8"]], ids=["euler", "order 8"])
def test_forward_sweeps_are_the_same_compiled(name: str, flow: Flow) -> None:
    """For every named σ."""
    T = flow.stages
    for points, width in [(7, 2), (4, 5)]:
        x, K, b = normal(points, width), normal(T, width, width, seed=1) / 8, normal(T, width, seed=2)
        assert_same_sweeps(lambda: flow.forward(x, K, b, ACTIVATIONS[name]))  # noqa: B023


@flows
@shapes
def test_the_forward_sweep_of_tanh_is_the_same_compiled(flow: Flow, points: int, width: int) -> None:
    """For every method and shape."""
    x, K, b = normal(points, width), normal(flow.stages, width, width, seed=1), normal(flow.stages, width, seed=2)
    assert_same_sweeps(lambda: flow.forward(x, K, b, ACTIVATIONS["tanh"]))


def test_an_activation_of_ones_own_is_swept_with_and_without_its_scalar() -> None:
    """Its scalar is compiled as it stands, exponentials of positive numbers included; without one torch sweeps."""
    tanh = ACTIVATIONS["tanh"]
    own = replace(tanh, value=lambda z: torch.exp(z) - 1, first=torch.exp, second=torch.exp, scalar=None, arrays=None)
    flow, x, K, b = FLOWS["heun"], normal(3, 2), normal(8, 2, 2, seed=1) / 4, normal(8, 2, seed=2)
    for sigma in (own, replace(own, scalar=own_scalar)):
        assert_same_sweeps(lambda: flow.forward(x, K, b, sigma))  # noqa: B023


def own_scalar(z: float) -> float:
    return np.exp(z) - 1.0


ARGUMENTS = [s * m * 10.0**k for s in (-1, 1) for k in range(-12, 3) for m in (1.0, 2.7, 6.1)]


@pytest.mark.parametrize("compiled", [False, True])
def test_tanh_is_accurate_to_two_units_in_the_last_place(compiled: bool) -> None:
    """Relative to its value, small arguments and the approach to 1 included, against mpmath."""
    values = sigma_of(ACTIVATIONS["tanh"], ARGUMENTS, compiled)
    with mpmath.workdps(40):
        for z, value in zip(ARGUMENTS, values, strict=True):
            exact = mpmath.tanh(mpmath.mpf(z))
            assert abs(mpmath.mpf(value) - exact) <= 4.5e-16 * abs(exact), z


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_scalars_are_the_activations(name: str, compiled: bool) -> None:
    """σ of one number is σ of a tensor to rounding, infinite and undefined arguments included."""
    activation = ACTIVATIONS[name]
    exact = activation.value(torch.tensor(ARGUMENTS, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(sigma_of(activation, ARGUMENTS, compiled), exact, rtol=4e-16, atol=4e-16)
    if name not in ("gcu", "silu"):
        ends = [-np.inf, np.inf, np.nan]
        exact = activation.value(torch.tensor(ends, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(sigma_of(activation, ends, compiled), exact, atol=1e-300)


def sigma_of(activation: Activation, z: list[float], compiled: bool) -> list[float]:
    """σ one number at a time in Python, or by one compiled layer with K = 0, b = z, h = 1."""
    assert activation.scalar is not None
    if not compiled:
        return [activation.scalar(value) for value in z]
    kernels.use("numba")
    b = torch.tensor([z], dtype=torch.float64)
    Y, _ = Flow(EULER, 1).forward(0 * normal(*b.shape), 0 * normal(1, len(z), len(z)), b, activation)
    return Y[1, 0].tolist()


def test_tanh_of_arrays_is_that_of_tensors() -> None:
    """σ, σ' and σ'' of NumPy to rounding, into an array or not."""
    tanh, z = ACTIVATIONS["tanh"], np.array(ARGUMENTS)
    assert tanh.arrays is not None
    for array, original in zip(tanh.arrays, (tanh.value, tanh.first, tanh.second), strict=True):
        out, exact = np.empty_like(z), original(torch.as_tensor(z)).numpy()
        with np.errstate(under="ignore"):
            for result in (array(z), array(z, out), out):
                np.testing.assert_allclose(result, exact, rtol=5e-15, atol=4e-16)
    assert float(tanh.arrays[1](np.array([1000.0]))[0]) == 0


# The choice


def test_minimisers_are_the_same_compiled() -> None:
    """From one start, both ways lead to one minimum, in as many products give or take rounding."""
    problem = Problem(data.moons(20), alpha=0.01)
    found = []
    for choice in ("numba", "torch"):
        kernels.use(choice)
        found.append(discrete.minimise(problem, 8, seed=3))
    assert found[0].value == pytest.approx(found[1].value, rel=1e-12)
    torch.testing.assert_close(found[0].control.K, found[1].control.K, rtol=0, atol=1e-7)


def test_many_points_and_wide_layers_are_left_to_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless asked otherwise."""
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    kernels.use("auto")
    assert kernels.pay(60, 2) and kernels.pay(6, 2) and not kernels.pay(1797, 64)
    kernels.use("numba")
    assert kernels.pay(1797, 64)
    kernels.use("torch")
    assert not kernels.pay(6, 2)


def test_a_choice_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names where it came from."""
    with pytest.raises(ValueError, match="must be one of auto, numba, torch, got 'fortran'"):
        kernels.use("fortran")
    kernels._choice = None
    monkeypatch.setenv(kernels.VARIABLE, "C")
    with pytest.raises(ValueError, match="DEEPLIMIT_KERNELS must be one of auto, numba, torch, got 'C'"):
        kernels.pay(6, 2)
    monkeypatch.setenv(kernels.VARIABLE, "torch")
    assert kernels.wanted() == "torch"


WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "numba":
            raise ModuleNotFoundError("No module named 'numba'")
sys.meta_path.insert(0, Blocked())
"""
GRADIENT = """
import torch
from deeplimit import Problem, data, network
problem = Problem(data.moons(20), alpha=0.01)
print(float(network.gradient(problem, problem.metric.draw(1).sample(8)).K.sum()))
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != kernels.VARIABLE}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True)


def test_without_numba_everything_works_and_asking_for_it_is_one_sentence() -> None:
    """In a process in which numba cannot be imported."""
    with_, without = run(GRADIENT), run(WITHOUT + GRADIENT)
    assert without.returncode == 0, without.stderr
    assert float(without.stdout) == pytest.approx(float(with_.stdout), rel=1e-12)
    asked = run(WITHOUT + GRADIENT, DEEPLIMIT_KERNELS="numba")
    last = asked.stderr.strip().splitlines()[-1]
    assert last.endswith("DEEPLIMIT_KERNELS cannot be 'numba': install the extra, pip install 'deeplimit[speed]'")


def test_a_sweep_that_needs_no_compiled_loop_loads_no_numba() -> None:
    """Importing it takes longer than many a study."""
    code = GRADIENT + "\nimport sys\nassert 'numba' not in sys.modules"
    assert run(code, DEEPLIMIT_KERNELS="torch").returncode == 0
    assert run(code, DEEPLIMIT_KERNELS="numba").returncode != 0


def test_compiled_loops_are_kept_for_later_processes_where_that_can_be_done(tmp_path: Path) -> None:
    """A second process compiles nothing; a folder that cannot be written is no error."""
    hits = GRADIENT + (
        "\nfrom deeplimit import activation, kernels"
        "\nloops = kernels.adjoint(2), kernels.forward(activation.get('tanh').scalar, 2)"
        "\nprint(sum(sum(loop.stats.cache_hits.values()) for loop in loops))"
    )
    folder = {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "DEEPLIMIT_KERNELS": "numba"}
    assert [run(hits, **folder).stdout.split()[-1] for _ in range(2)] == ["0", "2"]
    (tmp_path / "file").write_text("")
    nowhere = {"NUMBA_CACHE_DIR": str(tmp_path / "file"), "DEEPLIMIT_KERNELS": "numba"}
    result = run(hits, **nowhere)
    assert result.returncode == 0, result.stderr
