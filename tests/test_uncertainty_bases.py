"""Bases of polynomial chaos against chaospy, their Gauss rules, triple products, expansions and Sobol indices."""

from __future__ import annotations

import math

import chaospy
import numpy as np
import pytest
from scipy import stats

from deeplimit.uncertainty import bases, collocation, germs, indices, sobol
from deeplimit.uncertainty.bases import Basis
from deeplimit.uncertainty.chaos import Expansion

SETTINGS = [
    (9, ("uniform",)),
    (9, ("gaussian",)),
    (5, ("uniform", "gaussian")),
    (4, ("gaussian", "uniform", "gaussian")),
    (3, ("uniform", "uniform", "gaussian", "uniform")),
    (2, ("uniform", "gaussian", "uniform", "gaussian", "uniform")),
]


def law(names: tuple[str, ...]) -> chaospy.Distribution:
    """The joint law of the germs, in the oracle's words."""
    return chaospy.J(*[chaospy.Uniform(-1, 1) if name == "uniform" else chaospy.Normal(0, 1) for name in names])


def oracle(degree: int, names: tuple[str, ...], basis: Basis) -> list[chaospy.ndpoly]:
    """chaospy's orthonormal polynomials in the order of the basis, told apart by their leading exponents."""
    found = chaospy.generate_expansion(degree, law(names), normed=True)
    by_index = {tuple(np.atleast_2d(p.exponents)[np.argmax(p.exponents.sum(1))].tolist()): p for p in found}
    if len(names) > 1:
        by_index = {leading(p, len(names)): p for p in found}
    return [by_index[tuple(k)] for k in basis.indices.tolist()]


def leading(polynomial: chaospy.ndpoly, dimension: int) -> tuple[int, ...]:
    """The exponents of the term of highest degree, with zeros for variables that do not occur."""
    exponents = np.atleast_2d(polynomial.exponents)
    best = exponents[np.argmax(exponents.sum(1))]
    found = dict(zip(polynomial.names, best.tolist(), strict=True))
    return tuple(found.get(f"q{j}", 0) for j in range(dimension))


@pytest.mark.parametrize(("degree", "names"), SETTINGS)
def test_polynomials_are_those_of_chaospy(degree: int, names: tuple[str, ...]) -> None:
    """Orthonormal polynomials are unique up to signs, and both have positive leading coefficients."""
    basis = Basis(degree, names)
    xi = germs.draw(basis.germs, np.random.default_rng(0), 20)
    expected = np.stack([np.broadcast_to(p(*xi.T), len(xi)) for p in oracle(degree, names, basis)], axis=1)
    assert basis.size == math.comb(degree + len(names), degree)
    assert np.abs(basis.at(xi) - expected).max() < 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(("degree", "names"), SETTINGS)
def test_gauss_rules_make_the_basis_orthonormal(degree: int, names: tuple[str, ...]) -> None:
    """E φ_j φ_k = δ_jk by the rule itself, whose weights add up to 1."""
    basis = Basis(degree, names)
    rule = basis.rule()
    phi = basis.at(rule.xi)
    assert len(rule.weights) == (2 * degree + 2) ** len(names)
    assert abs(rule.weights.sum() - 1) < 1e-13
    assert np.abs(phi.T @ (phi * rule.weights[:, None]) - np.eye(basis.size)).max() < 1e-12


@pytest.mark.parametrize("name", ["uniform", "gaussian"])
def test_gauss_nodes_are_those_of_chaospy(name: str) -> None:
    """One rule of order 11 for each germ."""
    points, weights = germs.get(name).gauss(12)
    expected, masses = chaospy.generate_quadrature(11, law((name,)), rule="gaussian")
    order = np.argsort(expected[0])
    assert np.abs(points - expected[0][order]).max() < 1e-12
    assert np.abs(weights - masses[order]).max() < 1e-12


@pytest.mark.parametrize(("name", "degree"), [("uniform", 400), ("gaussian", germs.MOST_HERMITE - 1)])
def test_high_degrees_stay_orthonormal(name: str, degree: int) -> None:
    """To 1e-13, and to 1e-12 where factorials of a hundred cancel."""
    points, weights = germs.get(name).gauss(degree + 1)
    phi = germs.get(name).polynomials(points, degree)
    most = 1e-13 if name == "uniform" else 1e-12
    assert np.abs(phi.T @ (phi * weights[:, None]) - np.eye(degree + 1)).max() < most


