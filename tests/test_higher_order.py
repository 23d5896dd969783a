"""The study of higher-order networks: what it claims is seen, and an error planted in a network is seen as well."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from loading import load

from deeplimit import variants
from deeplimit.claims import Claim
from deeplimit.control import Hats, Quadratics
from deeplimit.sweep import HEUN

SIZES: dict[str, Any] = {"DATA": ["scalar"], "REFINEMENTS": 3, "STARTS": 2}
CLAIMS = {
    "heun": ["R5.1", "R5.6.1", "R5.7.1", "R5.8.1"],
    "rk4": ["R5.2", "R5.7.2", "R5.8.2"],
    "rk4_half_grid": ["R5.3", "R5.6.2"],
    "rk4_averaged": ["R5.4", "R5.6.3"],
    "heun_shared": ["R5.5", "R5.6.4"],
}
PLANTED = {
    "heun": {"tableau": replace(HEUN, c=0 * HEUN.c)},  # both stages take the weights of the first
    "rk4": {"basis": lambda n: Hats(2 * n)},
    "rk4_half_grid": {"basis": lambda n: Quadratics(2 * n)},
    "rk4_averaged": {"basis": lambda n: Quadratics(2 * n)},
    "heun_shared": {"basis": Hats},
}


@pytest.fixture(scope="module")
def sound() -> ModuleType:
    """The study at small sizes; its start, limit and networks are computed once."""
    module = load("higher_order", **SIZES)
    module.COARSEST["heun_shared"] = 8
    return module


def table(module: ModuleType, *names: str) -> pd.DataFrame:
    """The rows of some variants."""
    rows = [
        {"data": "scalar", "variant": name, "refinement": k} | module.measure("scalar", name, k)
        for name in names
        for k in range(module.REFINEMENTS)
    ]
    return pd.DataFrame(rows)


def verdicts(module: ModuleType, rows: pd.DataFrame) -> dict[str, str]:
    found: list[Claim] = module.claims(rows)
    assert [claim.id for claim in found] == sorted(itertools.chain(*CLAIMS.values()))
    return {claim.id: claim.holds for claim in found}


def planted(sound: ModuleType) -> ModuleType:
    """The study anew, without the networks it remembers, against the same limit."""
    module = load("higher_order", **SIZES, COARSEST=sound.COARSEST)
    for name in ("start", "solve_limit", "limit_costate"):
        setattr(module, name, getattr(sound, name))
    return module


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_of_a_variant_hold_and_fail_with_an_error_in_its_blocks_or_weights(
    name: str, sound: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong time of a stage costs an order; another space of weights, or another regulariser, changes it."""
    found = verdicts(sound, table(sound, name))
    assert {k: v for k, v in found.items() if v != "undecided"} == dict.fromkeys(CLAIMS[name], "true")
    monkeypatch.setitem(variants.VARIANTS, name, replace(variants.get(name), **PLANTED[name]))
    module = planted(sound)
    found = verdicts(module, table(module, name))
    assert {k: v for k, v in found.items() if v != "undecided"} == dict.fromkeys(CLAIMS[name], "false")


def test_constants_without_the_regularisers_defect_are_wrong(
    sound: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R = 0 leaves heun the defect of its blocks alone, and a sliver of their gap to the others."""
    sizes = variants._second_order
    monkeypatch.setattr(variants, "_second_order", lambda *limit: (sizes(*limit)[0], 1e-3 * sizes(*limit)[1]))
    found = verdicts(sound, table(sound, "heun", "rk4_half_grid", "rk4_averaged"))
    assert [found[k] for k in ("R5.6.1", "R5.6.2", "R5.6.3")] == ["false"] * 3
    assert found["R5.1"] == "true"


def test_a_row_that_did_not_converge_leaves_only_its_own_claims_undecided(sound: ModuleType) -> None:
    """It stays in the table."""
    rows = table(sound, "heun", "rk4_averaged")
    rows.loc[1, "status"] = "not converged: planted"
    found = verdicts(sound, rows)
    assert {found[k] for k in CLAIMS["heun"]} == {"undecided"}
    assert {found[k] for k in CLAIMS["rk4_averaged"]} == {"true"}
