"""The packed supernet computes what a loop over candidates and operators computes."""

from __future__ import annotations

import pytest
import torch

from fusionnas.bench.naive import naive_logits, naive_pairs
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators import operators
from fusionnas.operators.base import Slots
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.supernet.packing import Packing, first_maps
from fusionnas.supernet.pairs import mix_pairs

VECTOR = sorted(
    name for name in operators
    if not (operators[name].sequence or operators[name].decides) and operators[name].inputs_range[0] <= 2
)  # fmt: skip


def supernet_of(names: list[str], inputs: str = "2") -> tuple[Supernet, Alphas]:
    space = SearchSpace.parse(
        "{name: s, task: {kind: multiclass}, modalities: {a: {kind: vector, encoder: mlp, levels: 1}, "
        "b: {kind: vector, encoder: mlp, levels: 1}, c: {kind: vector, encoder: mlp, levels: 1}}, "
        f"fusion: {{nodes: 2, width: 8, inputs: {inputs}, operators: [{', '.join(names)}]}}, training: {{dropout: 0}}}}"
    )
    torch.manual_seed(0)
    supernet, alphas = Supernet(space, Signature({m: InputSpec(5) for m in "abc"}, 4)), Alphas(space)
    with torch.no_grad():
        for parameter in alphas.parameters():
            parameter.normal_()
    return supernet.eval(), alphas


def gradients(loss: torch.Tensor, alphas: Alphas) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, list(alphas.parameters()), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, alphas.parameters(), strict=True)]


@pytest.mark.parametrize("names", [[name] for name in VECTOR] + [VECTOR[i::4] for i in range(4)], ids="+".join)
def test_packed_equals_naive_in_logits_and_gradients(names: list[str]) -> None:
    most = min([3, *(operators[name].inputs_range[1] or 3 for name in names)])
    supernet, alphas = supernet_of(names, f"[2, {most}]")
    inputs = {m: Feature.vector(torch.randn(32, 5)) for m in "abc"}
    weight = torch.randn(32, 4)
    packed = supernet(inputs, alphas.mixing(softmax))
    naive = naive_logits(supernet, inputs, alphas.mixing(softmax))
    torch.testing.assert_close(packed, naive, rtol=0, atol=1e-5)
    scale = 1 / weight.numel()
    pairs = zip(gradients((packed * weight * scale).sum(), alphas), gradients((naive * weight * scale).sum(), alphas),
                strict=True)  # fmt: skip
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_supernet_is_one_program_for_torch_compile() -> None:
    supernet, alphas = supernet_of(["additive", "multiplicative", "gated", "mlp", "film"])
    inputs = {m: Feature.vector(torch.randn(16, 5)) for m in "abc"}

    def loss() -> torch.Tensor:
        return supernet(inputs, alphas.mixing(softmax)).square().mean()

    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="eager", dynamic=False)
    for _ in range(2):
        torch.testing.assert_close(compiled(), loss(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(gradients(compiled(), alphas), gradients(loss(), alphas), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    torch.compiler.reset()


@pytest.mark.parametrize("name", VECTOR)
def test_pairs_mixed_on_states_equal_pairs_one_by_one(name: str) -> None:
    torch.manual_seed(0)
    node = {n: operators[n](2, 8) for n in dict.fromkeys((name, "gated"))}
    states = torch.randn(5, 16, 8)
    weights, gamma = torch.rand(10).requires_grad_(), torch.rand(len(node)).requires_grad_()
    together = mix_pairs(node, Packing(node, 2, 8), states, weights, gamma)
    apart = naive_pairs(node, states, weights, gamma)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(*(torch.autograd.grad(x.mean(), (weights, gamma)) for x in (together, apart)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_first_maps_are_those_that_read_the_inputs_as_they_come() -> None:
    def found(name: str, inputs: int = 2) -> set[tuple[str, int]]:
        operator = operators[name](inputs, 8)
        names = {layer: path for path, layer in operator.named_modules()}
        return {(names[one.layer], one.slots) for one in first_maps(name, operator, inputs, 8)}

    assert found("additive") == {("project", 2)}
    assert found("gated", 3) == {("gates", 3), ("transforms", 3)}
    assert found("mlp") == {("hidden", 2)}  # the second map reads what the first gave
    assert found("film", 3) == {("project", 1)}  # the conditions leave the first input out


def test_looking_for_first_maps_draws_nothing_and_leaves_nothing_behind() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    operator = operators["gated"](2, 8)
    torch.manual_seed(1)
    first_maps("gated", operator, 2, 8)
    assert torch.equal(torch.rand(1), expected)
    assert not any(layer._forward_pre_hooks for layer in operator.modules())


def test_what_is_given_is_used_once() -> None:
    chosen = {name: operators[name](2, 8) for name in ("additive", "mlp", "gated", "multiplicative")}
    values, present = torch.randn(4, 2, 8), torch.ones(4, 2, dtype=torch.bool)
    expected = {name: op(Slots(values, present)).values for name, op in chosen.items()}
    packing = Packing(chosen, 2, 8)
    layers = [m for op in chosen.values() for m in op.modules() if isinstance(m, Linear | SlotLinear)]
    with packing.given(values, ["additive", "mlp", "multiplicative"]):
        waiting = [layer for layer in layers if layer.given is not None]
        assert len(waiting) == 2  # two maps of all inputs; one map per input alone is no group
        for name, op in chosen.items():
            for _ in range(2):
                torch.testing.assert_close(op(Slots(values, present)).values, expected[name])


def test_what_no_operator_asked_for_is_taken_back() -> None:
    chosen = {name: operators[name](2, 8) for name in ("additive", "mlp")}
    values = torch.randn(4, 2, 8)
    with pytest.raises(ZeroDivisionError), Packing(chosen, 2, 8).given(values, chosen):
        raise ZeroDivisionError
    assert all(m.given is None for op in chosen.values() for m in op.modules() if isinstance(m, Linear))


def test_slots_are_a_sequence_of_features() -> None:
    present = torch.tensor([[True, False], [True, True], [False, True]])
    values = torch.randn(3, 2, 4) * present.unsqueeze(-1)
    slots = Slots(values, present)
    assert len(slots) == 2 and len(slots[:1]) == 1
    assert torch.equal(slots[1].values, values[:, 1:]) and torch.equal(slots[-1].present, present[:, 1])
    assert [f.mask.shape for f in slots] == [(3, 1), (3, 1)]


def test_one_encoder_is_no_choice_and_sends_no_gradient_back() -> None:
    _, alphas = supernet_of(["additive"])
    layers = alphas.mixing(softmax).layers
    assert layers and not any(rows.requires_grad for rows in layers.values())
    assert alphas.mixing(softmax).output.requires_grad
