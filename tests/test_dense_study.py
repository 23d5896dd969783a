"""The claims about densely connected networks: true as they are, and false when the code is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load

from deeplimit import Data, Problem, dense, plot, study, triangle, volterra
from deeplimit.claims import from_records

POINTS = torch.tensor([[-1.0, -0.5], [0.2, 1.0], [1.0, 0.3]], dtype=torch.float64)
PROBLEM = Problem(Data(POINTS[:, :1], POINTS[:, 1:]), loss="squared", alpha=0.2)
COMMITTED = Path(__file__).parent.parent / "results" / "dense"


def small() -> ModuleType:
    """The study at small depths, on a problem whose gaps are in the asymptotic range there."""
    return load("dense", PROBLEMS={"line": PROBLEM}, DEPTHS=[4, 8, 16], STARTS=1, DEGREES=[8, 12])


def measured(module: ModuleType, what: str) -> pd.DataFrame:
    """The rows of the forward example, or the others."""
    chosen = [row for row in module.rows() if row.startswith(module.EXAMPLE) == (what == "forward")]
    return pd.DataFrame([module.measure(row) for row in chosen])


def verdicts(found: list[Any]) -> dict[str, str]:
    return {claim.id: claim.holds for claim in found}


@pytest.fixture(scope="module")
def solved() -> ModuleType:
    """The small study with its minima found."""
    module = small()
    module.solve("line")
    return module


def test_every_claim_is_true_of_the_code_as_it_is(solved: ModuleType) -> None:
    """At small depths too, with the tolerances of the study."""
    table = pd.concat([measured(solved, "forward"), measured(solved, "minima")])
    found = verdicts(solved.claims(table))
    assert found == {f"D1.{k}": "true" for k in range(1, 10)}


def transposed(depth: int, nodes: Callable[[int], Any] = dense.nodes) -> tuple[np.ndarray, np.ndarray]:
    t, s = nodes(depth)
    return s, t


def another_step(x: Any, K: Any, b: Any, sigma: Any, states: Callable[..., Any] = dense.states) -> Any:
    """The factor 1/n replaced by 1/(n − ½)."""
    depth = dense.depth_of(len(K))
    return states(x, K, b, lambda z: sigma(z) * depth / (depth - 0.5))


def wrong_gauss(points: int, gauss: Callable[[int], Any] = triangle.gauss) -> tuple[np.ndarray, np.ndarray]:
    """Weights that do not quite sum to 1."""
    x, w = gauss(points)
    return x, 1.0000001 * w


FORWARD_ERRORS: list[tuple[Any, str, Any, set[str]]] = [
    (dense, "nodes", transposed, {"D1.1", "D1.2", "D1.3", "D1.8", "D1.9"}),
    (dense, "states", another_step, {"D1.3", "D1.8", "D1.9"}),
    (volterra, "gauss", wrong_gauss, {"D1.2"}),
]


@pytest.mark.parametrize(
    ("where", "name", "wrong", "false"), FORWARD_ERRORS, ids=["a transposed state", "another step", "wrong weights"]
)
def test_an_error_in_the_states_makes_forward_claims_false(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, wrong: Any, false: set[str]
) -> None:
    """Kernels at transposed points, another step, a wrong quadrature: each is seen by the claims that it concerns."""
    monkeypatch.setattr(where, name, wrong)
    module = small()
    found = verdicts(module.forward_claims(measured(module, "forward")))
    assert false <= {key for key, verdict in found.items() if verdict == "false"}


def test_a_wrong_sign_in_the_corrector_makes_both_constants_false(
    monkeypatch: pytest.MonkeyPatch, solved: ModuleType
) -> None:
    """e(1) and e₁ come from one linear Volterra equation."""
    right = volterra._corrector
    monkeypatch.setattr(volterra, "_corrector", lambda *arguments: -right(*arguments))
    assert verdicts(solved.forward_claims(measured(solved, "forward")))["D1.9"] == "false"
    assert verdicts(solved.minima_claims(measured(solved, "minima")))["D1.6"] == "false"


def test_without_the_sides_of_the_triangle_the_constant_is_wrong(
    monkeypatch: pytest.MonkeyPatch, solved: ModuleType
) -> None:
    """The regulariser's part of e₁, which residual networks do not have, is needed."""
    monkeypatch.setattr(volterra, "_regulariser_constant", lambda *arguments: 0.0)
    assert verdicts(solved.minima_claims(measured(solved, "minima")))["D1.6"] == "false"


