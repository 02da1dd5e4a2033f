"""EMAP on functions whose projection is known, and on networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.diagnostics.measures.pairings import Pairings
from fusionnas.diagnostics.measures.projection import project
from fusionnas.feature import Feature
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.space import SearchSpace


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def of(function: Callable[..., Tensor], **values: Tensor) -> Callable[[Mapping[str, Tensor]], Tensor]:
    return lambda index: function(*(value[index[name]] for name, value in values.items())).unsqueeze(-1)


def test_the_example_of_the_papers_appendix() -> None:
    table = torch.tensor([[-1.3, 0.3, -0.2], [0.8, 3.0, 1.1], [1.1, -0.1, 0.7]], dtype=torch.float64)
    found = project(lambda i: table[i["a"], i["b"]].unsqueeze(-1), ("a", "b"), 3, generator=generator())
    torch.testing.assert_close(found.values[:, 0], torch.tensor([-0.8, 2.1, 0.5], dtype=torch.float64))
    assert found.exact and found.evaluations == 9 and found.error_of(lambda v: float(v.mean())) == 0


def test_both_centring_conventions_give_the_same_projection() -> None:
    a, b = torch.randn(2, 50, dtype=torch.float64, generator=generator())
    found = project(of(lambda x, y: x * y + x + 2, a=a, b=b), ("a", "b"), 50, generator=generator())
    for component in found.components.values():
        torch.testing.assert_close(component.mean(0), torch.zeros(1, dtype=torch.float64), atol=1e-12, rtol=0)
    paper = torch.stack([*found.uncentred().values()]).sum(0) - found.constant
    torch.testing.assert_close(paper, found.values)


@pytest.mark.parametrize(("size", "most"), [(40, 10**6), (300, 20_000)])
def test_additive_functions_are_their_own_projection_however_few_partners_are_drawn(size: int, most: int) -> None:
    a, b, c = torch.randn(3, size, dtype=torch.float64, generator=generator())
    function = of(lambda x, y, z: x.exp() + y.square() - 3 * z, a=a, b=b, c=c)
    for names, kept in ((("a", "b", "c"), function), (("a", "b"), of(lambda x, y: x.exp() - y, a=a, b=b))):
        found = project(kept, names, size, generator=generator(), most=most)
        every = {name: torch.arange(size) for name in names}
        torch.testing.assert_close(found.values, kept(every), atol=1e-9, rtol=0)
    assert found.exact


def test_a_product_of_centred_variables_has_a_constant_projection() -> None:
    a, b = torch.randn(2, 80, dtype=torch.float64, generator=generator())
    a, b = a - a.mean(), b - b.mean()
    found = project(of(torch.mul, a=a, b=b), ("a", "b"), 80, generator=generator())
    torch.testing.assert_close(found.values, found.constant.expand(80, 1), atol=1e-12, rtol=0)


def test_projecting_twice_changes_nothing_and_sums_project_to_sums() -> None:
    a, b = torch.randn(2, 30, dtype=torch.float64, generator=generator())
    first, second = of(lambda x, y: (x * y).sin(), a=a, b=b), of(lambda x, y: (x + y).tanh(), a=a, b=b)
    once = project(first, ("a", "b"), 30, generator=generator())
    parts = once.uncentred()
    again = project(lambda i: parts["a"][i["a"]] + parts["b"][i["b"]] - once.constant, ("a", "b"), 30,
                    generator=generator())  # fmt: skip
    torch.testing.assert_close(again.values, once.values)
    both = project(lambda i: 2 * first(i) - second(i), ("a", "b"), 30, generator=generator())
    other = project(second, ("a", "b"), 30, generator=generator())
    torch.testing.assert_close(both.values, 2 * once.values - other.values)


def test_drawn_partners_come_close_and_their_error_says_how_close() -> None:
    size, errors, told = 400, [], []
    a, b, c = torch.randn(3, size, dtype=torch.float64, generator=generator())
    function = of(lambda x, y, z: x * y + y * z + x, a=a, b=b, c=c)
    exact = a * b.mean() + b * (a.mean() + c.mean()) + c * b.mean() + a
    exact = exact - (a.mean() * b.mean() + b.mean() * c.mean())
    for seed in range(12):
        found = project(function, ("a", "b", "c"), size, generator=torch.Generator().manual_seed(seed), most=60_000)
        assert not found.exact and found.evaluations <= 70_000
        errors.append(float(found.values[0, 0] - exact[0]))
        told.append(found.error_of(lambda v: float(v[0, 0])))
    assert 0.4 < np.std(errors) / np.mean(told) < 2.5
    assert np.abs(errors).max() < 1.5


SPACE = """
name: pairs
data: {format: npz, train: none.npz, target: label}
task: {kind: binary, target: label, metric: roc_auc}
modalities:
  left: {kind: vector, encoder: mlp, levels: 1, wide: true}
  series: {kind: timeseries, encoder: gru, levels: 1, steps: 6}
  right: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 2, width: 8, inputs: [2, 3], operators: [additive, mlp, cross_attention]}
