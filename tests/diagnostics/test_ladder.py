"""The interaction ladder against the lecture's printed tables, rebuilt from n = 300 book reviews."""

from __future__ import annotations

import numpy as np
import pytest

from fusionnas.diagnostics.measures.ladder import false_discoveries, independent, ladder


def reviews() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """119 critics and 181 others with one smile grid each; the residual has sd 1 and is orthogonal to the design.

    The printed tables imply P(critic) = (1.19 - 0.68) / 1.29 and mean smile (2.94 - 1.69) / 1.29.
    """
    critic = np.repeat([1.0, 0.0], [119, 181])
    smile = np.concatenate([np.linspace(0, 2 * 1.25 / 1.29, n) for n in (119, 181)])
    design = np.column_stack((np.ones(300), smile, critic, smile * critic))
    noise = np.random.default_rng(0).normal(size=300)
    noise -= design @ np.linalg.lstsq(design, noise, rcond=None)[0]
    noise *= np.sqrt(296 / (noise @ noise))
    return design @ [5.79, 0.68, -2.94, 1.29] + noise, smile, critic


def test_the_three_tables_of_the_lecture() -> None:
    rungs = ladder(*reviews()).rungs
    np.testing.assert_allclose(rungs[0].estimates, [4.63, 1.20], atol=0.01)
    np.testing.assert_allclose(rungs[1].estimates, [5.29, 1.19, -1.69], atol=0.005)
    np.testing.assert_allclose(rungs[2].estimates, [5.79, 0.68, -2.94, 1.29], atol=1e-10)


def test_h2_is_a_t_test_and_a_partial_f_test_in_one() -> None:
    last = ladder(*reviews()).rungs[2]
    assert last.residual == 296
    assert last.adds == pytest.approx(last.statistics[3] ** 2, rel=1e-9)
    assert last.adds_p_value == pytest.approx(last.p_values[3], rel=1e-6)
    _, smile, critic = reviews()
    spread = [((smile[critic == c] - smile.mean()) ** 2).sum() for c in (0, 1)]
    assert last.statistics[3] == pytest.approx(1.29 / np.sqrt(sum(1 / s for s in spread)), rel=1e-9)
    assert last.statistics[3] == pytest.approx(6.16, abs=0.01)


@pytest.mark.parametrize("binary", [False, True])
def test_only_the_interaction_test_does_not_depend_on_the_coding(binary: bool) -> None:
    score, smile, critic = reviews()
    outcome = (score > np.median(score)).astype(float) if binary else score
    plain = ladder(outcome, smile, critic, binary=binary)
    centred = ladder(outcome, smile - smile.mean(), critic - critic.mean(), binary=binary)
    scaled = ladder(outcome, 3 * smile + 1, 1 - critic, binary=binary)
    assert plain.logistic is binary
    for other in (centred, scaled):
        assert other.interaction_p == pytest.approx(plain.interaction_p, rel=1e-6)
        assert other.gain == pytest.approx(plain.gain, rel=1e-6)
        assert other.rungs[2].adds == pytest.approx(plain.rungs[2].adds, rel=1e-6)
    assert abs(centred.rungs[2].estimates[1] - plain.rungs[2].estimates[1]) > 0.1


def test_centring_moves_the_lower_terms_as_the_catalogue_says() -> None:
    score, smile, critic = reviews()
    centred = ladder(score, smile - smile.mean(), critic - critic.mean()).rungs[2]
    np.testing.assert_allclose(centred.estimates[1:], [1.192, -1.69, 1.29], atol=0.001)


def test_hc3_by_hand() -> None:
    outcome, first, second = reviews()
    x = np.column_stack((np.ones(300), first, second, first * second))
    bread = np.linalg.inv(x.T @ x)
    hat = np.einsum("ni,ij,nj->n", x, bread, x)
    residual = outcome - x @ (bread @ x.T @ outcome)
    meat = (x * (residual / (1 - hat))[:, None] ** 2).T @ x
    fitted = ladder(outcome, first, second).rungs[2]
    assert fitted.robust_errors is not None
    np.testing.assert_allclose(fitted.robust_errors, np.sqrt(np.diag(bread @ meat @ bread)[:, None])[:, 0], rtol=1e-8)


def test_logistic_finds_an_exclusive_or_that_no_sum_shows() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 500))
    outcome = (rng.random(500) < 1 / (1 + np.exp(-2 * a * b))).astype(float)
    found = ladder(outcome, a, b, binary=True)
    assert found.logistic and found.rungs[0].adds_p_value > 0.01 and found.rungs[1].adds_p_value > 0.01
    assert found.interaction_p < 1e-10 and found.gain > 0.1


def test_separable_classes_fall_back_to_a_linear_fit() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 60))
    found = ladder((a + b > 0).astype(float), a, b, binary=True)
    assert not found.logistic and found.rungs[2].robust_errors is not None


def test_variables_that_cannot_be_told_apart_are_refused() -> None:
    a = np.random.default_rng(3).normal(size=40)
    assert not independent(a, np.ones(40)) and independent(a, a**2)
    with pytest.raises(ValueError, match="are independent"):
        ladder(a, a, np.ones(40))


def test_benjamini_hochberg() -> None:
    assert false_discoveries([]) == []
    np.testing.assert_allclose(false_discoveries([0.01, 0.04, 0.03, 0.005]), [0.02, 0.04, 0.04, 0.02])
