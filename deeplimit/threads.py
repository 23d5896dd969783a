"""One compute thread unless asked: the matrices are small, and rounding then does not depend on the number of cores."""

from __future__ import annotations

import os

import scipy.linalg  # noqa: F401  # its own BLAS must be loaded to be limited
import torch
from threadpoolctl import threadpool_limits

VARIABLE = "DEEPLIMIT_THREADS"


def use(count: int) -> None:
    """Let torch and every BLAS in this process compute with so many threads.

    Raises
    ------
    ValueError
        If `count` is below one.
    """
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}")
    torch.set_num_threads(count)
    threadpool_limits(limits=count)


def wanted() -> int:
    """The number in the environment variable DEEPLIMIT_THREADS, or one.

    Raises
    ------
    ValueError
        If the variable is not a whole number.
    """
    text = os.environ.get(VARIABLE, "1")
    if not text.isdecimal():
        raise ValueError(f"{VARIABLE} must be a whole number, got {text!r}")
    return int(text)