"""


def network_of(nodes: list[Node], count: int = 60) -> tuple[SearchSpace, FusionNetwork, dict[str, Feature]]:
    from fusionnas.feature import InputSpec, Signature

    space = SearchSpace.parse(SPACE)
    rng = generator()
    mask = torch.rand(count, 6, generator=rng) < 0.8
    mask[:, 0] = True
    present = torch.rand(count, generator=rng) < 0.9
    inputs = {
        "left": Feature.vector(torch.randn(count, 5, generator=rng)),
        "series": Feature(torch.randn(count, 6, 4, generator=rng) * mask.unsqueeze(-1), mask, mask.any(1)),
        "right": Feature.vector(torch.randn(count, 3, generator=rng), present),
    }
    signature = Signature({"left": InputSpec(5), "series": InputSpec(4, 6), "right": InputSpec(3)}, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(space, space.architecture(nodes), signature).eval()
        for path in network.wide.values():
            torch.nn.init.normal_(path.linear.weight)
    return space, network, inputs


LEFT, LEFT0, SERIES, RIGHT = Point("left", 1), Point("left", 0), Point("series", 1), Point("right", 1)
NETWORKS = {
    "one node": [Node((LEFT, SERIES, RIGHT), "mlp")],
    "a node of one modality first": [Node((LEFT, LEFT0), "mlp"), Node((NodeRef(0), SERIES), "mlp")],
    "tokens meet": [Node((SERIES, LEFT), "cross_attention"), Node((NodeRef(0), RIGHT), "mlp")],
}


@pytest.mark.parametrize("nodes", NETWORKS.values(), ids=NETWORKS)
def test_pairings_give_what_the_network_gives_on_re_paired_inputs(nodes: list[Node]) -> None:
    space, network, inputs = network_of(nodes)
    pairings = Pairings(space, network, inputs)
    index = {name: torch.randperm(60, generator=generator()).roll(k) for k, name in enumerate(pairings.sources)}
    moved = {name: feature.rows(index[name]) for name, feature in inputs.items() if name in index}
    torch.testing.assert_close(pairings(index), predict(network, moved).double(), atol=1e-5, rtol=1e-5)


def test_an_additive_network_has_no_gap() -> None:
    space, network, inputs = network_of([Node((LEFT, SERIES, RIGHT), "additive")])
    pairings = Pairings(space, network, inputs)
    found = project(pairings, pairings.sources, pairings.size, generator=generator(), most=4_000)
    assert not found.exact
    torch.testing.assert_close(pairings.own(), predict(network, inputs).double(), atol=1e-5, rtol=1e-5)
    assert float((found.values - pairings.own()).abs().max()) < 1e-12


def test_a_network_with_interaction_has_a_gap() -> None:
    space, network, inputs = network_of([Node((LEFT, RIGHT), "mlp")])
    pairings = Pairings(space, network, inputs)
    found = project(pairings, pairings.sources, pairings.size, generator=generator())
    assert found.exact and float((found.values - predict(network, inputs)).abs().max()) > 1e-3


def test_an_architecture_of_one_modality_is_its_own_projection() -> None:
    space, network, inputs = network_of([Node((LEFT, LEFT0), "mlp")])
    pairings = Pairings(space, network, inputs)
    found = project(pairings, pairings.sources, pairings.size, generator=generator())
    assert pairings.sources == ("left",)
    torch.testing.assert_close(found.values, predict(network, inputs).double(), atol=1e-5, rtol=1e-5)
    assert isinstance(network.architecture, Architecture)
