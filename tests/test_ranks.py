"""Samples on several ranks: real processes on this machine, compared with one process that has all the samples."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import on_ranks
import pytest
import torch

from deeplimit import Layers, Problem, continuum, discrete, expansion, pontryagin, ranks
from deeplimit.ranks import ALONE, Ranks, RanksError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(on_ranks.__file__)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "GLOO_SOCKET_IFNAME": "lo"}
PATIENCE = 120  # seconds a busy machine may take where nothing should hang


def torchrun(size: int, name: str, folder: Path, *options: str) -> None:
    """A function of on_ranks.py on so many ranks, started as a user would."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
    words = [*launcher, str(SCRIPT), name, str(folder), str(PATIENCE), *options]
    run = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert run.stdout == "done\n" and "Warning" not in run.stderr  # and only the first rank prints


@contextmanager
def by_hand(size: int, *words: str, missing: int = 0) -> Iterator[list[subprocess.Popen[str]]]:
    """The same without torchrun, which would end the other ranks itself when one is lost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(size - missing):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = ENVIRONMENT | {k: str(v) for k, v in names.items()}
        command = [sys.executable, str(SCRIPT), *words]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    """The numbers of one process with all the samples."""
    return on_ranks.computed(whole)


def whole(**options: Any) -> Problem:
    """The problem in one process."""
    return Problem(on_ranks.WHOLE, **options)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks leave behind."""
    folder = tmp_path_factory.mktemp("pair")
    torchrun(2, "both", folder)
    return folder


def assert_agreement(size: int, folder: Path, expected: dict[str, np.ndarray]) -> None:
    """So many ranks have found the same, to 1e-10, and all have the same bits."""
    found = [dict(np.load(folder / f"{rank}.npz")) for rank in range(size)]
    points = [int(numbers.pop("points")) for numbers in found]
    assert sum(points) == on_ranks.WHOLE.points and max(points) - min(points) == 1
    assert found[0].keys() == expected.keys()
    for name, value in expected.items():
        assert all(numbers[name].tobytes() == found[0][name].tobytes() for numbers in found), name
        if name.endswith("status"):
            assert found[0][name] == value
        else:
            np.testing.assert_allclose(found[0][name], value, rtol=0, atol=1e-10, err_msg=name)


def test_two_ranks_find_the_minimisers_of_one_process(pair: Path, alone: dict[str, np.ndarray]) -> None:
    """The data term is a sum over samples: values, gradients, products and a branch of minimisers, uneven shares."""
    assert_agreement(2, pair, alone)


def test_three_ranks_find_the_minimisers_of_one_process(tmp_path: Path, alone: dict[str, np.ndarray]) -> None:
    """The order of a sum of three is not that of two."""
    torchrun(3, "agreement", tmp_path, "computed")
    assert_agreement(3, tmp_path, alone)


@pytest.mark.slow
def test_two_ranks_find_the_limit_of_one_process(tmp_path: Path) -> None:
    """Nothing is special to smooth networks: E_∞, smoothed kinks, the best of several starts."""
    torchrun(2, "agreement", tmp_path, "limit")
    assert_agreement(2, tmp_path, on_ranks.limit(whole))


