"""Gates and their relaxations: hard forward, gradients that do not starve."""

from __future__ import annotations

import torch

from fusionnas.feature import Feature
from fusionnas.gates.gate import CAP, Gate, coin, entropy, expected, exploring, hard, relaxed
from fusionnas.space.schema import Gating


def test_relaxed_decisions_are_exactly_zero_or_one():
    torch.manual_seed(0)
    logit = 3 * torch.randn(10_000)
    for noise in (False, True):
        drawn = relaxed(0.5, noise=noise)("gate", logit, 0.5)
        assert set(drawn.tolist()) == {0.0, 1.0}
    assert torch.equal(relaxed(0.5, noise=False)("gate", logit, 0.5), hard("gate", logit, 0.5))


def test_gumbel_noise_takes_a_branch_with_the_probability_of_its_logit():
    torch.manual_seed(0)
    logit = torch.full((50_000,), 1.0)
    share = float(relaxed(0.5, noise=True)("gate", logit, 0.5).mean())
    assert abs(share - float(torch.tensor(1.0).sigmoid())) < 0.01


def test_one_draw_has_one_noise_per_gate():
    torch.manual_seed(0)
    draw = relaxed(1.0, noise=True)
    first, again = (draw("node_0", torch.zeros(20), 0.5) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, draw("node_1", torch.zeros(20), 0.5))


def test_the_last_temperature_starves_no_gate():
    # DynMM's temperature .001 leaves 88 % of the rows with a gradient of exactly zero.
    torch.manual_seed(0)
    last = Gating().temperature[1]
    for temperature, starved in ((last, False), (0.001, True)):
        logit = (CAP * torch.tanh(2 * torch.randn(20_000) / CAP)).requires_grad_()
        relaxed(temperature, noise=False)("gate", logit, 0.5).sum().backward()
        assert logit.grad is not None
        assert (float((logit.grad.abs() < 1e-6).float().mean()) > 0.5) is starved


def test_coins_and_exploration_keep_every_branch_alive():
    torch.manual_seed(0)
    closed = torch.full((20_000,), -4.0)
    assert abs(float(coin("gate", closed, 0.75).mean()) - 0.75) < 0.02
    assert abs(float(exploring(0.2)("gate", closed, 0.5).mean()) - 0.1) < 0.02


def test_a_gate_sees_which_features_are_there():
    torch.manual_seed(0)
    gate = Gate(2, 4, 3)
    first, second = (Feature.vector(torch.randn(3, 4)) for _ in range(2))
    assert gate([first, second]).shape == (3,)
    assert float((gate([first, second]) - gate([first, second.absent()])).detach().abs().min()) > 1e-4
    assert float(gate([Feature.vector(1e4 * torch.randn(3, 4)), second]).detach().abs().max()) <= CAP


def test_a_gate_goes_on_where_its_guess_is_in_doubt():
    torch.manual_seed(0)
    gate = Gate(1, 4, 3)
    seen = [Feature.vector(torch.randn(500, 4))]
    doubt = entropy(gate.guess(seen[0].values[:, 0])).detach()
    assert float(torch.corrcoef(torch.stack([gate(seen).detach(), doubt]))[0, 1]) > 0.9
    gate(seen).sum().backward()
    assert gate.guess.weight.grad is None and gate.doubt.grad is not None  # the guess is not bent to move the gate


def test_entropy_is_that_of_the_probabilities():
    probability = torch.tensor([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(entropy(probability.log()), torch.distributions.Categorical(probability).entropy())
    torch.testing.assert_close(entropy(torch.zeros(2, 1)), torch.full((2,), 2.0).log())


def test_expected_decisions_are_probabilities():
    logit = torch.linspace(-CAP, CAP, 9)
    torch.testing.assert_close(expected(0.5)("gate", logit, 0.5), (2 * logit).sigmoid())
