"""Checks that operators and encoders share: whatever maps features to a feature must be a good torch module.

A :class:`Subject` is one configuration under check. B batch, T tokens, D channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.testing.conformance import Violation, require, require_close, seeded
from fusionnas.testing.elsewhere import Mixed, second_device
from fusionnas.training.replay import Replay, gradients


@dataclass(frozen=True)
class Subject:
    """One configuration of an operator or an encoder layer.

    Attributes:
        label: says which, in messages ("2 inputs", "kind text").
        construct: width -> a new module, from torch's global generator.
        tokens: T of each input.
        call: (module, features) -> output.
        may_grow: whether inputs may be lengthened by padding.
    """

    label: str
    construct: Callable[[int], nn.Module]
    tokens: tuple[int, ...]
    call: Callable[[nn.Module, Sequence[Feature]], Feature]
    may_grow: bool = True

    def build(self, width: int = 8, *, seed: int = 0) -> nn.Module:
        """A module in eval mode."""
        with seeded(seed):
            return self.construct(width).eval()


def features(tokens: Sequence[int], width: int, *, batch: int = 6, seed: int = 1, ragged: bool = True) -> list[Feature]:
    """Unit-variance inputs (B, T_j, D), all present; ``ragged``: about one token in four is masked, never all."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for length in tokens:
        mask = torch.rand(batch, length, generator=generator) > (0.25 if ragged else -1.0)
        mask[:, 0] = True
        values = torch.randn(batch, length, width, generator=generator) * mask.unsqueeze(-1)
        made.append(Feature(values, mask, torch.ones(batch, dtype=torch.bool)))
    return made


def without(inputs: Sequence[Feature], absent: int, rows: Tensor) -> list[Feature]:
    """The inputs, with input ``absent`` missing from the samples ``rows`` (B,) bool."""
    made = list(inputs)
    old = made[absent]
    there = ~rows
    made[absent] = Feature(old.values * there[:, None, None], old.mask & there[:, None], old.present & there)
    return made


def check_batch_of_one(subject: Subject) -> None:
    """A sample alone gives what it gives in a batch; train mode takes a single sample too."""
    module, inputs = subject.build(), features(subject.tokens, 8)
    whole = subject.call(module, inputs).values
    for row in (0, 3):
        alone = subject.call(module, [f.rows(torch.tensor([row])) for f in inputs]).values
        require_close(alone, whole[row : row + 1], f"{subject.label}: a sample alone and in a batch")
    out = subject.call(module.train(), [f.rows(torch.tensor([0])) for f in inputs]).values
    require(out.isfinite().all(), f"{subject.label}: a batch of one in train mode is not finite")