def test_ranks_that_disagree_all_say_so(pair: Path) -> None:
    """Problems that differ in more than their samples, and vectors or calls that have come apart by one bit.

    The same sentence everywhere but for the own rank's number, and nothing is out of step afterwards.
    """
    first, second = (json.loads((pair / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2))
    joining, computing = first["sentences"][: len(on_ranks.DISAGREEMENTS)], first["sentences"][-4:]
    for sentence, beginning in zip(joining, on_ranks.DISAGREEMENTS, strict=True):
        assert sentence.startswith(f"the problems of the ranks must agree, but {beginning}"), sentence
        assert "on rank 0 and" in sentence and sentence.endswith("on rank 1")
    assert all("rank 0 of 2: the ranks have come apart" in sentence for sentence in computing)
    assert [s.replace("rank 1 of", "rank 0 of") for s in second["sentences"]] == first["sentences"]
    assert first["after"] == second["after"]


@pytest.mark.parametrize(("how", "timeout", "size"), [("exit", PATIENCE, 3), ("stop", 4, 2)])
def test_a_lost_rank_ends_the_others(how: str, timeout: int, size: int, tmp_path: Path) -> None:
    """One that ends is noticed at once, well before the timeout; one that hangs, after it. No rank is left waiting."""
    with by_hand(size, "lost", str(tmp_path), str(timeout), how) as processes:
        for rank in (0, 2)[: size - 1]:
            _, errors = processes[rank].communicate(timeout=PATIENCE)
            assert processes[rank].returncode == 1
            sentence = errors.strip().splitlines()[-1]
            assert f"RanksError: rank {rank} of {size} cannot reach another rank" in sentence
            assert "start all ranks again" in sentence
        assert (tmp_path / "failed").exists()


def test_a_rank_that_is_never_started_is_not_waited_for() -> None:
    """The timeout holds from the start."""
    with by_hand(2, "agreement", "nowhere", "1", "computed", missing=1) as (first,):
        _, errors = first.communicate(timeout=PATIENCE)
        assert first.returncode == 1
        assert "RanksError: rank 0 of 2 cannot reach another rank" in errors


def test_rows_are_a_partition_into_equal_parts() -> None:
    """Consecutive, none left out, none twice, sizes that differ by one at most; every rank has a sample."""
    for size, points in product(range(1, 6), range(5, 12)):
        parts = [range(points)[Ranks(rank, size).rows(points)] for rank in range(size)]
        assert [row for part in parts for row in part] == list(range(points))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(ValueError, match="every rank needs a sample, got 2 for 3 ranks"):
        Ranks(0, 3).rows(2)
    part = Ranks(1, 2).share(on_ranks.WHOLE)
    assert torch.equal(part.x, on_ranks.WHOLE.x[15:]) and torch.equal(part.y, on_ranks.WHOLE.y[15:])
    assert part.name == on_ranks.WHOLE.name


def test_without_torchrun_a_script_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of one is first, has all rows, and its sums and its joint problem are what they were."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks.joined() as group:
        assert group == ALONE and group.first and not torch.distributed.is_initialized()
        values = np.arange(3.0)
        assert group.sum(values, "anything") is values and group.gather("word") == ["word"]
        joint = whole().joint(group)
    assert joint.data is on_ranks.WHOLE and joint.part is joint
    alone, together = on_ranks.derivatives(whole()), on_ranks.derivatives(joint)
    assert all(np.array_equal(alone[k], together[k]) for k in alone)


def test_a_joint_problem_does_not_take_a_part_for_the_whole() -> None:
    """What needs all samples in one place says that it does; smoothing, which does not, keeps the ranks."""
    group = Ranks(0, 2)
    joint = whole(activation="relu", reduction="mean")._with(group=group, points=100)
    assert joint.weight == joint.part.weight == joint.smoothed(0.1).weight == 0.01
    assert joint.smoothed(0.1).group is group and joint.part.group is ALONE
    (identity,) = discrete.symmetries(joint)
    layers = Layers(*(torch.randn(shape).double() for shape in ((3, 2, 2), (3, 2), (1, 2), (1,))))
    assert all(torch.equal(getattr(identity.act(layers), k), getattr(layers, k)) for k in "KbWc")
    curve = layers.interpolant()
    refused = [
        lambda: joint.data,
        lambda: replace(joint, alpha=1.0),
        lambda: discrete.objective(joint, layers),
        lambda: discrete.gradient(joint, layers),
        lambda: continuum.objective(joint, curve),
        lambda: expansion.value_constant(joint, curve),
        lambda: pontryagin.certify(joint, curve),
    ]
    for call in refused:
        with pytest.raises(ValueError, match="all samples in one place, but those of a joint problem lie on 2 ranks"):
            call()


def test_after_the_block_there_is_no_group() -> None:
    """One sentence instead of torch's."""
    with pytest.raises(RanksError, match="have left their group"):
        Ranks(0, 2).sum(np.ones(1))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"timeout": 0}, "timeout must be positive"),
        ({"device": "tpu"}, "device must be 'cpu' or 'cuda', got 'tpu'"),
        ({"backend": "mpi"}, "backend must be 'gloo', or 'nccl' on cuda, got 'mpi' on cpu"),
        ({"backend": "nccl"}, "got 'nccl' on cpu"),
        ({}, "RANK must be a whole number where torchrun starts, got 'one'"),
    ],
)
def test_what_cannot_be_joined_is_said(
    arguments: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ValueError, match=sentence), ranks.joined(**arguments):
        pass
