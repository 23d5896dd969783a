"""Constants set from outside have the type that the study gave them, and what follows from them follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deeplimit import changes
from deeplimit.changes import ChangeError

SPACE: dict[str, Any] = {
    "DEPTHS": [8, 16],
    "ALPHA": 0.1,
    "STARTS": 4,
    "NAME": "moons",
    "FAST": True,
    "TIMES": {"iris": 1.0},
    "PAIR": (1, 2.0),
    "PROBLEM": object(),
    "QUICK": {"DEPTHS": [8]},
    "lower": 1,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DEPTHS=[32, 64]", [32, 64]),
        ("DEPTHS = (32,)", [32]),
        ("ALPHA=1", 1.0),
        ("ALPHA=1e-3", 0.001),
        ("STARTS=2", 2),
        ("NAME=iris", "iris"),
        ("NAME='a=b'", "a=b"),
        ("FAST=False", False),
        ("TIMES={'iris': 2}", {"iris": 2.0}),
        ("PAIR=[3, 4]", (3, 4)),
    ],
)
def test_a_literal_of_the_right_type_is_taken(text: str, value: Any) -> None:
    """A whole number where a real one is, a list where a tuple is; the type is that of the study."""
    (found,) = changes.parsed([text], SPACE).values()
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DEPTHS", "takes NAME=VALUE, got 'DEPTHS'"),
        ("=3", "takes NAME=VALUE"),
        ("DEPHTS=[8]", "no constant 'DEPHTS'; did you mean DEPTHS"),
        ("lower=2", "no constant 'lower'"),
        ("QUICK={}", "no constant 'QUICK'"),
        ("DEPTHS=8", r"must be of the type list, such as \[8, 16\], got 8"),
        ("DEPTHS=[8, 'x']", "an entry of DEPTHS must be of the type int"),
        ("DEPTHS=[8.5]", "an entry of DEPTHS must be of the type int"),
        ("STARTS=2.5", "must be of the type int"),
        ("STARTS=True", "must be of the type int"),
        ("ALPHA=much", "must be of the type float"),
        ("FAST=1", "must be of the type bool"),
        ("NAME=3", "must be of the type str"),
        ("PROBLEM=3", "PROBLEM is a object, which the command line cannot write"),
        ("ALPHA=__import__('os').system('false')", "must be of the type float"),
    ],
)
def test_anything_else_is_one_sentence(text: str, message: str) -> None:
    """What was wrong, and what would be right; nothing is evaluated."""
    with pytest.raises(ChangeError, match=message) as found:
        changes.parsed([text], SPACE)
    assert "\n" not in str(found.value)


def test_constants_that_follow_from_a_changed_one_are_computed_anew(tmp_path: Path) -> None:
    """In the order of the file; those that do not, and those set themselves, stay."""
    file = tmp_path / "s.py"
    file.write_text("A = 2\nB: int = A + 1\nC = [B, B]\nD = 7\nE = A * 10\n")
    space: dict[str, Any] = {"__file__": str(file)}
    exec(file.read_text(), space)
    changes.applied(space, {"A": 5, "E": 1})
    assert (space["A"], space["B"], space["C"], space["D"], space["E"]) == (5, 6, [6, 6], 7, 1)


def test_functions_and_lists_of_names_follow_too(tmp_path: Path) -> None:
    """Whatever the file makes of a constant; the study itself is not run."""
    file = tmp_path / "s.py"
    text = "A = 1.0\ndef made():\n    return 10 * A\nB = made()\nC = D = 2 * A\nE, F = A, 3 * A\n"
    file.write_text(text + "if __name__ == '__main__':\n    raise SystemExit\n")
    space: dict[str, Any] = {"__file__": str(file), "__name__": "x"}
    exec(text, space)
    changes.applied(space, {"A": 5.0})
    assert [space[name] for name in "ABCDEF"] == [5.0, 50.0, 10.0, 10.0, 5.0, 15.0]