@pytest.mark.parametrize("names", [("uniform",), ("gaussian",), ("uniform", "gaussian")])
def test_triple_products_are_those_of_chaospy(names: tuple[str, ...]) -> None:
    """E φ_j φ_k φ_m of polynomials of degree 3, onto degree 6."""
    basis, onto = Basis(3, names), Basis(6, names)
    small, large = oracle(3, names, basis), oracle(6, names, onto)
    found = basis.triples(onto)
    for j, k, m in np.random.default_rng(1).integers(0, [basis.size, basis.size, onto.size], (25, 3)):
        expected = float(chaospy.E(small[j] * small[k] * large[m], law(names)))
        assert found[j, k, m] == pytest.approx(expected, abs=1e-12 * max(1, abs(expected)))


def test_triple_products_of_hermite_polynomials_have_their_closed_form() -> None:
    """E h_j h_k h_m = √(j! k! m!) / ((s − j)! (s − k)! (s − m)!) with 2s = j + k + m, where that is a triangle."""
    found = Basis(4, "gaussian").triples(Basis(8, "gaussian"))
    for j in range(5):
        for k in range(5):
            for m in range(9):
                s, odd = divmod(j + k + m, 2)
                expected = 0.0
                if not odd and s >= max(j, k, m):
                    top = math.sqrt(math.factorial(j) * math.factorial(k) * math.factorial(m))
                    expected = top / math.prod(math.factorial(s - i) for i in (j, k, m))
                assert found[j, k, m] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dimension", "degree"), [(1, 6), (2, 5), (3, 7), (5, 4)])
def test_index_sets_have_every_index_they_should(dimension: int, degree: int) -> None:
    """Counted one by one in the cube: Σ k ≤ K, and Π (k + 1) ≤ K + 1; 0 comes first."""
    cube = np.stack([k.ravel() for k in np.meshgrid(*[range(degree + 1)] * dimension)], axis=1)
    for found, wanted in (
        (indices.total(dimension, degree), cube.sum(1) <= degree),
        (indices.hyperbolic(dimension, degree), (cube + 1).prod(1) <= degree + 1),
    ):
        assert set(map(tuple, found.tolist())) == set(map(tuple, cube[wanted].tolist()))
        assert len(found) == wanted.sum() and not found[0].any()
        assert (np.diff(found.sum(1)) >= 0).all()


def test_a_hyperbolic_cross_is_sparse() -> None:
    """At degree 6 in five variables 61 of 462 terms, and all of them in one variable."""
    assert Basis(6, ["uniform"] * 5, "hyperbolic").size == 61
    assert Basis(6, ["uniform"] * 5).size == 462
    assert Basis(6, "uniform", "hyperbolic").size == 7


def test_a_polynomial_is_its_expansion() -> None:
    """x = 2 + ξ_1 ξ_2² with ξ_1 uniform and ξ_2 normal: mean 2, variance E ξ_1² E ξ_2⁴ = 1."""
    basis = Basis(3, ("uniform", "gaussian"))
    found = collocation.project(basis, lambda xi: 2 + xi[:, 0] * xi[:, 1] ** 2)
    assert float(found.mean) == pytest.approx(2, abs=1e-12) and float(found.variance) == pytest.approx(1, abs=1e-12)
    xi = np.array([[0.3, -1.2], [-0.9, 2.0]])
    assert found.at(xi) == pytest.approx(2 + xi[:, 0] * xi[:, 1] ** 2, abs=1e-12)
    assert found.norm**2 == pytest.approx(5, abs=1e-11) and float(found.deviation) == pytest.approx(1, abs=1e-12)


def test_a_projection_keeps_what_the_bases_share() -> None:
    """Down to a smaller basis and up again: the low coefficients, and zeros; distances compare degrees."""
    large = Basis(5, ("uniform", "uniform"))
    x = Expansion(large, np.arange(1.0, large.size + 1))
    small = x.onto(Basis(2, large.germs))
    assert small.coefficients.tolist() == [1, 2, 3, 4, 5, 6]
    assert x.distance(small) ** 2 == pytest.approx((x.coefficients[6:] ** 2).sum())
    assert small.distance(x) == pytest.approx(x.distance(small))


