"""One thread and no screen: results do not depend on the machine's cores, and figures need no display."""

import os

# Set before any numerical library is loaded: some read these only once. Subprocesses inherit them.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MPLBACKEND="Agg",
)

from collections.abc import Iterator

import pytest
import scipy.linalg  # noqa: F401  (SciPy brings a BLAS of its own, which the limit below must find loaded)
import torch
from threadpoolctl import threadpool_limits

from deeplimit import sources
from deeplimit.activation import ACTIVATIONS
from deeplimit.loss import LOSSES


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Hold torch and every BLAS to one thread for the whole session."""
    torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(autouse=True)
def no_files_of_other_tests() -> Iterator[None]:
    """Each test begins without files that were read before."""
    sources.forget()
    yield
    sources.forget()


@pytest.fixture
def registries() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    kept = dict(ACTIVATIONS), dict(LOSSES)
    yield
    for registry, before in zip((ACTIVATIONS, LOSSES), kept, strict=True):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]
