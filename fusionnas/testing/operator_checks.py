"""What a fusion operator must obey beyond being a good module; each check takes the class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import leading_block, stack_modules
from fusionnas.operators.base import FusionOperator
from fusionnas.operators.measure import measured_macs, measured_parameters
from fusionnas.testing import module_checks
from fusionnas.testing.conformance import Violation, require, require_close, seeded
from fusionnas.testing.module_checks import Subject, features, without

Operator = type[FusionOperator]
# Different lengths, so that no check passes because two inputs happen to be equally long.
LENGTHS = (4, 5, 3, 6, 2, 4)


def subjects(cls: Operator) -> Iterator[Subject]:
    """The operator over its fewest inputs, and over up to two more."""
    for inputs in _inputs(cls):
        yield Subject(
            label=f"{inputs} inputs",
            construct=lambda width, inputs=inputs: cls(inputs, width),  # type: ignore[misc]
            tokens=_tokens(cls, inputs),
            call=_call,
            may_grow=cls.sequence,
        )


def check_facts(cls: Operator) -> None:
    """Formula, source with year, departures, costs and rank are said."""
    for key in ("formula", "source", "departs", "parameters", "macs", "absent"):
        require(str(getattr(cls.facts, key)).strip(), f"facts.{key} is empty")
    require(re.search(r"\b(19|20)\d\d\b", cls.facts.source), f"facts.source names no year: '{cls.facts.source}'")
    require(cls.facts.rank >= 1, f"facts.rank is {cls.facts.rank}, expected 1 or more")
    require((cls.__doc__ or "").strip(), "the class has no docstring")


def check_parameters(cls: Operator) -> None:
    """``count_parameters`` is exact."""
    for inputs in _inputs(cls):
        for width in (8, 12):
            actual = measured_parameters(cls, inputs, width)
            said = cls.count_parameters(inputs, width)
            require(said == actual, f"{inputs} inputs of width {width}: count_parameters {said}, actual {actual}")


def check_macs(cls: Operator) -> None:
    """``count_macs`` is exact."""
    for subject in subjects(cls):
        inputs, tokens = len(subject.tokens), subject.tokens
        said, actual = cls.count_macs(inputs, 8, tokens), measured_macs(cls, inputs, 8, tokens)
        require(said == actual, f"{subject.label}, tokens {tokens}: count_macs {said}, measured {actual:g}")


def check_presence(cls: Operator) -> None:
    """Present is the output where any input is (or where the first is, if its tokens are returned); masks agree."""
    rows = torch.tensor([True, True, False, False, False, False])
    for subject in subjects(cls):
        given = features(subject.tokens, 8)
        first, both = without(given, 0, rows), given
        for place in range(len(given)):
            both = without(both, place, rows)
        for inputs, case in ((first, "input 0 absent"), (both, "all inputs absent")):
            out = subject.call(subject.build(), inputs)
            some = torch.stack([f.present for f in inputs]).any(0)
            allowed = [some, inputs[0].present] if cls.ordered and cls.sequence else [some]
            where, here = f"{subject.label}, {case}", out.present.unsqueeze(-1)
            said = f"present for {out.present.tolist()}, expected {some.tolist()}"
            require(any(torch.equal(out.present, a) for a in allowed), f"{where}: the output is {said}")
            require(not (out.mask & ~here).any(), f"{where}: samples without the output have real tokens")
            require(cls.sequence or torch.equal(out.mask, here), f"{where}: the mask of a vector must be its presence")
            require(not out.values[~out.mask].any(), f"{where}: values where masked")


def check_absent(cls: Operator) -> None:
    """What stands in the values of an absent input never matters."""
    rows = torch.tensor([True, False, True, True, False, False])
    for subject in subjects(cls):
        module = subject.build()
        for place in range(len(subject.tokens)):
            inputs = without(features(subject.tokens, 8), place, rows)
            expected = subject.call(module, inputs)
            noise = features(subject.tokens, 8, seed=9, ragged=False)[place].values * 100
            values = torch.where(rows[:, None, None], noise, inputs[place].values)
            inputs[place] = inputs[place]._replace(values=values)
            message = f"{subject.label}: output when absent input {place} holds noise"
            require_close(subject.call(module, inputs).values, expected.values, message)


def check_leading_block(cls: Operator) -> None:
    """An operator over k inputs is the leading block of the one over k + 1 whose last input is absent."""
    for inputs in _inputs(cls)[:-1]:
        tokens = _tokens(cls, inputs + 1)
        with seeded(0):
            wide, narrow = cls(inputs + 1, 8).eval(), cls(inputs, 8).eval()
        _load_leading_block(narrow, wide)
        given = features(tokens, 8)
        expected = narrow(given[:-1])
        out = wide([*given[:-1], given[-1].absent()])
        message = f"{inputs} inputs, and {inputs + 1} of which the last is absent"
        length = expected.values.shape[-2]  # the absent input may be the longest: what it adds must be padding
        require_close(out.values[..., :length, :], expected.values, message)
        require(torch.equal(out.mask[..., :length], expected.mask), f"{message}: masks differ")
        require(not out.mask[..., length:].any(), f"{message}: the absent input adds real tokens")


def check_order(cls: Operator) -> None:
    """An operator that is not ``ordered`` gives the same output when inputs and their parameters change places."""
    if cls.ordered or len(_inputs(cls)) == 1:
        return
    inputs = _inputs(cls)[-1]
    order = [*range(1, inputs), 0]
    with seeded(0):
        narrow, module, moved = cls(inputs - 1, 8), cls(inputs, 8).eval(), cls(inputs, 8).eval()
    moved.load_state_dict(_permuted(module, narrow, order))
    given = features(_tokens(cls, inputs), 8)
    expected, out = module(given), moved([given[place] for place in order])
    message = f"{inputs} inputs in another order, their parameters too (set ordered = True if that is meant)"
    require_close(out.values, expected.values, message)


def check_stacking(cls: Operator) -> None:
    """A stack of three gives the values and the gradients of the three."""
    if not cls.stackable:
        return
    for subject in subjects(cls):
        modules = [subject.build(seed=seed) for seed in range(3)]
        sets = [features(subject.tokens, 8, seed=seed) for seed in range(3)]
        stack = stack_modules(modules)
        joined = [Feature(*map(torch.stack, zip(*same, strict=True))) for same in zip(*sets, strict=True)]
        out = subject.call(stack, joined)
        alone = [subject.call(module, inputs) for module, inputs in zip(modules, sets, strict=True)]
        torch.autograd.backward(out.values.square().sum())
        for member, (module, single) in enumerate(zip(modules, alone, strict=True)):
            torch.autograd.backward(single.values.square().sum())
            require_close(out.values[member], single.values, f"{subject.label}: stacked and alone, member {member}")
            for name, parameter in module.named_parameters():
                gradient, expected = stack.get_parameter(name).grad, parameter.grad
                if gradient is None or expected is None:
                    raise Violation(f"{subject.label}: {name} gets no gradient")
                message = f"{subject.label}: gradient of {name}, stacked and alone, member {member}"
                require_close(gradient[member], expected, message, tolerance=1e-4)


def check_gradcheck(cls: Operator) -> None:
    """As for every module; a straight-through gradient is by design not that of the values, and is left out."""
    if not cls.straight_through:
        for subject in list(subjects(cls))[:2]:
            module_checks.check_gradcheck(subject)


def _call(module: nn.Module, inputs: Sequence[Feature]) -> Feature:
    out: Feature = module(inputs)
    return out


def _inputs(cls: Operator) -> list[int]:
    low, high = cls.inputs_range
    return [inputs for inputs in (low, low + 1, low + 2) if high is None or inputs <= high]


def _tokens(cls: Operator, inputs: int) -> tuple[int, ...]:
    return tuple(LENGTHS[i % len(LENGTHS)] for i in range(inputs)) if cls.sequence else (1,) * inputs


def _load_leading_block(narrow: nn.Module, wide: nn.Module) -> None:
    source = dict(wide.named_parameters())
    for name, parameter in narrow.named_parameters():
        require(name in source, f"parameter {name} is not there with one more input")
        block = leading_block(parameter, source[name])
        require(
            block.shape == parameter.shape,
            f"parameter {name} {tuple(parameter.shape)} is no block of {tuple(source[name].shape)}",
        )
        parameter.data.copy_(block)


def _permuted(module: nn.Module, narrow: nn.Module, order: Sequence[int]) -> dict[str, Tensor]:
    """The module's state with slot i holding what slot ``order[i]`` held.

    Slots are what grows with the number of inputs: parts of a dimension, or indices in names.
    """
    slots, state, before = len(order), module.state_dict(), dict(narrow.named_parameters())
    indexed = {name.replace(f".{slots - 1}.", ".{}.") for name in state if name not in before}
    moved = {}
    for name, value in state.items():
        own = type(module).reorder(name, value, order) if isinstance(module, FusionOperator) else None
        if own is not None:
            moved[name] = own
            continue
        for dimension, size in enumerate(value.shape):
            if name in before and size != before[name].shape[dimension]:
                value = torch.cat([value.chunk(slots, dimension)[place] for place in order], dimension)
        moved[name] = value
    for pattern in indexed:
        for slot, place in enumerate(order):
            moved[pattern.format(slot)] = state[pattern.format(place)]
    return moved
