"""One compute thread unless asked, in every library that has threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deeplimit import threads

COUNT = """
import deeplimit, numpy, scipy.linalg, torch
deeplimit.discrete
from threadpoolctl import threadpool_info
print(torch.get_num_threads(), *{library["num_threads"] for library in threadpool_info()})
"""


@pytest.mark.parametrize(("asked", "found"), [(None, "1 1"), ("2", "2 2")])
def test_libraries_compute_with_as_many_threads_as_asked(asked: str | None, found: str) -> None:
    """In a fresh process without the limits that the tests set; two are asked for by the environment variable."""
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", threads.VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in limits}
    if asked is not None:
        environment[threads.VARIABLE] = asked
    result = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    if (os.cpu_count() or 1) < 2 and asked == "2":
        pytest.skip("a machine with one core gives no second thread")
    assert result.stdout.strip() == found


def test_a_number_of_threads_is_a_whole_number_above_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match="at least 1"):
        threads.use(0)
    monkeypatch.setenv(threads.VARIABLE, "many")
    with pytest.raises(ValueError, match="DEEPLIMIT_THREADS"):
        threads.wanted()
