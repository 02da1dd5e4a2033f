"""A gated network: routing equals computing everything, what is skipped is not computed, absence closes gates."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from fusionnas.architecture import Architecture, Gates, Node, NodeRef, Point
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.plan import Ask, Encode, Fuse, plan_of
from fusionnas.network import build
from tests.spaces import OPERATORS, random_inputs, tiny_signature, tiny_space

SPACE = tiny_space(nodes=3, operators=(*OPERATORS, "late_product"))
CHAIN = SPACE.architecture(
    [Node((Point("a", 0), Point("c", 1)), "mlp"), Node((Point("b", 2), NodeRef(0)), "gated")],
    layers={"b": ("gru", "tcn")},
)


def gated(architecture: Architecture, gates: Gates, *, seed: int = 0) -> GatedNetwork:
    torch.manual_seed(seed)
    network = build(SPACE, replace(architecture, gates=gates), tiny_signature()).double().eval()
    assert isinstance(network, GatedNetwork)
    for parameter in network.gates.parameters():
        torch.nn.init.normal_(parameter)  # decisions of both kinds
    for path in network.wide.values():
        torch.nn.init.normal_(path.linear.weight)
    return network


def random_gates(architecture: Architecture, rng: random.Random) -> Gates:
    names = list(architecture.modalities)
    rng.shuffle(names)
    stages = tuple((name,) for name in names) if rng.random() < 0.5 else ()
    nodes = tuple((i, rng.choice(n.inputs)) for i, n in enumerate(architecture.nodes) if rng.random() < 0.7)
    return Gates(stages, nodes)


def test_routed_equals_dense_for_random_architectures_and_gates():
    rng, worst, split = random.Random(1), 0.0, 0
    for trial in range(60):
        architecture = SPACE.sample(rng, nodes=rng.randint(1, 3))
        network = gated(architecture, random_gates(architecture, rng), seed=trial)
        for size in (1, 2, 33):
            inputs = random_inputs(size, trial, dtype=torch.float64)
            with torch.no_grad():
                dense, routed = network.dense(inputs), network(inputs)
                decisions = network.decided(network.encode(inputs), inputs, network.draw).decisions
            worst = max(worst, float((dense - routed).abs().max()))
            split += any(0 < float(d.mean()) < 1 for d in decisions.values())
    assert worst < 1e-9
    assert split > 40  # many batches were really split


def test_what_is_skipped_is_not_computed():
    network = gated(CHAIN, Gates(nodes=((1, NodeRef(0)),)))
    inputs = random_inputs(50, 3, dtype=torch.float64)
    rows: list[int] = []
    network.encoders["b"].stem.register_forward_hook(lambda module, given, out: rows.append(len(out.values)))
    with torch.no_grad():
        decisions = network.decided(network.encode(inputs), inputs, network.draw).decisions
        wanted = int((decisions["node_1"] > 0).sum())
        rows.clear()
        network(inputs)
    assert rows == [wanted] and 0 < wanted < 50


def test_a_batch_of_one_takes_plain_branches():
    network = gated(CHAIN, Gates(nodes=((1, NodeRef(0)),)))
    calls: list[str] = []
    network.encoders["b"].stem.register_forward_hook(lambda *_: calls.append("b"))
    inputs = random_inputs(30, 3, dtype=torch.float64)
    with torch.no_grad():
        decisions = network.decided(network.encode(inputs), inputs, network.draw).decisions
        for row, wanted in enumerate(decisions["node_1"].tolist()):
            calls.clear()
            network({name: feature.rows(torch.tensor([row])) for name, feature in inputs.items()})
            assert len(calls) == int(wanted)


def test_stages_after_one_that_was_not_asked_for_are_not_run():
    network = gated(CHAIN, Gates(stages=(("a",), ("c",), ("b",))))
    inputs = random_inputs(64, 4, dtype=torch.float64)
    rows = {"a": 0, "b": 0, "c": 0}

    def count(name: str) -> None:
        def hook(module: torch.nn.Module, given: object, out: list[object]) -> None:
            rows[name] += len(out[0].values)  # type: ignore[attr-defined]

        network.encoders[name].register_forward_hook(hook)

    with torch.no_grad():
        decisions = network.decided(network.encode(inputs), inputs, network.draw).decisions
        for name in rows:
            count(name)
        network(inputs)
    first, second = decisions["stage_1"] > 0, decisions["stage_2"] > 0
    assert not bool((second & ~first).any())
    present = {name: feature.present for name, feature in inputs.items()}
    assert rows == {"a": int(present["a"].sum()), "c": int((present["c"] & first).sum()),
                    "b": int((present["b"] & second).sum())}  # fmt: skip


def test_a_gate_of_what_a_sample_lacks_is_closed_and_of_all_it_has_open():
    network = gated(CHAIN, Gates(nodes=((1, NodeRef(0)),)))
    inputs = random_inputs(40, 5, dtype=torch.float64)
    with torch.no_grad():
        features = network.encode(inputs)
        decisions = network.decided(features, inputs, lambda name, logit, chance: torch.ones_like(logit)).decisions
        lacking = ~inputs["b"].present
        assert lacking.any() and not bool(decisions["node_1"][lacking].any())
        decisions = network.decided(features, inputs, lambda name, logit, chance: torch.zeros_like(logit)).decisions
        only = inputs["b"].present & ~inputs["a"].present & ~inputs["c"].present
        assert only.any() and bool(decisions["node_1"][only].all())


def test_what_only_a_skipped_node_needs_is_in_its_branch():
    steps = plan_of(replace(CHAIN, gates=Gates(nodes=((0, Point("a", 0)), (1, NodeRef(0))))))
    inner = Ask(0, Point("a", 0), (Encode(Point("c", 0)), Encode(Point("c", 1)), Fuse(0)), (Point("a", 0), "c"), ("c",))
    outer = Ask(1, NodeRef(0), (*(Encode(Point("b", level)) for level in range(3)), Fuse(1)), (NodeRef(0), "b"), ("b",))
    assert steps == (Encode(Point("a", 0)), inner, outer)


def test_what_two_branches_need_is_computed_around_them():
    architecture = SPACE.architecture(
        [Node((Point("a", 0), Point("b", 1)), "mlp"), Node((Point("b", 1), NodeRef(0)), "gated")]
    )
    steps = plan_of(replace(architecture, gates=Gates(nodes=((0, Point("a", 0)), (1, NodeRef(0))))))
    assert [type(step) for step in steps] == [Encode, Encode, Encode, Ask, Ask]


def test_training_mode_follows_the_draw():
    network = gated(CHAIN, Gates(stages=(("a",), ("c",), ("b",)))).train()
    network.draw = lambda name, logit, chance: torch.zeros_like(logit)
    inputs = random_inputs(8, 6, dtype=torch.float64)
    changed = {**inputs, "b": inputs["b"].absent(), "c": inputs["c"].absent()}
    torch.manual_seed(0)
    first = network(inputs)
    torch.manual_seed(0)
    assert torch.equal(first, network(changed))


def test_gates_are_part_of_the_id_and_of_json():
    architecture = replace(CHAIN, gates=Gates((("a", "c"), ("b",)), ((1, NodeRef(0)),)))
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert architecture.id != CHAIN.id and architecture != CHAIN
