"""How much does it cost to train the digits, all of them at full size, to optimality at every depth?

1797 pictures of 64 pixels in 10 classes: softmax, the mean over the samples, α = 0.001, width 64, so 4160 unknowns a
layer, over a million at depth 256. The branch starts from random weights at depth 2 and doubles its depth. Each row
says what its depth cost: gradients and Hessian products of the minimisation, products of the certificate, and those
that formed a coarse Hessian for the depths to come; `accuracy` is the share of the training pictures that are
classified correctly. The times are those of one thread.
"""

from functools import cache
from typing import Any

import numpy as np

from deeplimit import Problem, data, discrete, plot, study
from deeplimit.ladder import Ladder, Search

PROBLEM = Problem(data.digits(), loss="softmax", reduction="mean", alpha=0.001)
DEPTHS = [2**k for k in range(1, 9)]
TOL = 1e-8
SEED = 1  # the branch of seed 0 ends in negative curvature at depths 16 and 256
MEMORY_LIMIT: float | None = None  # bytes

QUICK: dict[str, Any] = {
    "PROBLEM": Problem(data.digits(points=100, features=4), loss="softmax", reduction="mean", alpha=0.001),
    "DEPTHS": [2, 4, 8, 16],
}


@cache
def branch() -> Ladder:
    """The branch, one depth longer with every row."""
    return Ladder(Search(PROBLEM, TOL, memory_limit=MEMORY_LIMIT), max(DEPTHS))


def measure(depth: int) -> dict[str, Any]:
    """The minimiser of the next depth and what it cost."""
    path = branch()
    if path.minima:
        path.extend(depth)
    else:
        path.begin(PROBLEM.metric.draw(SEED).sample(depth))
    m = path.minima[-1]
    classes = PROBLEM.loss.predict(discrete.network(PROBLEM, m)(PROBLEM.data.x))
    return {
        "gradients": m.gradients,
        "products": m.hessian_products,
        "evaluations": m.gradients + m.hessian_products,
        "certificate_products": m.certificate_products,
        "coarse_products": m.coarse_products,
        "minutes": (m.seconds - m.certificate_seconds) / 60,
        "certificate_minutes": m.certificate_seconds / 60,
        "coarse_minutes": m.coarse_seconds / 60,
        "residual": m.residual,
        "curvature": m.curvature,
        "value": m.value,
        "error_bar": m.error_bar,
        "data_loss": m.data_loss,
        "accuracy": float((classes == PROBLEM.y.argmax(1)).double().mean()),
        "status": str(m.status),
    }


def main(save: str = "scale") -> None:
    """The table, its record and its figure."""
    shown = ["depth", "evaluations", "minutes", "residual", "status"]
    table = study.sweep(measure, save=save, depth=DEPTHS, show=shown)
    study.record(save, study.constants(globals()))
    labels = {
        "depth": "depth n",
        "evaluations": "of the minimisation",
        "certificate_products": "of the certificate",
        "coarse_products": "of a coarse Hessian",
    }
    drawn = table.replace({"coarse_products": {0: np.nan}})
    plot.curves(
        drawn, x="depth", y=list(labels)[1:], labels=labels | {"y": "gradients and Hessian products"}, save=save
    )


if __name__ == "__main__":
    study.run(main, globals())