def test_a_kernel_that_repeats_the_wrong_index_is_no_residual_network(
    monkeypatch: pytest.MonkeyPatch, solved: ModuleType
) -> None:
    """K_ij = K_{i−1} in place of K_j."""

    def wrong(layers: Any) -> dense.Kernels:
        i, _ = dense.pairs(layers.depth)
        return dense.Kernels(layers.K[i - 1], layers.b[i - 1], layers.W, layers.c)

    monkeypatch.setattr(dense.Kernels, "repeat", wrong)
    assert verdicts(solved.minima_claims(measured(solved, "minima")))["D1.7"] == "false"


def test_another_power_of_n_in_the_regulariser_makes_the_orders_false(monkeypatch: pytest.MonkeyPatch) -> None:
    """With n in front of the differences, as in one dimension, the minima tend to those of another problem."""
    right = dense.stiffness
    monkeypatch.setattr(dense, "stiffness", lambda depth, tau: depth * right(depth, tau))
    module = small()
    found = verdicts(module.minima_claims(measured(module, "minima")))
    assert found["D1.4"] == found["D1.5"] == found["D1.6"] == "false"


def test_a_row_that_did_not_converge_makes_the_claims_undecided(solved: ModuleType) -> None:
    """A verdict rests on every row."""
    table = measured(solved, "minima")
    table.loc[1, "status"] = "not converged: stalled"
    found = verdicts(solved.minima_claims(table))
    assert found["D1.4"] == found["D1.5"] == found["D1.6"] == "undecided"


def test_a_row_that_failed_makes_every_claim_undecided(solved: ModuleType) -> None:
    """It has a status alone, so that it could belong to any part, and its numbers are not passed over."""
    table = pd.concat([measured(solved, "forward"), measured(solved, "minima")], ignore_index=True)
    table.loc[6] = np.nan
    table.loc[6, "status"] = "failed: ValueError: planted"
    assert set(verdicts(solved.claims(table)).values()) == {"undecided"}


def test_the_study_writes_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Table, record, and two figures, one with a table of its own."""
    sizes = {"FORWARD": [4, 8, 16], "DEPTHS": [2, 4, 8], "STARTS": 1, "DEGREES": [4, 6], "DRAWN": [2, 4]}
    module = load("dense", PROBLEMS={"line": PROBLEM}, **sizes)
    monkeypatch.setattr(module, "claims", lambda table: [])
    module.main(str(tmp_path / "dense"))
    assert sorted(path.name for path in tmp_path.glob("dense*")) == [
        "dense.csv",
        "dense.json",
        "dense.png",
        "dense_kernels.csv",
        "dense_kernels.png",
    ]
    table = study.read(tmp_path / "dense")
    assert table["status"].str.startswith("converged").all()


def test_the_figure_of_kernels_leaves_the_upper_half_empty() -> None:
    """A network of depth 2 has three pairs: three squares of a panel, below the diagonal."""
    table = pd.DataFrame({"depth": "2", "i": [1, 2, 2], "j": [0, 0, 1], "weight": [1.0, 2.0, 3.0]})
    image: Any = plot.kernels(table).axes[0].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(image, -1), [[1, 2], [-1, 3]])


def test_the_committed_claims_are_true() -> None:
    """They are formed anew from the committed record, whose rows are all certified."""
    table = study.read(COMMITTED)
    assert table["status"].str.startswith("converged").all()
    module = load("dense")
    assert verdicts(module.claims(table)) == {f"D1.{k}": "true" for k in range(1, 10)}
    record = json.loads(COMMITTED.with_suffix(".json").read_text(encoding="utf-8"))
    assert all(claim.holds == "true" for claim in from_records(record["claims"]))