def ishigami(xi: np.ndarray, a: float = 7.0, b: float = 0.1) -> np.ndarray:
    x = np.pi * xi
    return np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])


def test_sobol_indices_of_the_ishigami_function() -> None:
    """Ishigami & Homma (1990): V_1 = ½(1 + bπ⁴/5)², V_2 = a²/8, V_13 = b²π⁸(1/18 − 1/50), all others 0."""
    a, b = 7.0, 0.1
    V1, V2, V13 = (1 + b * np.pi**4 / 5) ** 2 / 2, a**2 / 8, b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    V = V1 + V2 + V13
    found = collocation.project(Basis(14, ["uniform"] * 3), ishigami)
    assert float(found.mean) == pytest.approx(a / 2, abs=1e-10) and float(found.variance) == pytest.approx(V, rel=1e-10)
    assert sobol.first(found) == pytest.approx([V1 / V, V2 / V, 0], abs=1e-10)
    assert sobol.total(found) == pytest.approx([(V1 + V13) / V, V2 / V, V13 / V], abs=1e-10)
    assert float(sobol.share(found, [0, 2])) == pytest.approx(V13 / V, abs=1e-10)
    assert float(sobol.share(found, [0, 1, 2])) == pytest.approx(0, abs=1e-10)


def test_sobol_indices_are_those_of_chaospy() -> None:
    """For a polynomial of degree 4 in mixed germs."""
    names = ("uniform", "gaussian", "uniform")
    q = chaospy.variable(3)
    polynomial = 1 + q[0] + 2 * q[0] * q[1] - q[2] ** 3 * q[1] + 0.5 * q[1] ** 2
    found = collocation.project(Basis(4, names), lambda xi: polynomial(*xi.T))
    assert sobol.first(found) == pytest.approx(chaospy.Sens_m(polynomial, law(names)), abs=1e-12)
    assert sobol.total(found) == pytest.approx(chaospy.Sens_t(polynomial, law(names)), abs=1e-12)


def test_shares_of_all_sets_add_up_to_one() -> None:
    """For a vector, entry by entry; a component without variance has none."""
    basis = Basis(3, ("uniform", "gaussian"))
    values = np.random.default_rng(2).standard_normal((basis.size, 3))
    values[1:, 2] = 0
    x = Expansion(basis, values)
    total = sobol.share(x, [0]) + sobol.share(x, [1]) + sobol.share(x, [0, 1])
    assert total[:2] == pytest.approx(1) and np.isnan(total[2])


@pytest.mark.parametrize("name", ["uniform", "gaussian"])
def test_draws_have_the_law_of_the_germ(name: str) -> None:
    """Kolmogorov-Smirnov against U(−1, 1) and N(0, 1)."""
    xi = germs.draw(germs.several([name, name]), np.random.default_rng(5), 20_000)
    expected = stats.uniform(-1, 2) if name == "uniform" else stats.norm()
    assert all(stats.kstest(column, expected.cdf).pvalue > 0.01 for column in xi.T)
    assert abs(np.corrcoef(xi.T)[0, 1]) < 4 / math.sqrt(len(xi))


