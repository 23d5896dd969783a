"""Processes that share the samples: started by torchrun, each holds a part, and their sums go over all of them.

Without torchrun there is a group of one, whose sums are what it put in, so that a script runs alone as it stands. The
ranks run the same optimiser on identical vectors, and every sum first makes sure that they do.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed

from deeplimit import checks
from deeplimit.data import Data

TIMEOUT = 600.0
FINGERPRINT_BITS = 21  # the squares of so many bits, summed over 2^11 ranks, are whole numbers of float64


class RanksError(RuntimeError):
    """The ranks cannot go on together: one is lost, or too slow, or does something else."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the samples: number `rank` of `size`; alone unless `joined` says otherwise.

    `device` is where this rank computes, "cuda:k" for the k-th of its machine, and `carrier` where its sums travel
    from: the device for NCCL, the CPU for gloo.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    carrier: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this is the rank that prints and writes."""
        return self.rank == 0

    def rows(self, points: int) -> slice:
        """Which of so many samples are this rank's: consecutive ones, as many as any other's or one less.

        Raises
        ------
        ValueError
            If there are fewer samples than ranks.
        """
        checks.whole("points", points, least=1)
        if points < self.size:
            raise ValueError(f"every rank needs a sample, got {points} for {self.size} ranks")
        return slice(points * self.rank // self.size, points * (self.rank + 1) // self.size)

    def share(self, data: Data) -> Data:
        """This rank's part of data that every rank has loaded."""
        rows = self.rows(data.points)
        return replace(data, x=data.x[rows], y=data.y[rows])

    def sum(self, values: np.ndarray, *context: str | np.ndarray) -> np.ndarray:
        """Σ over the ranks of a vector of float64, the same bits on each.

        Parameters
        ----------
        context
            What the values are and where they were taken: must be the same on all ranks.

        Raises
        ------
        RanksError
            On every rank, if a rank is lost or hangs, or if the contexts or lengths differ.
        """
        if self.size == 1:
            return values
        self.agree(str(values.shape), *context)
        return self._reduced(values)

    def agree(self, *context: str | np.ndarray) -> None:
        """RanksError on every rank unless all of them have come here with the same context.

        Two sums of a fingerprint f tell: (Σ f)² = R Σ f² only where all f are equal.
        """
        if self.size == 1:
            return
        fingerprint = 0
        for part in context:
            fingerprint = zlib.crc32(part.encode() if isinstance(part, str) else part.tobytes(), fingerprint)
        fingerprint >>= 32 - FINGERPRINT_BITS
        total, squares = (int(s) for s in self._reduced(np.array([fingerprint, fingerprint**2], dtype=np.float64)))
        if total**2 != self.size * squares:
            raise RanksError(
                f"rank {self.rank} of {self.size}: the ranks have come apart, they no longer compute the same; start, "
                "seed, depths, tolerances and the sequence of calls must be the same on all, and so must the machines"
            )

    def gather(self, text: str) -> list[str]:
        """The texts of all ranks, in order."""
        texts: list[str] = [text] * self.size
        if self.size > 1:
            self.agree("gather")
            with _clear_errors(self.rank, self.size):
                distributed.all_gather_object(texts, text)
        return texts

    def _reduced(self, values: np.ndarray) -> np.ndarray:
        if not distributed.is_initialized():
            raise RanksError("the ranks have left their group: what they compute together belongs inside `joined()`")
        total: Tensor = torch.tensor(values, device=self.carrier)
        with _clear_errors(self.rank, self.size):
            distributed.all_reduce(total)
            return total.cpu().numpy()


ALONE = Ranks()


@contextmanager
def _clear_errors(rank: int, size: int) -> Iterator[None]:
    """What torch raises when another rank is lost, as one sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition(". ")[0].partition("\n")[0]
        raise RanksError(
            f"rank {rank} of {size} cannot reach another rank, which has ended or does not answer in time: look for "
            "its own error, then start all ranks again (joined(timeout=…) sets how long to wait); torch says: "
            + re.sub(r"^\[\S*\] ", "", reason)
        ) from error


def _variable(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal():
        raise ValueError(f"the environment variable {name} must be a whole number where torchrun starts, got {text!r}")
    return int(text)


@contextmanager
def joined(device: str = "cpu", *, backend: str | None = None, timeout: float = TIMEOUT) -> Iterator[Ranks]:
    """The group of the processes that torchrun has started, as long as the block lasts; without torchrun, of this one.

    Parameters
    ----------
    device
        "cpu", or "cuda" for one GPU per rank, the one whose number is torchrun's LOCAL_RANK.
    backend
        "gloo" or "nccl"; by default gloo on the CPU and NCCL on GPUs.
    timeout
        Seconds to wait for another rank in one sum, before the run ends with a `RanksError`.

    Raises
    ------
    RanksError
        If the ranks do not find each other.
    ValueError, TypeError
        For another device, backend or timeout.
    """
    checks.positive("timeout", timeout)
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    backend = backend or ("gloo" if device == "cpu" else "nccl")
    if backend not in ("gloo", "nccl") or (backend == "nccl" and device == "cpu"):
        raise ValueError(f"backend must be 'gloo', or 'nccl' on cuda, got {backend!r} on {device}")
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Ranks(device=device)
        return
    group = _member(device, backend)
    _enter(group, backend, timeout)
    try:
        yield group
        group.agree("leave")
    finally:
        distributed.destroy_process_group()


def _member(device: str, backend: str) -> Ranks:
    """This process, by torchrun's environment variables."""
    rank, size = _variable("RANK"), _variable("WORLD_SIZE")
    if device == "cuda":
        device = f"cuda:{_variable('LOCAL_RANK')}"
        torch.cuda.set_device(device)
    return Ranks(rank, size, device, device if backend == "nccl" else "cpu")


def _enter(group: Ranks, backend: str, timeout: float) -> None:
    # without it a lost rank would be noticed by NCCL's watchdog only, which aborts the process without a sentence
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    with _clear_errors(group.rank, group.size):
        distributed.init_process_group(
            backend, rank=group.rank, world_size=group.size, timeout=timedelta(seconds=timeout)
        )
