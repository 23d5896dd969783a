"""The claims of the study of rough stability are true, and false with an error in what they rest on."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load

from deeplimit import rough
from deeplimit.rough import difference, stability
from deeplimit.rough.difference import Field

SMALL: dict[str, Any] = {
    "DEPTHS": [64, 256],
    "SEEDS": 4,
    "STEPS": 2**13,
    "BLOCKS": [64, 128, 256],
    "BLOCK_SEEDS": 3,
    "BLOCK_HURSTS": [0.5],
    "RADII": [1 / 4, 1 / 6, 1 / 8],
    "GRIDS": [8, 64],
    "LIFT_SEEDS": 4,
}
CLAIMS = [*(f"B3.{k}" for k in range(1, 10)), *(f"B4.{k}" for k in range(1, 6))]


@pytest.fixture
def study() -> ModuleType:
    """The study at small sizes, nothing measured yet."""
    return load("rough_stability", **SMALL)


def measured(study: ModuleType, *parts: str) -> pd.DataFrame:
    """The rows of some parts, by default all."""
    rows = [row for row, (part, _, _, _) in enumerate(study.points()) if not parts or part in parts]
    return pd.DataFrame([study.measure(row) for row in rows])


def test_claims_hold(study: ModuleType) -> None:
    """All of them; a row that failed leaves them undecided."""
    table = measured(study)
    assert {claim.id: claim.holds for claim in study.claims(table)} == dict.fromkeys(CLAIMS, "true")
    table.loc[1, "status"] = "failed: ValueError: planted"
    assert {claim.holds for claim in study.claims(table)} == {"undecided"}


def test_a_wrong_second_level_is_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """g with its two increments exchanged: the remainder has the order 2/p, and loops turn the other way."""
    right = Field.second
    monkeypatch.setattr(Field, "second", lambda self, y: right(self, y).transpose(0, 2, 1))
    remainders, loops = measured(study, "remainder"), measured(study, "loop")
    assert [claim.holds for claim in study.orders(remainders, ())] == ["false", "true"]
    assert [claim.holds for claim in study.areas(loops, ())] == ["false", "false"]


def test_remainders_of_another_order_are_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A term added to both that falls with the length of a block."""
    right = difference.remainders

    def wrong(field: Field, path: np.ndarray, states: np.ndarray, length: int) -> Any:
        return [part + 0.01 / np.sqrt(length) for part in right(field, path, states, length)]

    monkeypatch.setattr(difference, "remainders", wrong)
    assert [claim.holds for claim in study.orders(measured(study, "remainder"), ())] == ["false", "false"]


def test_bounds_with_too_small_constants_are_violated(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Lipschitz constant of tanh of 1/20, and no bound on its size: gaps exceed their bounds."""
    gains = measured(study, "amplification")

    def wrong(field: Field) -> Any:
        assert field.bounds is not None
        return replace(field.bounds, size=0.01, first=0.05, level2=0.0)

    monkeypatch.setattr(study, "known", wrong)
    found = {claim.id: claim.holds for claim in study.stable(gains, measured(study, "bound"), ())}
    assert (found["B3.3"], found["B3.4"]) == ("false", "false")


def test_weights_of_another_scale_are_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that keep their size as depth grows: the amplification grows, and Gronwall's exponent like n."""
    right = study.coarsened

    def wrong(increments: np.ndarray, factor: int) -> np.ndarray:
        found: np.ndarray = right(increments, factor)
        return found * np.sqrt(len(found) / 64)

    monkeypatch.setattr(study, "coarsened", wrong)
    gains = measured(study, "amplification")
    rows = pd.DataFrame(
        [
            {"hurst": 0.5, "depth": n, "scale": s, "observed": 0.0, "bound": 1.0, "gronwall": n, "gap": 0.0}
            for n in (64, 256)
            for s in study.BOUND_SCALES
        ]
    )
    found = {claim.id: claim.holds for claim in study.stable(gains, rows, ())}
    assert (found["B3.1"], found["B3.2"]) == ("false", "false")


def test_a_bound_by_total_variation_alone_grows(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """No interval is ever small: the bound is Gronwall's, a power of n."""
    monkeypatch.setattr(stability, "rough_gain", lambda *arguments: None)
    rows = measured(study, "bound")
    gains = pd.DataFrame({"depth": [64, 256], "observed": [0.0, 0.0], "gronwall": [1.0, 2.0]})
    found = {claim.id: claim.holds for claim in study.stable(gains, rows, ())}
    assert (found["B3.3"], found["B3.5"]) == ("true", "false")


def test_a_bound_above_that_of_gronwall_is_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """An amplification a fifth too large: more than single steps give."""
    right = stability.bound

    def wrong(*arguments: Any, **options: Any) -> stability.Stability:
        found = right(*arguments, **options)
        return replace(found, log_amplification=1.2 * found.log_amplification)

    monkeypatch.setattr(stability, "bound", wrong)
    found = {claim.id: claim.holds for claim in study.depths(measured(study, "bound"), ())}
    assert (found["B3.5"], found["B3.8"]) == ("true", "false")


def test_a_bound_that_does_not_grow_at_full_size_is_found(study: ModuleType) -> None:
    """The bound of the shallowest network for all: a claim that it is void would be false."""
    rows = measured(study, "bound")
    rows["bound"] = rows.groupby(["hurst", "scale"])["bound"].transform("first")
    found = {claim.id: claim.holds for claim in study.depths(rows, ())}
    assert found == {"B3.5": "true", "B3.8": "true", "B3.9": "false"}


def test_a_distance_without_the_second_level_is_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """It falls with the loops, though their area stays; lifts have the rate of the first level all the same."""
    monkeypatch.setattr(rough, "rough_distance", lambda w, v, p: rough.p_variation(w - v, p)[0])
    found = study.levels(measured(study, "lift"), measured(study, "area"), ())
    assert [claim.holds for claim in found] == ["true", "true", "false"]


def test_distances_of_another_power_are_found(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root forgotten, ‖·‖_p^p in place of ‖·‖_p: other rates of both levels."""
    right, whole = rough.p_variation, rough.rough_distance
    monkeypatch.setattr(rough, "p_variation", lambda w, p: (right(w, p)[0] ** p, right(w, p)[1]))
    monkeypatch.setattr(rough, "rough_distance", lambda w, v, p: 9 * whole(w, v, p) ** p)
    found = study.levels(measured(study, "lift"), measured(study, "area"), ())
    assert [claim.holds for claim in found] == ["false", "false", "true"]


def test_rows_show_the_partition_and_the_scale(study: ModuleType) -> None:
    """At full size and H = ½ the network of 64 layers has single steps alone; small weights have intervals."""
    rows = measured(study, "bound").set_index(["hurst", "scale", "depth"])
    assert tuple(rows.loc[(0.5, 1.0, 64), ["intervals", "steps"]]) == (0, 64)
    assert rows.loc[(0.5, 0.1, 64), "intervals"] > 0 and rows.loc[(0.5, 0.1, 64), "steps"] < 64


def test_loops_stay_small(study: ModuleType) -> None:
    """In the sup norm 2ε, while their area is π to the polygons' defect; ρ_p does not tend to 0."""
    rows = measured(study, "loop")
    assert np.allclose(rows["sup"], 2 * rows["radius"], rtol=0.02)
    assert np.allclose(rows["area"], np.pi, rtol=0.01)
    w = study.area_loop(1 / 4, 16)
    assert rough.rough_distance(w, 0 * w, 2.5) > np.pi
