"""The laws at rest have no flux, the known moments and known special cases; where there is none it is said why."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from deeplimit.meanfield import diffusion, steady_laws
from deeplimit.meanfield.diffusion import Diffusion
from deeplimit.meanfield.steady_laws import cosh_power

LAWS = {
    "gaussian": Diffusion("identity", -1.3, 0.4, 0.7),
    "cosh_power": Diffusion("tanh", -2.0, 0.5, 0.8),
    "inverse_gamma": Diffusion("identity", -1.5, 1.1, 0.8, "linear"),
    "inverse_gamma, no mean": Diffusion("identity", 0.1, 1.1, 0.8, "linear"),
    "gamma": Diffusion("identity", -1.5, 1.1, 0.8, "root"),
    "beta": Diffusion("identity", -1.5, 0.6, 0.5, "jacobi"),
}


@pytest.mark.parametrize("d", LAWS.values(), ids=LAWS.keys())
def test_laws_at_rest_have_no_flux(d: Diffusion) -> None:
    """(log Cg)' = σ(wx + b)/C is the equation of zero flux; central differences see it to 1e-8."""
    law, step = steady_laws.steady_law(d), 1e-5
    x = law.ppf(np.linspace(0.02, 0.98, 25))

    def log(x: np.ndarray) -> np.ndarray:
        return np.log(d.spread(x)) + law.logpdf(x)

    slope = (log(x + step) - log(x - step)) / (2 * step)
    assert slope == pytest.approx(d.drift(x) / d.spread(x), abs=1e-6, rel=1e-7)


@pytest.mark.parametrize("d", LAWS.values(), ids=LAWS.keys())
def test_the_formula_of_the_density_is_that_of_the_law(d: Diffusion) -> None:
    """They differ by the logarithm of the constant of normalisation, the same at every point."""
    law = steady_laws.steady_law(d)
    x = law.ppf(np.linspace(0.01, 0.99, 40))
    assert np.ptp(steady_laws.log_density(d, x) - law.logpdf(x)) < 1e-11


def test_the_law_of_tanh_has_known_moments_and_special_cases() -> None:
    """q = 1 is the hyperbolic secant law in units of 2/π, q = 2 the logistic one of scale ½; Var .298166 at w = −2."""
    z, levels = np.linspace(-6, 6, 41), np.linspace(0.01, 0.99, 33)
    for q, known in ((1, stats.hypsecant(scale=1)), (2, stats.logistic(scale=0.5))):
        law = cosh_power(q)
        assert law.pdf(z) == pytest.approx(known.pdf(z), rel=1e-13)
        assert law.cdf(z) == pytest.approx(known.cdf(z), rel=1e-10)
        assert law.ppf(levels) == pytest.approx(known.ppf(levels), abs=1e-12)
        assert law.stats("mvsk") == pytest.approx(known.stats("mvsk"), rel=1e-12)
    law = steady_laws.steady_law(LAWS["cosh_power"])
    assert (law.mean(), law.var()) == pytest.approx((0.25, 0.298166), abs=5e-7)


@pytest.mark.parametrize(
    ("family", "mean", "variance"),
    [
        ("gaussian", -0.3, 0.5),
        ("cosh_power", 0.25, 0.6),
        ("inverse_gamma", 1.5, 0.5),
        ("gamma", 2.0, 0.8),
        ("beta", 0.4, 0.03),
    ],
)
def test_fits_have_the_moments_they_were_asked_for(family: str, mean: float, variance: float) -> None:
    """And so do 20 000 particles of the network that was fitted: the distributions agree at the level of 0.1 %."""
    d = steady_laws.fit(family, mean, variance, noise=0.9)
    law = steady_laws.steady_law(d)
    assert (law.mean(), law.var()) == pytest.approx((mean, variance), rel=1e-11)
    time = 12 / abs(float(np.min(np.abs([d.w, 1.5 * d.w]))))
    outputs = diffusion.simulate(d, np.full(20_000, mean), time, 1200, seed=1)
    assert stats.kstest(outputs, law.cdf).pvalue > 0.001


