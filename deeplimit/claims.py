"""The ledger: what is claimed, what was predicted, what was observed, and the verdict.

A claim compares one observed number with one predicted number. It is true or false, or undecided where a solver it
rests on did not converge; then it says why. A claim about a hypothesis removed on purpose holds when the predicted
failure is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

RELATIONS = ("=", "≤", "≥")
CERTIFIED = ("converged:", "converged to")  # beginnings of a status on which value and control can rest
WITH_JUMPS = ("converged",)  # also where a branch was left; for orders that are cut there
VALUES_ONLY = (*CERTIFIED, "stationary")  # of one on which a value can rest
STATUSES = ("status", "limit_status")
COLUMNS = ("id", "statement", "source", "quantity", "predicted", "observed", "tolerance", "holds", "study")
REMARKS = ("relation", "falsified_by", "reason")
NUMBERS = ("predicted", "observed", "tolerance")
TEXTS = ("id", "statement", "source", "quantity", "falsified_by", "relation")
# What the ids begin with, and what these claims are about.
PARTS = {
    ("T1", "T2"): "states and values at given weights, smooth and rough",
    ("T3", "T4"): "minimal values: order, constant e₁, extrapolation; branches; activations and losses",
    ("T5", "T6"): "minimisers: nodal norms and the corrector; TL², orbits, sets of minimisers",
    ("T7", "T8", "T9"): "regularity: difference quotients, boundary conditions, Hamiltonian",
    ("T10",): "what fails without each hypothesis; such a claim holds when the predicted failure is seen",
    ("T11", "P4"): "inequalities that must never be violated: regulariser of samples, a-priori bounds",
    ("T12",): "layers of one's own: other blocks, the same theorem",
    ("P2",): "the liminf inequality",
    ("R5",): "networks of higher order",
    ("D1", "E1", "S1"): "dense networks, final time T → ∞, number of data S → ∞",
    ("M1", "M2", "M3", "M4", "M5", "M6"): "the law of infinitely many data: signals, moments, rest, noise, training",
    ("U1", "U2", "U3"): "random inputs: polynomial chaos, Monte Carlo, the random loss",
    ("L1", "L2", "L3", "H1"): "Lipschitz constants and certified descent; hidden gradients as momenta",
    ("B1", "B2", "B3", "B4", "C1", "C2"): "rough weights and stability; scaling regimes and the stochastic limit",
}
SHOWN = ("id", "claim (what is compared)", "predicted", "observed", "used", "holds", "study")


@dataclass(frozen=True)
class Claim:
    """One line of the ledger.

    Attributes
    ----------
    id
        That of the check, such as "T3.1"; unique in the ledger.
    statement, source
        What holds, in one sentence, and whose result it is; "derived here" where it is no paper's.
    quantity
        The number that is compared.
    predicted, observed, tolerance
        For the relation "=" the claim is true if |observed − predicted| ≤ tolerance, for "≤" if
        observed ≤ predicted + tolerance, for "≥" if observed ≥ predicted − tolerance.
    falsified_by
        What one would see if it were wrong.
    doubts
        Why it cannot be decided; any doubt makes it undecided, and so does a number that is not finite.
    relation
        "=", "≤" or "≥".

    Raises
    ------
    ValueError, TypeError
        For an unknown relation, a negative tolerance, a missing `id` or `falsified_by`, and doubts that are one string.

    Examples
    --------
    >>> from deeplimit.claims import Claim
    >>> claim = Claim("X1.1", "halves make one", "arithmetic", "sum", 1, 0.5 + 0.5, 1e-15, "another sum")
    >>> claim.holds
    'true'
    >>> print(claim)
    X1.1  halves make one: sum 1, predicted = 1 ± 1e-15: true
    """

    id: str
    statement: str
    source: str
    quantity: str
    predicted: float
    observed: float
    tolerance: float
    falsified_by: str
    doubts: tuple[str, ...] = ()
    relation: str = "="

    def __post_init__(self) -> None:
        for name in TEXTS:
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"claim {self.id!r}: {name} must be a text, got {getattr(self, name)!r}")
        if not self.id or not self.falsified_by:
            raise ValueError(f"claim {self.id or self.statement!r} must have an id and say what would falsify it")
        if self.relation not in RELATIONS:
            raise ValueError(f"claim {self.id}: relation must be one of {', '.join(RELATIONS)}, got {self.relation!r}")
        if self.tolerance < 0:
            raise ValueError(f"claim {self.id}: tolerance must not be negative, got {self.tolerance}")
        if isinstance(self.doubts, str):
            raise TypeError(f"claim {self.id}: doubts must be a list of sentences, got {self.doubts!r}")
        if not all(isinstance(doubt, str) for doubt in self.doubts):
            raise TypeError(f"claim {self.id}: doubts must be sentences, got {self.doubts!r}")
        for number in NUMBERS:
            object.__setattr__(self, number, float(getattr(self, number)))
        object.__setattr__(self, "doubts", tuple(self.doubts))

    @property
    def holds(self) -> str:
        """The verdict: "true", "false" or "undecided"."""
        if self.reason:
            return "undecided"
        excess = self.observed - self.predicted
        size = {"=": abs(excess), "≤": excess, "≥": -excess}[self.relation]
        return "true" if size <= self.tolerance else "false"

    @property
    def reason(self) -> str:
        """Why it is undecided; empty otherwise."""
        missing = [f"{name} is {getattr(self, name)}" for name in NUMBERS if not math.isfinite(getattr(self, name))]
        return "; ".join([*self.doubts, *missing])

    def __str__(self) -> str:
        verdict = self.holds + (f" ({self.reason})" if self.reason else "")
        return (
            f"{self.id}  {self.statement}: {self.quantity} {self.observed:.6g}, predicted {prediction(self)}: {verdict}"
        )


def prediction(claim: Claim | pd.Series) -> str:
    """Relation, prediction and tolerance of a claim or of a line of the ledger, such as "= 1 ± 0.02"."""
    return f"{claim.relation} {claim.predicted:.6g}" + (f" ± {claim.tolerance:.2g}" if claim.tolerance else "")


def farthest(values: Iterable[float], predicted: float) -> float:
    """The value farthest from the prediction: what a claim about many rows observes. NaN if there is none or one is."""
    numbers = np.asarray(list(values), dtype=float)
    if not numbers.size or np.isnan(numbers).any():
        return math.nan
    return float(numbers[np.argmax(np.abs(numbers - predicted))])


def largest(values: Iterable[float]) -> float:
    """The largest value, NaN if there is none or one is NaN: a row that failed is not passed over."""
    numbers = np.asarray(list(values), dtype=float)
    return float(np.max(numbers)) if numbers.size else math.nan


def least(values: Iterable[float]) -> float:
    """The least value, NaN if there is none or one is NaN."""
    return -largest(-value for value in values)


def doubts(table: pd.DataFrame, *axes: str, trusted: Sequence[str] = CERTIFIED) -> tuple[str, ...]:
    """Why the rows of a table cannot carry a claim: one sentence for each status that is not a converged one.

    Parameters
    ----------
    table
        Rows with a column `status`, and possibly `limit_status`.
    axes
        Columns that name a row in the sentence.
    trusted
        Beginnings of statuses to rest on; `VALUES_ONLY` adds those of which only the value can be used.
    """
    if not len(table):
        return ("the table has no row",)
    if "status" not in table:
        return ("the table has no status",)
    found: dict[str, str] = {}
    for column in [c for c in STATUSES if c in table]:
        untrusted = ~table[column].astype(str).str.startswith(tuple(trusted))
        if column == "limit_status":  # a row that failed has none, and is told by its own status
            untrusted &= ~table["status"].astype(str).str.startswith("failed")
        for _, row in table[untrusted].iterrows():
            where = ", ".join(f"{axis} {row[axis]}" for axis in axes)
            what = "limit " if column == "limit_status" else ""
            found.setdefault(f"{what}{row[column]}", where)
    return tuple(f"{where}: {status}" if where else status for status, where in found.items())


def ledger(studies: Mapping[str, Iterable[Claim]]) -> pd.DataFrame:
    """One row per claim, with the columns of `COLUMNS` and then those of `REMARKS`.

    Raises
    ------
    ValueError
        If two claims have one id.
    """
    rows = [
        {column: study if column == "study" else getattr(claim, column) for column in (*COLUMNS, *REMARKS)}
        for study, claims in studies.items()
        for claim in claims
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *REMARKS])
    repeated = table["id"][table["id"].duplicated()].tolist()
    if repeated:
        raise ValueError(f"two claims have the id {repeated[0]}")
    return table.sort_values("id", key=lambda ids: ids.map(_sort_key), ignore_index=True)


def _sort_key(identifier: str) -> tuple[int, str, tuple[int, ...]]:
    """The parts in their order, the theorem first; T2 before T10, T10.2 before T10.10."""
    parts = [part for ids in PARTS for part in ids]
    begin = identifier.split(".")[0]
    letters = identifier.rstrip("0123456789.")
    numbers = identifier[len(letters) :].split(".")
    return parts.index(begin) if begin in parts else len(parts), letters, tuple(int(n) for n in numbers if n)


def to_records(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """The claims as a study's record keeps them: their fields, and the verdict."""
    return [asdict(claim) | {"holds": claim.holds} for claim in claims]


