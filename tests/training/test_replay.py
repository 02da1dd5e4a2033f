"""Replay: a recorded step is the step, to the last bit; what cannot be recorded runs as it always did."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusionnas.bench.search_steps import scene
from fusionnas.feature import Feature, all_there
from fusionnas.network import build
from fusionnas.run.unit import Checkpoint
from fusionnas.search import gradient, steps
from fusionnas.search.gradient import Relaxed, SupernetTraining
from fusionnas.search.steps import Drawn, Steps
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.training import train as loop
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.recording import Outputs
from fusionnas.training.replay import MOST, Replay, gradients
from fusionnas.training.train import Schedule, train
from tests.spaces import tiny_data, tiny_space


class Counted:
    """A function, and how often it ran itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        return self.function(*given)


def test_it_runs_itself_three_times_then_is_replayed_with_the_weights_as_they_are() -> None:
    layer, given = nn.Linear(3, 2), torch.randn(5, 3)

    def step(x: Tensor) -> Outputs:
        return gradients(layer(x).square().mean(), list(layer.parameters()))

    counted = Counted(step)
    replay = Replay(counted, after=0)
    for number in range(6):
        expected, found = step(given), replay(given)
        assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(expected, found, strict=True))
        with torch.no_grad():
            layer.weight.add_(float(number))
    assert counted.calls == 3  # to see how long it takes, to be recorded, and beside the first replay


def test_a_program_keeps_no_weights_alive() -> None:
    def replayed() -> weakref.ref[nn.Parameter]:
        layer = nn.Linear(3, 2)
        replay = Replay(lambda x: [layer(x).detach()], after=0)
        for _ in range(4):
            replay(torch.randn(5, 3))
        assert any(replay._programs.values())
        return weakref.ref(layer.weight)

    replayed()  # what is imported at the first time holds on to frames
    gc.disable()
    try:
        assert replayed()() is None
    finally:
        gc.enable()


def test_a_recording_holds_no_more_than_the_step() -> None:
    held: list[int] = []

    def step(x: Tensor) -> Outputs:
        made = []
        for _ in range(6):
            x = x + 1
            made.append(weakref.ref(x))
        held.append(sum(one() is not None for one in made))
        return [x]

    replay = Replay(step, after=0)
    for number in range(4):
        (found,) = replay(torch.full((2,), float(number)))
        assert found is not None and found.tolist() == [number + 6.0] * 2
    assert held == [1, 1, 1]


def test_each_form_of_arguments_has_its_own_program() -> None:
    counted = Counted(lambda named: [named["x"] * named["y"][0]])
    replay = Replay(counted, after=0)
    for size in (2, 3, 2, 3, 2, 3, 2, 3):
        x, y = torch.randn(size), torch.randn(size)
        (found,) = replay({"x": x, "y": [y]})
        assert found is not None and torch.equal(found, x * y)
    assert counted.calls == 6


def test_what_was_looked_at_is_looked_at_again_and_randomness_goes_back() -> None:
    def step(x: Tensor, flags: Tensor) -> Outputs:
        noise = torch.rand(3)
        if bool(flags.all()):
            return [x + noise]
        return [x * noise + sum(flags.tolist())]

    counted = Counted(step)
    replay = Replay(counted, after=0)
    some, every = torch.tensor([True, False, False]), torch.ones(3, dtype=torch.bool)
    for number, flags in enumerate((every, every, every, every, some, some, every, some, ~some, ~some, ~some)):
        x = torch.randn(3)
        with seeded(number):
            expected, state = step(x, flags)[0], torch.get_rng_state()
        with seeded(number):
            (found,) = replay(x, flags)
            assert torch.equal(torch.get_rng_state(), state)
        assert found is not None and expected is not None and torch.equal(found, expected), number
    assert counted.calls == 7  # timed; recorded and tried for every, for some and for two of three


def test_a_function_whose_looks_always_differ_is_left_alone() -> None:
    counted = Counted(lambda x: [x * float(x[0])])
    replay = Replay(counted, after=0)
    for number in range(20):
        x = torch.full((2,), float(number))
        (found,) = replay(x)
        assert found is not None and torch.equal(found, x * number)
    assert counted.calls == 20 and len(next(iter(replay._programs.values()))) == MOST


@pytest.mark.parametrize(
    "what",
    [
        lambda x, buffer: [x + torch.from_numpy(x.numpy())],
        lambda x, buffer: [x + buffer.add_(1)],
        lambda x, buffer: [x + buffer[:1].add_(1)],
        lambda x, buffer: [x + torch.rand(1, generator=torch.Generator().manual_seed(1))],
        lambda x, buffer: [torch.add(x, 1, out=torch.empty(2))],
    ],
    ids=["numpy", "a buffer", "a view of a buffer", "a generator", "out"],
)
def test_what_tensor_operations_do_not_tell_runs_itself(what: Callable[[Tensor, Tensor], Outputs]) -> None:
    buffers = [torch.zeros(2), torch.zeros(2)]
    counted = Counted(lambda x: what(x, buffers[0]))
    replay = Replay(counted, after=0)
    for _ in range(5):
        x = torch.randn(2)
        (found,), (expected,) = replay(x), what(x, buffers[1])
        assert found is not None and expected is not None and torch.equal(found, expected)
    assert torch.equal(*buffers)  # nothing happened twice, nor half
    assert counted.calls == 6  # the recording broke off, and it ran again


