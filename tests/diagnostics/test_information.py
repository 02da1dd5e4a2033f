"""Partial information decomposition on gates with known answers, and against a general optimiser."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fusionnas.diagnostics.measures.information import decompose, mutual, table_of


def gate(function, bits=2):
    p = np.zeros((2**(bits - 1), 2 ** (bits - 1), 4))
    for a, b in itertools.product(range(2 ** (bits - 1)), repeat=2):
        p[a, b, function(a, b)] += 1
    return p[:, :, p.sum((0, 1)) > 0]


def parts(found):
    return [found.redundancy, found.unique_first, found.unique_second, found.synergy]


KNOWN = {
    "exclusive or": (gate(lambda a, b: a ^ b), [0, 0, 0, 1]),
    "copy of both that are one": (np.eye(2)[:, :, None] * np.eye(2)[:, None, :], [1, 0, 0, 0]),
    "first alone": (gate(lambda a, b: a), [0, 1, 0, 0]),
    "second alone": (gate(lambda a, b: b), [0, 0, 1, 0]),
    "both, each its own bit": (gate(lambda a, b: 2 * a + b), [0, 1, 1, 0]),
    "and": (gate(lambda a, b: a & b), [0.3113, 0, 0, 0.5]),
}


@pytest.mark.parametrize(("joint", "expected"), KNOWN.values(), ids=KNOWN)
def test_gates_with_known_answers(joint, expected):
    found = decompose(joint)
    np.testing.assert_allclose(parts(found), expected, atol=2e-4)
    assert 0 <= found.error < 1e-4


def test_parts_add_up_and_none_is_negative():
    rng = np.random.default_rng(0)
    for _ in range(5):
        joint = rng.dirichlet(np.ones(3 * 4 * 2)).reshape(3, 4, 2)
        found = decompose(joint)
        assert min(parts(found)) >= -1e-9
        assert found.total == pytest.approx(mutual(joint.reshape(12, 2)), abs=1e-9)
        assert found.redundancy + found.unique_first == pytest.approx(mutual(joint.sum(1)), abs=1e-9)


def test_agrees_with_a_general_optimiser():
    from scipy.optimize import minimize

    joint = np.random.default_rng(1).dirichlet(np.ones(12)).reshape(2, 3, 2)

    def objective(free):
        q = joint.copy()
        for y in range(2):  # moves that keep both marginals of each y
            for k in range(2):
                d = free[2 * y + k]
                q[0, k, y] += d
                q[1, k, y] -= d
                q[0, 2, y] -= d
                q[1, 2, y] += d
        return 1e3 if (q < 0).any() else mutual(q.reshape(6, 2))

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20000}
    best = minimize(objective, np.zeros(4), method="Nelder-Mead", options=options).fun
    found = decompose(joint)
    assert found.total - found.synergy == pytest.approx(best, abs=1e-4)


def test_impossible_values_do_not_matter():
    small = gate(lambda a, b: a & b)
    padded = np.zeros((4, 3, 5))
    padded[:2, :2, :2] = small
    assert parts(decompose(padded)) == pytest.approx(parts(decompose(small)), abs=1e-9)


def test_counts_of_labellings():
    table = table_of(np.array([0, 1, 1]), np.array([0, 0, 2]), np.array([1, 0, 1]))
    assert table.shape == (2, 3, 2) and table[1, 2, 1] == 1 and table.sum() == 3


def test_what_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match="needs a table of three dimensions"):
        decompose(np.ones((2, 2)))
    with pytest.raises(ValueError, match="without negative entries"):
        decompose(-np.ones((2, 2, 2)))
