"""Replay: what a training step computes, recorded once as a flat list of tensor operations, and run from it after that.

Small networks spend much of a step in modules, in features and in autograd's bookkeeping, which say the same at every
step. A recording has neither: it calls the same kernels on the same tensors in the same order, backward pass included,
so its numbers are those of the step to the last bit. Dropout draws as ever.

Parameters are the module's own: what an optimizer does to them is seen. Whatever the code looked at while it was
recorded (whether a sample lacks a modality, which weights are zero) is looked at again; if something else is found, the
code itself runs. What cannot be told from tensor operations (numpy, a buffer that a layer changes) is not recorded. The
first replay of every recording runs beside the code itself: if their bits differ (the code counts its calls, say), the
code is left alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionnas.feature import known
from fusionnas.training.randomness import random_state, set_random_state
from fusionnas.training.recording import Answer, Changed, Outputs, Program, Unrecordable, record, told

SLOW = 0.1
"""Processor seconds of a call beyond which kernels are all of it, and nothing is to be gained."""
AFTER = 10
"""Calls before a recording: it takes as long as some twenty of them, and saves a third of each that follows."""
MOST = 4
"""Programs of one form of arguments, and calls in a row that none of them fits, before a function is left alone."""


class Replay:
    """A function that is recorded after some calls with arguments of one form, and replayed from then on.

    On a CPU; elsewhere, and where a recording would not pay or cannot be made, the function itself runs.

    Args:
        function: of tensors and nested sequences and mappings of them; gives tensors that need no gradient, or None.
            It depends on its arguments, on tensors that it holds, and on torch's random numbers, and changes nothing.
            It may be a generator that yields such tensors once, and goes on with what it is sent.
        after: calls before it is recorded.
    """

    def __init__(self, function: Callable[..., Any], *, after: int = AFTER) -> None:
        self._function, self._after = function, after
        self._calls: Counter[Hashable] = Counter()
        self._programs: dict[Hashable, list[Program]] = {}
        self._misses = 0

    def __call__(self, *given: Any, answer: Answer | None = None) -> Outputs:
        """What the function gives; ``answer``: makes of what a generator yields what it is sent."""
        if self._misses >= MOST:
            return told(self._function(*given), answer)
        tensors: list[Tensor] = []
        form = _form(given, tensors)
        self._calls[form] += 1
        if self._calls[form] <= self._after:
            return told(self._function(*given), answer)
        if form not in self._programs:
            return self._timed(form, given, answer, tensors)
        programs = self._programs[form]
        for program in programs:
            replay = _replayed if program.proven else self._proved
            if (found := replay(program, tensors, given, answer)) is not None:
                self._misses = 0 if program.proven else MOST
                return found
        self._misses += 1
        return self._recorded(programs, given, answer, tensors)

    def _timed(
        self, form: Hashable, given: Sequence[Any], answer: Answer | None, tensors: Sequence[Tensor]
    ) -> Outputs:  # fmt: skip
        """The last call before the recording, if there is to be one."""
        start = time.thread_time()
        found = told(self._function(*given), answer)
        if time.thread_time() - start < SLOW and all(tensor.is_cpu for tensor in tensors):
            self._programs[form] = []
        return found

    def _recorded(
        self, programs: list[Program], given: Sequence[Any], answer: Answer | None, tensors: Sequence[Tensor]
    ) -> Outputs:  # fmt: skip
        if len(programs) == MOST:
            return told(self._function(*given), answer)
        before = random_state()
        try:
            found, program = record(lambda: self._function(*given), tensors, answer)
        except Unrecordable:
            self._misses = MOST
            set_random_state(before)
            return told(self._function(*given), answer)
        programs.append(program)
        return found

    def _proved(
        self, program: Program, tensors: Sequence[Tensor], given: Sequence[Any], answer: Answer | None
    ) -> Outputs | None:
        """The function itself, beside a replay of it that has not been tried yet."""
        before = random_state()
        replayed = _replayed(program, tensors, given, answer)
        if replayed is None:
            return None
        drawn = random_state()
        set_random_state(before)
        found = told(self._function(*given), answer)
        program.proven = _same(replayed, found) and torch.equal(drawn["torch"], random_state()["torch"])
        return found


def gradients(loss: Tensor, of: Sequence[Tensor]) -> list[Tensor | None]:
    """As ``backward`` leaves them in ``grad``, laid out as parameters are; None where the loss depends on none."""
    found = torch.autograd.grad(loss, of, allow_unused=True) if of else ()
    return [None if gradient is None else gradient.contiguous() for gradient in found]


def _replayed(
    program: Program, tensors: Sequence[Tensor], given: Sequence[Any], answer: Answer | None
) -> Outputs | None:
    """None: something is not as it was when the program was recorded."""
    before = random_state() if program.draws else {}
    try:
        return program.run(tensors, answer)
    except Changed:
        if before:
            set_random_state(before)
        return None


def _same(some: Outputs, others: Outputs) -> bool:
    """Number for number; what is no number is like what is none."""
    return len(some) == len(others) and all(map(_alike, some, others))


def _alike(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)


def _form(given: Any, tensors: list[Tensor]) -> Hashable:
    """All but the values; the tensors are added to a list in the order in which they are met."""
    if isinstance(given, Tensor):
        tensors.append(given)
        return (given.shape, given.stride(), given.dtype, given.device, given.requires_grad, known(given))
    if isinstance(given, dict):
        return (*given, *(_form(value, tensors) for value in given.values()))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return tuple(_form(value, tensors) for value in given)
    return given  # type: ignore[no-any-return]
