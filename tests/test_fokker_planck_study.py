"""The claims on networks with noise are true, and false with an error in what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import load
from planting import redone, with_failure

from deeplimit.meanfield import diffusion, fokker_planck, steady_laws
from deeplimit.meanfield.diffusion import Diffusion
from deeplimit.meanfield.fokker_planck import ChangCooper
from deeplimit.study import read

SMALL: dict[str, Any] = {
    "CELLS": [100, 200, 400],
    "DEPTHS": [16, 32, 64],
    "PARTICLES": [500, 8000],
    "REPLICAS": 6,
    "STEPS": 800,
    "ENTROPY_CELLS": 200,
    "REACHES": [32, 64],
}
CLAIMS = {
    "at rest": {f"M5.{k}" for k in range(1, 5)},
    "entropy": {"M5.5", "M5.6"},
    "depth": {"M5.7", "M5.8"},
    "particles": {"M5.9", "M5.10", "M5.11"},
    "no rest": {"M5.12", "M5.13"},
}


def failing(parts: list[str]) -> set[str]:
    """The claims on some parts that are false, measured anew; all others are undecided for want of rows."""
    study = load("fokker_planck", **SMALL)
    points = list(study.points())
    table = pd.DataFrame([{"row": row, **study.measure(row)} for row in range(len(points)) if points[row][0] in parts])
    why: dict[str, tuple[str, ...]] = dict.fromkeys(CLAIMS, ())
    found = [*study.claims_rest(table, why)] if "at rest" in parts else []
    found += study.claims_time(with_nothing(table, parts, ["entropy", "depth"]), why)
    found += study.claims_particles(with_nothing(table, parts, ["particles", "no rest"]), why)
    wanted = set().union(*(CLAIMS[part] for part in parts))
    assert wanted <= {claim.id for claim in found if claim.holds != "undecided"}
    return {claim.id for claim in found if claim.id in wanted and claim.holds == "false"}


def with_nothing(table: pd.DataFrame, parts: list[str], needed: list[str]) -> pd.DataFrame:
    """The table, with rows that hold no number for parts that were not measured."""
    study = load("fokker_planck", **SMALL)
    places = pd.DataFrame(list(study.points()), columns=["part", "family", "size", "replica"])
    absent = places[places["part"].isin([part for part in needed if part not in parts])]
    columns = ("gap", "second", "predicted", "predicted_second", "error", "error_second")
    empty = absent.assign(**dict.fromkeys((*columns, "histogram", "predicted_histogram"), 1.0))
    return pd.concat([table, empty.assign(error=np.nan, error_second=np.nan)])


def scaled(name: str, factor: float) -> Callable[[pytest.MonkeyPatch], None]:
    """A method of the diffusion that is too large."""
    right = getattr(Diffusion, name)
    return lambda patch: patch.setattr(Diffusion, name, lambda self, x: factor * right(self, x))


def upside_down(patch: pytest.MonkeyPatch) -> None:
    """β(−s) for β(s): the flux has the sign of the drift wrong."""
    right = fokker_planck.bernoulli
    patch.setattr(fokker_planck, "bernoulli", lambda s: right(-s))


def left_of_the_edge(patch: pytest.MonkeyPatch) -> None:
    """B/C at the left centre instead of at the edge."""
    right = ChangCooper.edges.fget  # type: ignore[attr-defined]
    patch.setattr(ChangCooper, "edges", property(lambda self: right(self) - self.width / 2))


def growing(patch: pytest.MonkeyPatch) -> None:
    """A flux that does not leave one cell for the next but appears in both: mass grows by 1 % in a unit of time."""
    right = ChangCooper.generator.func  # type: ignore[attr-defined]
    gain = np.array([[0.0], [0.01], [0.0]])
    patch.setattr(ChangCooper, "generator", property(lambda self: right(self) + gain))


def other_noise(patch: pytest.MonkeyPatch) -> None:
    """Particles with a noise 1.1 ν."""
    right = diffusion.simulate

    def louder(d: Diffusion, *arguments: Any, **options: Any) -> np.ndarray:
        return right(Diffusion(d.activation, d.w, d.b, 1.1 * d.noise, d.shape), *arguments, **options)

    patch.setattr(diffusion, "simulate", louder)


def small_noise(patch: pytest.MonkeyPatch) -> None:
    """Densities of layers with noise νh^0.6 in place of νh^0.5."""
    right = diffusion.layers

    def quieter(d: Diffusion, x: Any, density: Any, time: float, depth: int) -> np.ndarray:
        weaker = Diffusion(d.activation, d.w, d.b, d.noise * (time / depth) ** 0.1, d.shape)
        return right(weaker, np.asarray(x), density, time, depth)

    patch.setattr(diffusion, "layers", quieter)


def half_potential(patch: pytest.MonkeyPatch) -> None:
    """∫σ twice too small in every formula, whichever the law."""
    right = steady_laws.steady_law
    patch.setattr(
        steady_laws, "steady_law", lambda d: right(Diffusion(d.activation, d.w / 2, d.b / 2, d.noise, d.shape))
    )


def attracting(patch: pytest.MonkeyPatch) -> None:
    """An activation that has a law at rest in the place of those that have none."""
    right = Diffusion.__post_init__
    patch.setattr(
        Diffusion,
        "__post_init__",
        lambda self: (
            object.__setattr__(self, "activation", "tanh" if self.activation == "sigmoid" else self.activation),
            right(self),
        )[1],
    )


PLANTED: list[tuple[list[str], Callable[[pytest.MonkeyPatch], None], set[str]]] = [
    (["at rest"], upside_down, {"M5.1"}),
    (["at rest"], left_of_the_edge, {"M5.3", "M5.4"}),
    (["at rest"], scaled("spread_slope", 0.5), {"M5.3"}),
    (["at rest"], half_potential, {"M5.1", "M5.2", "M5.3", "M5.4"}),
    (["entropy"], growing, {"M5.5", "M5.6"}),
    (["entropy"], scaled("spread", 1.02), {"M5.6"}),
    (["depth"], small_noise, {"M5.7", "M5.8"}),
    (["particles"], other_noise, {"M5.9", "M5.10", "M5.11"}),
    (["no rest"], attracting, {"M5.12", "M5.13"}),
]


def test_claims_hold() -> None:
    """At small sizes, each decided."""
    assert failing(list(CLAIMS)) == set()


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: getattr(case[1], "__name__", ""))
def test_a_planted_error_makes_claims_false(
    case: tuple[list[str], Callable[[pytest.MonkeyPatch], None], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """These and no others."""
    parts, plant, ids = case
    plant(monkeypatch)
    assert failing(parts) == ids


def test_every_claim_can_fail() -> None:
    """Between them the planted errors reach all."""
    assert set().union(*(ids for _, _, ids in PLANTED)) == set().union(*CLAIMS.values())


def test_committed_rows_make_the_claims_true(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Main on the committed table, figures included; a row that failed leaves its part's claims undecided."""
    found, figures = redone("fokker_planck", tmp_path, monkeypatch)
    assert found == dict.fromkeys(sorted(set().union(*CLAIMS.values()), key=lambda name: float(name[3:])), "true")
    assert figures == [f"fokker_planck{name}.png" for name in ("", "_cells", "_depth", "_entropy", "_particles")]
    study: ModuleType = load("fokker_planck")
    table = read(study.study.RESULTS.absolute() / "fokker_planck")
    first = int(table.index[table["part"] == "depth"][0])
    broken = with_failure(table, first, "row")
    assert {claim.id for claim in study.claims(broken) if claim.holds == "undecided"} == CLAIMS["depth"]
