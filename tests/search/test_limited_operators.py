"""Operators of plug-ins: some take two inputs only, some need three, some cannot be stacked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fusionnas.architecture import Node, NodeRef, Point
from fusionnas.network import build
from fusionnas.operators import operators
from fusionnas.operators.additive import Additive
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.ablation import without
from fusionnas.search.contest import Contest
from fusionnas.search.features import build_caches
from fusionnas.search.halving import halve, rescore
from fusionnas.search.heads import Candidate, HeadSettings, SequentialHeads, stackable
from fusionnas.search.method import Problem, Task, methods
from fusionnas.search.pool import pool
from fusionnas.search.references import named
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas, Supernet, discretize, one_hot
from fusionnas.supernet.mixing import even, softmax
from tests.spaces import random_inputs, tiny_data, tiny_signature, tiny_space


class Pairs(Additive):
    inputs_range = (2, 2)
    stackable = False


class Triples(Additive):
    inputs_range = (3, None)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert "mlp" in operators  # found before two more are added, and taken away again
    monkeypatch.setitem(operators._entries, "pairs", Pairs)
    monkeypatch.setitem(operators._entries, "triples", Triples)
    yield


def layers_of(space: SearchSpace) -> dict[str, tuple[str, ...]]:
    return {name: (m.encoder[0],) * m.levels for name, m in space.file.modalities.items()}


@pytest.mark.parametrize("seed", range(6))
def test_supernet_at_one_hot_equals_the_built_network(seed: int) -> None:
    space = tiny_space(nodes=2, inputs="[2, 4]", operators=("pairs", "triples", "gated"))
    torch.manual_seed(seed)
    supernet = Supernet(space, tiny_signature()).double().eval()
    architecture = space.sample(random.Random(seed), nodes=2)
    network = build(space, architecture, tiny_signature()).double().eval()
    network.load_state_dict(supernet.extract(architecture))
    inputs = random_inputs(5, seed, dtype=torch.float64)
    with torch.no_grad():
        mixed = supernet(inputs, one_hot(space, architecture, dtype=torch.float64))
        torch.testing.assert_close(mixed, network(inputs), rtol=0, atol=1e-6)
    assert discretize(space, one_hot(space, architecture)) == architecture


def test_any_alphas_decode_to_as_many_inputs_as_the_operator_takes() -> None:
    space = tiny_space(nodes=3, inputs="[2, 4]", operators=("pairs", "triples"))
    seen = set()
    for seed in range(30):
        alphas, generator = Alphas(space), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in alphas.parameters():
                parameter.copy_(3 * torch.randn(parameter.shape, generator=generator))
            alphas.output[: len(space.points())] -= 20
        found = discretize(space, alphas.mixing(softmax))
        assert space.problems(found) == []
        seen |= {(node.operator, len(node.inputs)) for node in found.nodes}
    assert seen == {("pairs", 2), ("triples", 3), ("triples", 4)}


def test_pool_holds_only_architectures_of_the_space_and_references() -> None:
    space = tiny_space(nodes=2, inputs="[2, 4]", operators=("additive", "pairs", "triples", "mlp"))
    sampled = pool(space, layers_of(space), heads=200, rng=random.Random(0)).rest
    assert sampled is not None and len(sampled) == len(set(sampled)) == 200
    assert [space.problems(a) for a in sampled] == [[]] * 200
    assert {n.operator for a in sampled for n in a.nodes} == {"additive", "pairs", "triples", "mlp"}
    assert sampled == pool(space, layers_of(space), heads=200, rng=random.Random(0)).rest
    assert sampled != pool(space, layers_of(space), heads=200, rng=random.Random(1)).rest


def test_fixed_references_chain_what_takes_two_and_leave_out_what_cannot_be_fed() -> None:
    space = tiny_space(nodes=2, inputs="[2, 4]", operators=("pairs", "triples"))
    found = named(space, layers_of(space))
    assert str(found["fixed pairs"]) == "#0 = pairs(a.1, b.2); #1 = pairs(c.1, #0)"
    assert str(found["fixed triples"]) == "triples(a.1, b.2, c.1)"
    two = SearchSpace.parse(
        "{name: two, task: {kind: binary}, modalities: {a: {kind: vector, encoder: mlp}, "
        "b: {kind: vector, encoder: mlp}}, fusion: {inputs: [2, 3], operators: [mlp, triples]}}"
    )
    assert list(named(two, layers_of(two))) == ["only a", "only b", "early fusion", "late fusion", "fixed mlp"]


def test_a_node_that_would_lack_inputs_cannot_be_simplified() -> None:
    space = tiny_space(nodes=2, inputs="[2, 4]", operators=("mlp", "triples"))
    a, b, c, d = Point("a", 0), Point("b", 0), Point("b", 1), Point("c", 1)
    architecture = space.architecture([Node((a, b, c, d), "triples")])
    assert str(without(space, architecture, [a], layers_of(space))) == "triples(b.0, b.1, c.1)"
    assert without(space, architecture, [a, b], layers_of(space)) is None
    assert str(without(space, architecture, [a, b, c], layers_of(space))) == "only c.1"
    chain = space.architecture([Node((a, b), "mlp"), Node((c, d, NodeRef(0)), "triples")])
    assert without(space, chain, [a, b], layers_of(space)) is None


def test_heads_that_cannot_be_stacked_train_one_by_one_and_compete() -> None:
    space, data = tiny_space(operators=("pairs", "mlp"), inputs="2"), tiny_data()
    torch.manual_seed(0)
    supernet = Supernet(space, tiny_signature()).eval()
    mixing = Alphas(space).mixing(even)
    parts = {"train": data.train, "select": data.select}
    caches = build_caches(lambda inputs: supernet.encode(inputs, mixing), parts, space.points(), tokens=False)
    settings = HeadSettings(width=8, outputs=1, batch_size=32, dropout=0.1)
    rng = random.Random(0)
    drawn = dict.fromkeys(space.sample(rng, nodes=1) for _ in range(20))
    members = [c for c in (Candidate(a, 7) for a in drawn) if c.operators == ("pairs",)]
    assert len(members) > 3 and not stackable(members[0].operators)

    heads = SequentialHeads(members, settings, space.points())
    heads.fit(caches["train"], [1.0], seed=3)
    before = heads.losses(caches["select"])
    assert before.shape == (len(members), len(data.select)) and not before.requires_grad
    alone = SequentialHeads(members[1:2], settings, space.points())
    alone.fit(caches["train"], [1.0], seed=3)
    assert torch.equal(alone.losses(caches["select"]), before[1:2])

    contest = Contest(caches["train"], caches["select"], settings, seed=0)
    ranked = halve([Candidate(a, 7) for a in drawn], contest, rungs=(1, 1), eta=4, keep=3, watch=lambda *_: None)
    losses = [loss for _, loss in ranked]
    assert losses == sorted(losses) and len(ranked) == max(3, -(-len(drawn) // 4))
    table = rescore([members[0].architecture], contest, epochs=1, seeds=2, watch=lambda *_: None)
    assert not table.requires_grad and table.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(methods))
def test_methods_search_spaces_of_limited_operators(name: str, tmp_path: Path) -> None:
    space = tiny_space(nodes=2, inputs="[2, 4]", operators=("pairs", "triples"))
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        task = Task(Problem(space, tiny_data(), 3), run, QuietProgress(stages=False))
        found = methods[name](task)
    references = named(space, found.layers).values()
    assert all(a in references or space.problems(a) == [] for a in found.finalists)