def test_an_aliased_rule_is_refused() -> None:
    """With K + 1 nodes the coefficient of degree 2 of ξ⁸ is wrong by a tenth; the message says how many are needed."""
    with pytest.raises(ValueError, match=r"at least 2·4 \+ 2 = 10 nodes in each variable, got 9.*take more nodes"):
        Basis(4).rule(9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Basis(3, "beta"), "germ must be one of uniform, gaussian"),
        (lambda: Basis(3, ()), "at least one germ"),
        (lambda: Basis(3, "uniform", "tensor"), "truncation must be one of total, hyperbolic"),
        (lambda: Basis(-1), "degree must be at least 0"),
        (lambda: Basis(40, ["uniform"] * 5), r"more than 200000 terms; lower the degree.*hyperbolic.*Monte Carlo"),
        (lambda: Basis(9, ["uniform"] * 5).rule(), r"Gauss nodes take .* GB.*lower the degree"),
        (lambda: Basis(9, ["uniform"] * 5).triples(Basis(9, ["uniform"] * 5)), "triple products take .* GB"),
        (lambda: Basis(2).triples(Basis(2, "gaussian")), "one set of germs"),
        (lambda: Basis(200, "gaussian").rule(), "up to degree 128, got 402"),
        (lambda: Basis(2, ["uniform"] * 2).at(np.zeros(3)), r"2 germs in its last dimension, got shape \(3,\)"),
        (lambda: Expansion(Basis(2), np.zeros(4)), "one coefficient for each of its 3 polynomials"),
        (lambda: Expansion(Basis(2), np.zeros(3)).onto(Basis(2, "gaussian")), "one set of germs"),
        (lambda: sobol.share(Expansion(Basis(2), np.ones(3)), []), r"one or more of 0 … 0, got \[\]"),
        (lambda: collocation.project(Basis(2), lambda xi: np.zeros(3)), "one value for each of 6 ξ"),
        (lambda: collocation.project(Basis(2), lambda xi: 1 / (0 * xi[:, 0])), "must be finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_one_sentence(call: object, message: str) -> None:
    """It names the requirement and what it got."""
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_a_germ_that_is_no_name_is_a_type_error() -> None:
    """And a germ of one's own is taken as it is."""
    with pytest.raises(TypeError, match="germ must be a name or a Germ, got int"):
        germs.get(3)  # type: ignore[arg-type]
    assert Basis(2, germs.GERMS["uniform"]).germs == (germs.GERMS["uniform"],)


def test_the_memory_limit_counts_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that fits is made, one byte less and it is refused."""
    basis = Basis(3, ["uniform"] * 2)
    needed = 8 * basis.size * 8**2
    monkeypatch.setattr(bases, "MEMORY", needed)
    basis.rule()
    monkeypatch.setattr(bases, "MEMORY", needed - 1)
    with pytest.raises(ValueError, match="Gauss nodes take"):
        basis.rule()


def test_distances_between_bases_that_do_not_contain_one_another_are_those_of_all_polynomials() -> None:
    """x = ξ₁³ξ₂² is in the total degree 5 and not in the hyperbolic cross 10, which has what the former has not."""
    total, cross = Basis(5, ["uniform"] * 2), Basis(10, ["uniform"] * 2, "hyperbolic")

    def x(xi: np.ndarray) -> np.ndarray:
        return np.asarray(xi[:, 0] ** 3 * xi[:, 1] ** 2)

    full, part = collocation.project(total, x), collocation.project(cross, x)
    # the cut part is that of φ_3φ_2, φ_3φ_0 and φ_1φ_2 being in the cross: E x φ_3φ_2 = (2/(5√7)) (2/(3√5))
    missing = 2 / (5 * math.sqrt(7)) * 2 / (3 * math.sqrt(5))
    assert full.distance(part) == part.distance(full) == pytest.approx(missing, rel=1e-12)
    assert math.sqrt(full.norm**2 - part.norm**2) == pytest.approx(missing, rel=1e-12)
    both = full - part
    assert both.basis.size == len({tuple(k) for basis in (total, cross) for k in basis.indices.tolist()})
    assert not both.basis.indices[0].any()
    xi = np.array([[0.3, -0.8], [0.9, 0.5]])
    assert both.at(xi) == pytest.approx(full.at(xi) - part.at(xi), abs=1e-14)
    with pytest.raises(ValueError, match="one set of germs"):
        total.union(Basis(5, ["gaussian"] * 2))


def test_polynomials_at_points_are_counted_as_the_array_they_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """N numbers for each point, however many germs a point has; the rule counts the same."""
    basis = Basis(2, ["uniform"] * 3)
    monkeypatch.setattr(bases, "MEMORY", 8.0 * basis.size * 6**3)
    assert basis.at(basis.rule().xi).nbytes == 8 * basis.size * 6**3
    with pytest.raises(ValueError, match=f"10 polynomials at {6**3 + 1} points"):
        basis.at(np.zeros((6**3 + 1, 3)))


def test_a_constant_has_no_sobol_indices() -> None:
    """Its variance by collocation is that of rounding: NaN, and no shares of noise; the other component has its own."""
    found = collocation.project(
        Basis(6, ["uniform"] * 2), lambda xi: np.stack([np.full(len(xi), 0.1), 0.1 + 1e-6 * xi[:, 0]], 1)
    )
    for index in (sobol.first(found), sobol.total(found)):
        assert np.isnan(index[:, 0]).all() and index[:, 1] == pytest.approx([1, 0], abs=1e-8)