def check_gradients(subject: Subject) -> None:
    """Every parameter, and every input, gets a finite non-zero gradient."""
    module, inputs = subject.build(), features(subject.tokens, 8)
    inputs = [f._replace(values=f.values.requires_grad_()) for f in inputs]
    out = subject.call(module, inputs).values
    torch.autograd.backward((out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum())
    named = list(module.named_parameters()) + [(f"input {i}", f.values) for i, f in enumerate(inputs)]
    for name, tensor in named:
        require(tensor.grad is not None and bool(tensor.grad.any()), f"{subject.label}: {name} gets no gradient")
        require(tensor.grad is not None and tensor.grad.isfinite().all(), f"{subject.label}: {name}: not finite")


def check_device(subject: Subject) -> None:
    """On another device than the CPU it gives the same output and takes gradients: it makes no tensor on the CPU."""
    module, inputs = subject.build(), features(subject.tokens, 8)
    expected = subject.call(module, inputs).values.detach()
    with second_device() as device:
        moved = [feature.to(device) for feature in inputs]
        moved = [feature._replace(values=feature.values.requires_grad_()) for feature in moved]
        try:
            out = subject.call(module.to(device), moved).values
            torch.autograd.backward(out.square().sum())
        except Mixed as error:
            raise Violation(f"{subject.label}: on another device, {error}; make it with device=x.device") from error
        require(out.device == device, f"{subject.label}: on another device, the output is on {out.device}")
        require_close(out.cpu(), expected, f"{subject.label}: output on another device")


def check_replay(subject: Subject) -> None:
    """A recorded training step gives what the module gives, to the last bit, as weights move and inputs go missing."""
    module, gone = subject.build().train(), torch.arange(6) < 2
    parameters = list(module.parameters())

    def step(inputs: Sequence[Feature]) -> list[Tensor | None]:
        out = subject.call(module, inputs).values
        loss = (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum()
        return [*gradients(loss, parameters), loss.detach()]

    replayed = Replay(step, after=0)
    for number in range(8):
        inputs = features(subject.tokens, 8, seed=number)
        inputs = without(inputs, 0, gone) if number in (3, 4, 7) else inputs
        pair = []
        for run in (step, replayed):
            with seeded(number):
                pair.append([*run(inputs), torch.get_rng_state()])
        for expected, found in zip(*pair, strict=True):
            same = expected is found if expected is None or found is None else torch.equal(expected, found)
            require(same, f"{subject.label}: call {number + 1} of a recorded step differs; does forward keep a state?")
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(1.01)


def check_masked_rows(subject: Subject) -> None:
    """Samples in which nothing is real give zeros, and finite gradients: present but fully masked, or absent."""
    module, empty = subject.build(), torch.arange(6) < 2
    for case in ("fully masked", "absent"):
        if case == "fully masked" and all(length == 1 for length in subject.tokens):
            continue  # a vector has no padding: it is there or absent
        inputs = features(subject.tokens, 8)
        for place in range(len(inputs)):
            inputs = without(inputs, place, empty)
        if case == "fully masked":
            inputs = [f._replace(present=torch.ones_like(f.present)) for f in inputs]
        out = subject.call(module, inputs)
        require(out.values.isfinite().all(), f"{subject.label}: {case} samples make the output not finite")
        require_close(out.values[:2], torch.zeros_like(out.values[:2]), f"{subject.label}: output of {case} samples")
        require(not out.mask[:2].any(), f"{subject.label}: {case} samples come out with real tokens")
        torch.autograd.backward(out.values.square().sum())
        for name, parameter in module.named_parameters():
            finite = parameter.grad is None or parameter.grad.isfinite().all()
            require(finite, f"{subject.label}: {case} samples give {name} a gradient that is not finite")


def check_padding(subject: Subject) -> None:
    """Three more masked tokens at the end of any input change no output, and come out masked."""
    if not subject.may_grow:
        return
    module, inputs = subject.build(), features(subject.tokens, 8)
    before = subject.call(module, inputs)
    for place, old in enumerate(inputs):
        longer = list(inputs)
        longer[place] = Feature(
            nn.functional.pad(old.values, (0, 0, 0, 3)), nn.functional.pad(old.mask, (0, 3)), old.present
        )
        after = subject.call(module, longer)
        length = before.values.shape[-2]
        message = f"{subject.label}: output after padding input {place}"
        require_close(after.values[:, :length], before.values, message)
        require(not after.mask[:, length:].any(), f"{message}: padding comes out as real tokens")
        require(not after.values[:, length:].any(), f"{message}: padding comes out with values")


def check_scale(subject: Subject) -> None:
    """Unit-variance inputs give real output tokens with a standard deviation in [0.2, 5]."""
    module, inputs = subject.build(32), features(subject.tokens, 32, batch=256)
    with torch.no_grad():
        out = subject.call(module, inputs)
    spread = float(out.values[out.mask].std())
    require(0.2 <= spread <= 5, f"{subject.label}: standard deviation {spread:.2g} at first, expected 0.2 to 5")


def check_gradcheck(subject: Subject) -> None:
    """Gradients of inputs and parameters agree with differences in float64, also where all inputs are exactly 0."""
    module = subject.build(4).double()
    own = dict(module.named_parameters())
    inputs = features(subject.tokens, 4, batch=2)

    def function(*tensors: Tensor) -> Tensor:
        # All parameters are one vector: the cost is that of a few calls, however many parameters there are.
        values, parts = tensors[:-1], tensors[-1].split([p.numel() for p in own.values()])
        parameters = {name: part.view_as(p) for (name, p), part in zip(own.items(), parts, strict=True)}
        given = [f._replace(values=v) for f, v in zip(inputs, values, strict=True)]
        return subject.call(_Functional(module, parameters), given).values

    for factor, case in ((1.0, "random inputs"), (0.0, "inputs of exactly 0")):
        values = [(f.values.double() * factor).requires_grad_() for f in inputs]
        flat = torch.cat([p.detach().flatten() for p in own.values()] or [torch.zeros(0)]).requires_grad_()
        # A step of 1e-8: LayerNorm bends within 3e-3 of zero, and one behind another within 1e-5.
        agrees = torch.autograd.gradcheck(
            function, (*values, flat), eps=1e-8, fast_mode=True, raise_exception=False
        )
        require(agrees, f"{subject.label}: at {case} the gradient differs from finite differences in float64")


def check_autocast(subject: Subject) -> None:
    """Under bfloat16 autocast the output is finite and within 5 % (in the mean) of float32."""
    module, inputs = subject.build(32), features(subject.tokens, 32)
    exact = subject.call(module, inputs).values
    with torch.autocast("cpu", torch.bfloat16):
        rough = subject.call(module, inputs).values.float()
    share = float((rough - exact).detach().abs().mean() / exact.detach().abs().mean())
    require(share <= 0.05, f"{subject.label}: bfloat16 autocast changes the output by {share:.1%}, allowed 5 %")


def check_compile(subject: Subject) -> None:
    """``torch.compile(fullgraph=True)`` traces it, and gives the same output."""
    torch.compiler.reset()
    module, inputs = subject.build(), features(_few(subject), 8)
    flat = _Flat(module, subject.call)
    compiled = torch.compile(flat, fullgraph=True, backend="eager", dynamic=False)
    with torch.no_grad():
        for given, expected in zip(compiled(*_tensors(inputs)), flat(*_tensors(inputs)), strict=True):
            require_close(given, expected, f"{subject.label}: compiled and eager output")


def check_export(subject: Subject) -> None:
    """``torch.export`` with a dynamic batch gives the same output for batches of 1, 2 and 7."""
    flat = _Flat(subject.build(), subject.call)
    tokens = _few(subject)
    example = tuple(_tensors(features(tokens, 8)))
    batch = torch.export.Dim("batch", min=1, max=1024)
    shapes = {"tensors": tuple({0: batch} for _ in example)}
    with torch.no_grad():
        exported = torch.export.export(flat, example, dynamic_shapes=shapes).module()
        for size in (1, 2, 7):
            tensors = _tensors(features(tokens, 8, batch=size, seed=size))
            for given, expected in zip(exported(*tensors), flat(*tensors), strict=True):
                require_close(given, expected, f"{subject.label}: exported and eager output, batch of {size}")


def check_state_dict(subject: Subject) -> None:
    """A second module with the first one's state dict gives the same output: nothing is kept elsewhere."""
    first, second = subject.build(seed=0), subject.build(seed=1)
    second.load_state_dict(first.state_dict())
    inputs = features(subject.tokens, 8)
    given, expected = subject.call(second, inputs).values, subject.call(first, inputs).values
    require_close(given, expected, f"{subject.label}: output after loading another module's state dict")


def _few(subject: Subject) -> tuple[int, ...]:
    """At most three tokens where length is free: a traced recurrent network is as long as its sequences."""
    lengths = tuple(min(length, 2 + place % 2) for place, length in enumerate(subject.tokens))
    return lengths if subject.may_grow else subject.tokens


class _Functional(nn.Module):
    """A module called with parameters given from outside."""

    def __init__(self, module: nn.Module, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self._module, self._given = module, parameters

    def forward(self, *args: Any) -> Any:
        return torch.func.functional_call(self._module, self._given, args)


class _Flat(nn.Module):
    """Tensors in, tensors out: values, mask and presence of each input, then of the output."""

    def __init__(self, module: nn.Module, call: Callable[[nn.Module, Sequence[Feature]], Feature]) -> None:
        super().__init__()
        self._module, self._call = module, call

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = [Feature(*tensors[start : start + 3]) for start in range(0, len(tensors), 3)]
        return tuple(self._call(self._module, inputs))


def _tensors(inputs: Sequence[Feature]) -> list[Tensor]:
    return list(itertools.chain.from_iterable(inputs))
