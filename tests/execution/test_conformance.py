"""Every executor obeys one protocol."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fusionnas.execution import Call, Executor, InlineExecutor, Limits, Shared, completed, make_executor
from fusionnas.execution.base import ATTEMPTS
from fusionnas.execution.local import LocalExecutor
from tests.execution import tasks

KINDS = ["inline", "local", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray":
        made = make_executor(2, ray="local")
    else:
        made = InlineExecutor() if request.param == "inline" else LocalExecutor(2)
    with contextlib.closing(made):
        yield made


def ends(executor: Executor, *calls: Call) -> dict[str, object]:
    """Value or failure by name."""
    return {ended.call.name: ended.failure or ended.value for ended in completed(executor, calls)}


def test_every_call_ends_once_with_its_value(executor: Executor) -> None:
    calls = [Call(f"square/{n}", tasks.square, (n,)) for n in range(20)]
    found = [(ended.call.name, ended.value, ended.failure) for ended in completed(executor, calls)]
    assert sorted(found) == sorted((f"square/{n}", n * n, None) for n in range(20))


def test_no_calls_no_ends(executor: Executor) -> None:
    assert list(completed(executor, [])) == []


def test_an_exception_is_a_failure_with_its_traceback(executor: Executor) -> None:
    found = ends(executor, Call("bad", tasks.refuse, (3,)), Call("good", tasks.square, (3,)))
    assert found["good"] == 9
    assert (found["bad"].kind, found["bad"].text) == ("error", "ValueError: 3 is refused")
    assert "in refuse" in found["bad"].traceback


def test_a_shared_value_arrives_whole_and_is_nobody_elses(executor: Executor) -> None:
    value = {"tensor": torch.arange(6.0).reshape(2, 3).T, "array": np.ones(3), "empty": torch.zeros(0, 4),
             "flags": torch.tensor([True, False]), "scalar": torch.tensor(2.5, dtype=torch.float64)}  # fmt: skip
    shared = Shared(value)
    found = ends(executor, *(Call(str(n), tasks.total, (shared,)) for n in range(3)))
    assert found == {"0": 21.5, "1": 21.5, "2": 21.5}


def test_calls_are_drawn_only_as_workers_need_them(executor: Executor) -> None:
    drawn: list[int] = []

    def source() -> Iterator[Call]:
        for n in range(50):
            drawn.append(n)
            yield Call(str(n), tasks.square, (n,))

    with contextlib.closing(completed(executor, source())) as running:
        next(running)
    assert len(drawn) <= executor.workers + 1
    assert ends(executor, Call("after", tasks.square, (5,))) == {"after": 25}


def test_numbers_are_computed_on_one_thread(executor: Executor) -> None:
    if isinstance(executor, InlineExecutor):
        torch.set_num_threads(1)  # as a search does
    assert ends(executor, Call("threads", tasks.threads)) == {"threads": 1}


in_processes = pytest.mark.parametrize("executor", KINDS[1:], indirect=True)
"""Inline is no process of its own: a task that takes it down takes the search down (tests/run/test_kill.py)."""


@in_processes
def test_a_worker_that_dies_costs_one_attempt(executor: Executor, tmp_path) -> None:
    found = ends(executor, *(Call(str(n), tasks.square, (n,)) for n in range(4)),
                 Call("die", tasks.die, (tmp_path, ATTEMPTS - 1)))  # fmt: skip
    assert found == {"0": 0, "1": 1, "2": 4, "3": 9, "die": ATTEMPTS}


@in_processes
def test_a_task_that_kills_every_worker_is_given_up_and_the_others_go_on(executor: Executor, tmp_path) -> None:
    others = [Call(str(n), tasks.square, (n,)) for n in (6, 7)]
    found = ends(executor, Call("poison", tasks.die, (tmp_path, 99)), *others)
    assert (found["6"], found["7"]) == (36, 49)
    assert found["poison"].kind == "died"
    assert f"took its worker process down {ATTEMPTS} times" in found["poison"].text
    assert len(list(tmp_path.iterdir())) == ATTEMPTS


@in_processes
def test_a_task_beyond_its_limits_fails_where_it_is(executor: Executor) -> None:
    found = ends(executor, Call("slow", tasks.spin, (), Limits(seconds=0.5)),
                 Call("large", tasks.hoard, (900_000_000,), Limits(memory=800_000_000)),
                 Call("after", math.sqrt, (4.0,)))  # fmt: skip
    assert found["after"] == 2.0
    assert (found["slow"].kind, found["slow"].text) == ("time", "took longer than its limit of 0.5 s")
    assert "in spin" in found["slow"].traceback
    assert found["large"].kind == "memory"
    assert "its limit is 0.80 GB" in found["large"].text and "in hoard" in found["large"].traceback


@in_processes
def test_what_cannot_be_sent_is_told(executor: Executor) -> None:
    found = ends(executor, Call("lambda", tasks.unsendable))
    assert found["lambda"].kind == "error" and "pickle" in found["lambda"].text