def from_records(records: Iterable[Mapping[str, Any]]) -> list[Claim]:
    """The claims of a study's record; the verdict is formed anew."""
    names = {field.name for field in fields(Claim)}
    return [Claim(**{k: _read(v) for k, v in record.items() if k in names}) for record in records]


def _read(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else math.nan if value is None else value


def markdown(table: pd.DataFrame) -> str:
    """The ledger as README shows it; `used` is the part of the tolerance that the observation takes up."""
    lines = ["| " + " | ".join(SHOWN) + " |", "|" + "---|" * len(SHOWN)]
    for _, row in table.iterrows():
        used = abs(row["observed"] - row["predicted"]) / row["tolerance"] if row["tolerance"] else math.nan
        cells = [
            row["id"],
            f"{row['statement']} ({row['quantity']})",
            prediction(row),
            f"{row['observed']:.6g}",
            f"{used:.2g}" if row["relation"] == "=" and math.isfinite(used) else "",
            row["holds"],
            row["study"],
        ]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def summary(table: pd.DataFrame) -> str:
    """The ledger in few lines: for each part of it how many claims there are, and how many of them hold."""
    begins = table["id"].str.split(".").str[0]
    others = tuple(dict.fromkeys(begin for begin in begins if not any(begin in ids for ids in PARTS)))
    lines = ["| ids | part | claims | true | studies |", "|---|---|---|---|---|"]
    for ids, part in {**PARTS, **({others: "others"} if others else {})}.items():
        rows = table[begins.isin(ids)]
        if len(rows):
            names = ", ".join(f"`{name}`" for name in dict.fromkeys(rows["study"]))
            true = (rows["holds"] == "true").sum()
            lines.append(f"| {', '.join(ids)} | {part} | {len(rows)} | {true} | {names} |")
    lines.append(f"| all | | {len(table)} | {(table['holds'] == 'true').sum()} | |")
    return "\n".join(lines) + "\n"
