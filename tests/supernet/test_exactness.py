"""The discrete network is the supernet at one-hot weights: the property that the project stands on."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionnas.network import build
from fusionnas.operators import operators
from fusionnas.supernet import Alphas, Supernet, discretize, one_hot
from fusionnas.supernet.mixing import even, level, softmax
from tests.spaces import DECISIONS, OPERATORS, random_inputs, tiny_signature, tiny_space


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    nodes=st.integers(1, 3),
    most=st.integers(2, 4),
    chosen=st.sets(st.sampled_from(OPERATORS), min_size=1),
    decision=st.sampled_from((*DECISIONS, None)),
)
def test_supernet_at_one_hot_equals_the_built_network(
    seed: int, nodes: int, most: int, chosen: set[str], decision: str | None
) -> None:
    names = sorted(chosen | ({decision} if decision else set()))
    space = tiny_space(nodes=nodes, inputs=f"[2, {most}]", operators=tuple(names))
    torch.manual_seed(seed)
    supernet = Supernet(space, tiny_signature()).double().eval()
    for path in supernet.wide.values():
        torch.nn.init.normal_(path.linear.weight)
    torch.nn.init.normal_(supernet.readout.bias)
    architecture = space.sample(random.Random(seed))
    network = build(space, architecture, tiny_signature()).double().eval()
    network.load_state_dict(supernet.extract(architecture))
    inputs = random_inputs(7, seed, dtype=torch.float64)
    with torch.no_grad():
        mixed = supernet(inputs, one_hot(space, architecture, dtype=torch.float64))
        alone = network(inputs)
    torch.testing.assert_close(mixed, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in operators if name not in (*OPERATORS, *DECISIONS)])
def test_every_operator_is_exact_beside_one_that_reads_vectors_and_one_that_reads_tokens(name: str) -> None:
    space = tiny_space(nodes=3, inputs="2", operators=tuple({name, "additive", "cross_attention"}))
    torch.manual_seed(0)
    supernet = Supernet(space, tiny_signature()).double().eval()
    inputs, rng = random_inputs(7, 1, dtype=torch.float64), random.Random(2)
    drawn = (space.sample(rng, nodes=3) for _ in range(1000))
    for architecture in itertools.islice((a for a in drawn if name in {n.operator for n in a.nodes}), 3):
        network = build(space, architecture, tiny_signature()).double().eval()
        network.load_state_dict(supernet.extract(architecture))
        with torch.no_grad():
            mixed = supernet(inputs, one_hot(space, architecture, dtype=torch.float64))
            torch.testing.assert_close(mixed, network(inputs), rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_one_hot_weights_decode_to_their_architecture(seed: int) -> None:
    space = tiny_space(nodes=3, inputs="[2, 4]", operators=(*OPERATORS, "late_vote"))
    architecture = space.sample(random.Random(seed))
    decoded = discretize(space, one_hot(space, architecture))
    assert decoded == architecture


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_alphas_decode_to_an_architecture_of_the_space(seed: int) -> None:
    space = tiny_space(nodes=3, inputs="[2, 4]", operators=(*OPERATORS, "late_vote"))
    alphas = Alphas(space)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in alphas.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    assert space.problems(discretize(space, alphas.mixing(softmax))) == []


def test_alphas_are_parameters_in_the_state_dict_in_named_groups() -> None:
    alphas = Alphas(tiny_space())
    names = {name.split(".")[0] for name in alphas.state_dict()}
    assert names == {"alpha", "alpha_none", "gamma", "beta", "output", "closures"}
    assert alphas.entropy() == pytest.approx(1.0)


def test_every_alpha_of_a_relaxed_supernet_gets_a_gradient() -> None:
    space = tiny_space()
    torch.manual_seed(0)
    supernet, alphas = Supernet(space, tiny_signature()), Alphas(space)
    supernet(random_inputs(16, 0), alphas.mixing(softmax)).square().sum().backward()
    silent = {name for name, p in alphas.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert silent == {"beta.a", "beta.c"}  # one encoder: nothing to choose


def test_even_mixture_keeps_unit_variance_and_closed_slots_closed() -> None:
    weights = even(torch.tensor([[0.0, 5.0, -torch.inf, 1.0]]))
    torch.testing.assert_close(weights.square().sum(-1), torch.ones(1))
    assert weights[0, 2] == 0
    torch.testing.assert_close(level(torch.tensor([0.3, -1.0])).square().sum(), torch.tensor(1.0))