@pytest.mark.parametrize("drawn", [0, 1])
def test_code_that_remembers_is_found_out_at_the_first_replay(drawn: int) -> None:
    def remembering() -> Callable[[Tensor], Outputs]:
        seen: list[int] = []

        def step(x: Tensor) -> Outputs:
            seen.append(1)
            return [x * (1 if drawn else len(seen)) + torch.rand(1 + drawn * len(seen))[:1], None]

        return step

    counted, plain = Counted(remembering()), remembering()
    replay = Replay(counted, after=0)
    for number in range(8):
        x = torch.full((2,), float("nan") if number == 3 else 1.0)
        with seeded(number):
            expected, state = plain(x)[0], torch.get_rng_state()
        with seeded(number):
            found = replay(x)[0]
            assert torch.equal(torch.get_rng_state(), state)
        assert found is not None and expected is not None
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert counted.calls == 8


def test_a_generator_goes_on_with_what_it_is_sent() -> None:
    weight = nn.Parameter(torch.randn(4))

    def talk(x: Tensor) -> Generator[Outputs, Sequence[Tensor], Outputs]:
        (inner,) = torch.autograd.grad((weight**3 * x).sum(), weight, create_graph=True)
        (along,) = yield [inner.detach()]
        return torch.autograd.grad(inner, weight, along)

    counted = Counted(talk)
    replay = Replay(counted, after=0)
    for number in range(5):
        x = torch.randn(4)
        (found,) = replay(x, answer=lambda asked: [asked[0] * number])  # type: ignore[operator] # noqa: B023
        expected = 6 * weight * x * 3 * weight**2 * x * number
        torch.testing.assert_close(found, expected.detach())
    assert counted.calls == 3


def test_a_slow_step_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionnas.training.replay.SLOW", 0.0)
    counted = Counted(lambda x: [x + 1])
    replay = Replay(counted, after=0)
    for _ in range(5):
        replay(torch.zeros(1))
    assert counted.calls == 5


def test_flags_that_are_known_and_flags_that_are_not_are_two_forms() -> None:
    counted = Counted(lambda flags: [flags.float()])
    replay = Replay(counted, after=0)
    for _ in range(4):
        replay(all_there(2))
        replay(torch.zeros(2, dtype=torch.bool).as_strided((2,), all_there(2).stride()))
    assert counted.calls == 6


def directly(function: Callable[..., Any], *, after: int = 0) -> Callable[..., Any]:
    """In place of a Replay: the function itself."""
    return function


def test_a_training_with_replays_gives_the_bits_of_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    space, data = tiny_space(), tiny_data(96)
    architecture = max(space.enumerate(), key=lambda a: len(a.nodes))
    states, ran = [], []
    for replay in (Replay, directly):
        counted = []

        def kept(function: Callable[..., Any], replay: Any = replay, counted: list[Any] = counted) -> Any:
            counted.append(Counted(function))
            return replay(counted[-1])

        monkeypatch.setattr(loop, "Replay", kept)
        with seeded(0):
            network = build(space, architecture, data.signature)
        trained = train(network, data.train, Schedule(data.select, 30, 30), Recipe.of(space), seed=1)
        states.append({**network.state_dict(), "loss": torch.tensor(trained.history)})
        ran.append(sum(one.calls for one in counted))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert ran[0] < ran[1] / 2


@pytest.mark.parametrize("order", ["first", "second"])
def test_a_supernet_with_replays_gets_the_bits_of_one_without(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, data, states = tiny_space(), tiny_data(96), []
    for replay in (Replay, directly):
        monkeypatch.setattr(steps, "Replay", replay)
        if replay is directly:
            monkeypatch.setattr(Steps, "second_order", _as_before)
        with seeded(0):
            supernet, alphas = Supernet(space, data.signature), Alphas(space)
        relaxed = Relaxed(lambda alphas, share: alphas.mixing(softmax), order=order)  # type: ignore[arg-type]
        training = SupernetTraining(supernet, alphas, data, relaxed, Recipe.of(space), seed=2)
        training.run(lambda epoch: epoch / 12, Checkpoint(tmp_path / order, 0), lambda facts: None)
        states.append({**supernet.state_dict(), **alphas.state_dict()})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _as_before(self: Any, training: Drawn, held_out: Drawn, alphas: Any, penalty: Any, *, rate: float) -> list[Tensor]:
    def loss(drawn: Drawn) -> Tensor:
        logits = self._logits(drawn.inputs, drawn.mixing(), drawn.encoded)
        return gradient.nll(logits, drawn.target).mean()

    return gradient.second_order_gradient(
        lambda: loss(training), lambda: loss(held_out), self.weights, alphas, rate=rate
    )  # fmt: skip


def test_steps_are_the_gradients_of_the_loss() -> None:
    at = scene(0, 8)
    alphas, weights = list(at.alphas.parameters()), list(at.supernet.parameters())
    ours = Steps(at.supernet)
    found = ours.of_alphas(at.drawn(0), alphas, lambda mixing: mixing.output.square().sum())
    penalty = at.alphas.mixing(softmax).output.square().sum()
    expected = torch.autograd.grad(at.loss(0, at.supernet) + penalty, alphas, materialize_grads=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)
    own = torch.autograd.grad(at.loss(1, at.supernet), weights, allow_unused=True)
    for one, other in zip(ours.of_weights(at.drawn(1)), own, strict=True):
        assert one is other or (one is not None and other is not None and torch.equal(one, other))


def test_features_of_frozen_encoders_are_arguments() -> None:
    feature = Feature.vector(torch.randn(3, 2))
    counted = Counted(lambda encoded: [encoded["a"][0].values * 2])
    replay = Replay(counted, after=0)
    for _ in range(4):
        (found,) = replay({"a": [feature]})
        assert found is not None and torch.equal(found, feature.values * 2)
    assert counted.calls == 3