def test_the_tails_of_tanh_are_at_least_those_of_a_laplace_law() -> None:
    """A strong restoring force with σ = ±1 gives exp(−2|x|/ν²), of variance ν⁴/2: no w reaches less."""
    d = steady_laws.fit("cosh_power", 0.0, 0.5 * 1.0001)
    assert d.w < -50 and steady_laws.steady_law(d).var() == pytest.approx(0.50005, rel=1e-10)
    with pytest.raises(ValueError, match=r"the variance must be above ν⁴/2 = 0\.5, got 0\.5: take less noise"):
        steady_laws.fit("cosh_power", 0.0, 0.5)


def test_a_growing_part_is_balanced_by_noise_that_grows_too() -> None:
    """K = x, 0 < w < ν²/2: paths fall on average of the logarithm, w − ν²/2 < 0, and the law has shape below 1."""
    law = steady_laws.steady_law(LAWS["inverse_gamma, no mean"])
    assert law.args[0] == pytest.approx(1 - 0.2 / 0.64) and math.isinf(law.mean())
    x = diffusion.simulate(LAWS["inverse_gamma, no mean"], np.ones(20_000), 60.0, 6000, seed=2)
    assert stats.kstest(x, law.cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("d", "reason"),
    [
        (Diffusion("identity", 1.0, 0.5, 1.0), "w < 0, or nothing leads the law back; got w = 1.0"),
        (Diffusion("tanh", 0.0, 0.5, 1.0), "w < 0, or nothing leads the law back"),
        (Diffusion("sigmoid", -1.0, 0.0, 1.0), r"positive everywhere, so that the mass goes to \+∞"),
        (Diffusion("relu", -1.0, 0.0, 1.0), "vanishes on the half line wx \\+ b ≤ 0"),
        (Diffusion("gcu", 1.0, 0.0, 1.0), "deeper wells"),
        (Diffusion("identity", 0.5, 1.0, 1.0, "linear"), "w < ν²/2 and b > 0"),
        (Diffusion("identity", -1.0, -1.0, 1.0, "root"), "w < 0 < b"),
        (Diffusion("identity", -1.0, 1.0, 1.0, "jacobi"), r"w \+ b < 0 < b"),
        (Diffusion("tanh", -1.0, 1.0, 1.0, "root"), "no formula is known for σ = tanh with K root"),
        (Diffusion("silu", -1.0, 1.0, 1.0), "no formula is known for σ = silu with K constant"),
    ],
    ids=lambda value: f"{value.activation.name}, {value.shape}" if isinstance(value, Diffusion) else "",
)
def test_where_there_is_no_law_at_rest_the_reason_is_said(d: Diffusion, reason: str) -> None:
    """Each with the requirement that fails."""
    with pytest.raises(ValueError, match=reason):
        steady_laws.steady_law(d)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("normal", 0.0, 1.0), "family must be one of gaussian, cosh_power"),
        (("gamma", -1.0, 1.0), "its mean must be positive, got -1.0"),
        (("beta", 0.5, 0.3), r"variance below mean \(1 − mean\), got 0\.5 and 0\.3"),
        (("beta", 1.5, 0.1), r"a mean in \(0, 1\)"),
        (("gaussian", 0.0, 0.0), "variance must be positive"),
    ],
)
def test_moments_of_no_law_are_refused(arguments: tuple[str, float, float], sentence: str) -> None:
    """One sentence each."""
    with pytest.raises(ValueError, match=sentence):
        steady_laws.fit(*arguments)


def test_primitives_have_the_activation_as_slope() -> None:
    """∫σ, by central differences."""
    z = np.linspace(-4, 4, 33) + 0.01
    for name, primitive in steady_laws.PRIMITIVES.items():
        slope = (primitive(z + 1e-5) - primitive(z - 1e-5)) / 2e-5
        assert slope == pytest.approx(Diffusion(name, 1.0, 0.0, 1.0).drift(z), abs=1e-9), name
    assert special.polygamma(1, 1.0) == pytest.approx(math.pi**2 / 6)
