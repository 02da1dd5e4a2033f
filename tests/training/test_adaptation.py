"""Low-rank adaptation: what is trained, what stays, and that merging changes no output."""

from __future__ import annotations

import copy

import pytest
import torch

from fusionnas.layers import Linear, SlotLinear
from fusionnas.space.schema import Adaptation
from fusionnas.training.adaptation import adapt, is_update, merge
from fusionnas.training.optimizer import make_optimizer
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, train
from tests.training.test_loop import DATA, SELECT, TRAINING, network, same

SETTINGS = Adaptation(rank=2, alpha=6.0)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_an_update_starts_at_nothing_and_is_the_scaled_product_of_two_matrices():
    layer, x = Linear(6, 5), torch.randn(3, 6)
    before, weight = layer(x), layer.weight.detach().clone()
    adapt([layer], SETTINGS)
    assert torch.equal(layer(x), before)
    update = layer.parametrizations.weight[0]
    torch.nn.init.normal_(update.up)
    torch.testing.assert_close(layer.weight, weight + 3 * update.up @ update.down)
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == 2 * (6 + 5)


def test_all_slots_share_one_update():
    layer = SlotLinear(3, 6, fan_out=5)
    adapt([layer], SETTINGS)
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == 2 * (6 + 3 * 5)


def test_weights_that_are_smaller_than_their_update_stay():
    layer = Linear(6, 2)
    adapt([layer], SETTINGS)
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == []
    assert not any(is_update(f"x.{name}") for name, _ in layer.named_parameters())


def test_merging_gives_the_old_form_and_the_same_output():
    layer, x = Linear(6, 5), torch.randn(3, 6)
    names = set(layer.state_dict())
    adapt([layer], SETTINGS)
    torch.nn.init.normal_(layer.parametrizations.weight[0].up)
    weight = layer.parametrizations.weight.original
    frozen, expected = weight.detach().clone(), layer(x)
    merge(layer)
    assert set(layer.state_dict()) == names and layer.weight.requires_grad
    torch.testing.assert_close(layer(x), expected)
    assert torch.equal(weight, frozen)  # a new tensor took its place


def test_switching_between_train_and_eval_leaves_every_weight_as_it_is():
    """The authors' code adds the update to the weight and takes it away again, which drifts in half precision."""
    layer = Linear(64, 64).bfloat16()
    adapt([layer], SETTINGS)
    torch.nn.init.normal_(layer.parametrizations.weight[0].up)
    start = copy.deepcopy(layer.state_dict())
    for _ in range(5):
        layer.train()(torch.randn(2, 64, dtype=torch.bfloat16))
        layer.eval()(torch.randn(2, 64, dtype=torch.bfloat16))
    assert all(torch.equal(value, start[name]) for name, value in layer.state_dict().items())


def test_an_adapted_encoder_differs_by_a_matrix_of_low_rank_and_ends_in_its_own_form():
    net, start = network(), network()
    settings = TRAINING.model_copy(update={"adapt": SETTINGS})
    train(net, DATA, Schedule(SELECT, 3, 3), Recipe(settings, {"b": "adapt"}), seed=5)
    assert net.state_dict().keys() == start.state_dict().keys()
    changed = {}
    for name, value in net.state_dict().items():
        if name.startswith("encoders.b.") and not torch.equal(value, start.state_dict()[name]):
            changed[name] = int(torch.linalg.matrix_rank((value - start.state_dict()[name]).flatten(0, -2), tol=1e-5))
    assert changed and set(changed.values()) <= {1, 2}
    assert all(name.endswith("weight") for name in changed)


def test_adapted_training_is_the_same_for_the_same_seed():
    first, second = network(), network()
    for net in (first, second):
        train(net, DATA, Schedule(SELECT, 2, 2), Recipe(TRAINING, {"a": "adapt", "b": "adapt"}), seed=5)
    assert same(first, second)


def test_a_supernet_keeps_encoders_that_are_to_be_adapted_frozen():
    net = network()
    make_optimizer(net, Recipe(TRAINING, {"b": "adapt"}))
    assert not any(p.requires_grad for name, p in net.named_parameters() if name.startswith("encoders.b."))
