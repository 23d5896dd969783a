"""The study of activations and losses: its claims are seen, and an error planted in the networks is seen as well."""

from __future__ import annotations

from types import ModuleType

import pandas as pd
import pytest
import torch
from loading import load

from deeplimit import activation, ladder, plot
from deeplimit.coordinates import Coordinates, LayerCoordinates, Metric
from deeplimit.minimum import Status

KINDS = ["T3.31", "T3.32", "T5.31"]


class WithHalfItsFactor(LayerCoordinates):
    """The regulariser with n/2 in place of the n before its differences."""

    def __init__(self, metric: Metric, depth: int, device: str | torch.device = "cpu") -> None:
        Coordinates.__init__(self, metric, depth, depth / 2, device)


def fresh() -> ModuleType:
    return load("activations", LOSSES=["squared"], DEPTHS=[8, 16, 32], STARTS=2)


def table(module: ModuleType, name: str) -> pd.DataFrame:
    axes = [{"activation": name, "loss": "squared", "depth": depth} for depth in module.DEPTHS]
    return pd.DataFrame([point | module.measure(**point) for point in axes])


@pytest.mark.parametrize(("name", "group"), [("tanh", 1), ("sigmoid", 2), ("gcu", 3)])
def test_claims_of_smooth_activations_hold_and_fail_with_half_the_regulariser(
    name: str, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it the networks approach another problem, and their gap to this one settles."""
    sound = fresh()
    found = {claim.id: claim.holds for claim in sound.claims(table(sound, name))}
    assert found == {f"{kind}.{group}": "true" for kind in KINDS}
    monkeypatch.setattr(ladder, "LayerCoordinates", WithHalfItsFactor)
    module = fresh()
    monkeypatch.setattr(module.continuum, "minimise", lambda *_, **__: sound.solve(name, "squared")[1])
    monkeypatch.setattr(module, "problem", sound.problem)
    found = {claim.id: claim.holds for claim in module.claims(table(module, name))}
    assert found == {f"{kind}.{group}": "false" for kind in KINDS}


def test_hypotheses_are_those_that_each_activation_lacks() -> None:
    """sigmoid(0) = 1/2; (z cos z)' is unbounded; relu has a kink; the others meet all."""
    module = fresh()
    found = {name: module.hypotheses(activation.get(name)) for name in module.ACTIVATIONS}
    lacking = {"sigmoid": module.NOT_ZERO, "gcu": module.NOT_LIPSCHITZ, "relu": module.NOT_SMOOTH}
    assert found == {name: lacking.get(name, module.MET) for name in found}


def kinked(order: float) -> pd.DataFrame:
    """Rows as relu has them: no constant, no weights to compare, and a limit with an error bar of 3e-6."""
    depths = [16, 32, 64, 128]
    gaps = [0.1 * (n / 16) ** -order for n in depths]
    columns = {"activation": "relu", "loss": "squared", "hypotheses": "not smooth", "status": str(Status.KINKS)}
    rows = [{"depth": n, "value_gap": gap, "gap_error": 3e-6} for n, gap in zip(depths, gaps, strict=True)]
    nothing = {"predicted_gap": float("nan"), "control_l2": 0.1, "control_error": float("nan")}
    return pd.DataFrame([row | columns | nothing | {"limit_status": str(Status.KINKS)} for row in rows])


def test_claim_about_relu_rests_on_values_alone_and_fails_for_another_order() -> None:
    """Stationary up to kinks is enough for it; an order of 0.9 or 2 is not one."""
    module = fresh()
    assert [(c.id, c.holds) for c in module.claims(kinked(1.0))] == [("T3.33", "true")]
    assert [module.claims(kinked(order))[0].holds for order in (0.9, 2.0)] == ["false", "false"]


@pytest.mark.slow
def test_claim_about_relu_holds_and_fails_with_half_the_regulariser(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the smooth ones, with a limit of some 25 seconds."""
    sound = fresh()
    assert [claim.holds for claim in sound.claims(table(sound, "relu"))] == ["true"]
    monkeypatch.setattr(ladder, "LayerCoordinates", WithHalfItsFactor)
    module = fresh()
    monkeypatch.setattr(module.continuum, "minimise", lambda *_, **__: sound.solve("relu", "squared")[1])
    assert [claim.holds for claim in module.claims(table(module, "relu"))] == ["false"]


def test_a_row_that_did_not_converge_leaves_only_its_own_claims_undecided() -> None:
    """It stays in the table."""
    module = fresh()
    smooth = kinked(1.0).assign(activation="tanh", hypotheses=module.MET, status=str(Status.CONVERGED))
    smooth = smooth.assign(limit_status=str(Status.CONVERGED), control_l2=smooth["value_gap"], control_error=1e-9)
    rows = pd.concat([smooth.assign(predicted_gap=smooth["value_gap"]), kinked(1.0)], ignore_index=True)
    expected = {f"{kind}.1": "true" for kind in KINDS} | {"T3.33": "true"}
    assert {claim.id: claim.holds for claim in module.claims(rows)} == expected
    rows.loc[0, "status"], rows.loc[0, "hypotheses"] = str(Status.STALLED), None  # which failed rows do not know
    expected |= {f"{kind}.1": "undecided" for kind in KINDS}
    assert {claim.id: claim.holds for claim in module.claims(rows)} == expected


def test_figure_of_the_orders_has_a_dot_for_every_row_and_the_predicted_level() -> None:
    """Two panels, in each one set of dots per loss and the line of the prediction; rows without a number have none."""
    rows = [{"name": n, "loss": k, "a": 1.0, "b": 1.2} for n in ("tanh", "relu") for k in ("squared", "logistic")]
    table = pd.DataFrame(rows)
    table.loc[2, "b"] = float("nan")
    figure = plot.dots(table, x="name", y=["a", "b"], hue="loss", level=1, within=0.05)
    dots = [[line.get_ydata() for line in ax.get_lines() if line.get_linestyle() == "None"] for ax in figure.axes]
    assert [[sum(y == y) for y in panel] for panel in dots] == [[2, 2], [1, 2]]
    assert all([1, 1] in [list(line.get_ydata()) for line in ax.get_lines()] for ax in figure.axes)
