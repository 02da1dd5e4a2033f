"""An executor without workers: tasks take made-up times on a made-up clock, some workers die, some are slow.

What is real is the code that hands out tasks, and the time that it takes: the clock of the simulation goes on with it.
So a controller can be watched with ten thousand workers and a million tasks, in seconds, on one core.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionnas.execution.base import Attempt, Call, Ended
from fusionnas.execution.carry import carry_out


@dataclass(frozen=True)
class World:
    """What tasks and workers are like.

    Attributes:
        seconds: median time of a task.
        spread: standard deviation of its logarithm.
        stragglers: share of tasks that take ``slower`` times as long.
        slower: how much longer.
        deaths: share of attempts in which the worker dies, halfway.
        restart: seconds until another worker has taken its place.
    """

    seconds: float = 10.0
    spread: float = 0.3
    stragglers: float = 0.01
    slower: float = 10.0
    deaths: float = 0.0
    restart: float = 5.0

    @property
    def mean(self) -> float:
        """Mean time of a task."""
        return self.seconds * math.exp(self.spread**2 / 2) * (1 + self.stragglers * (self.slower - 1))


class SimulatedExecutor:
    """Tasks in made-up time. Each task's function is called when it ends, so make it quick.

    Args:
        workers: how many.
        world: what they are like.
        seed: of times and deaths.
        cost: factor on the time of a call.
        free: whether the time of the controller counts as nothing, to see what it costs.

    Attributes:
        clock: seconds since the beginning, in the simulation.
        worked: seconds of work of all workers together that led to a value.
        controller: real seconds that the controller took.
        lost: attempts in which a worker died.
    """

    def __init__(
        self,
        workers: int,
        world: World,
        *,
        seed: int,
        cost: Callable[[Call], float] = lambda call: 1.0,
        free: bool = False,
    ) -> None:
        self.workers, self.world, self.cost, self.free = workers, world, cost, free
        self._rng = random.Random(seed)
        self._queue: deque[Attempt] = deque()
        self._events: list[tuple[float, int, Attempt | None, float]] = []
        self._idle, self._numbers = workers, 0
        self.clock = self.worked = self.controller = 0.0
        self.lost = 0
        self._left = time.perf_counter()

    @property
    def running(self) -> Sequence[str]:
        """The names of the tasks that workers are at."""
        return [attempt.call.name for _, _, attempt, _ in self._events if attempt is not None]

    def submit(self, call: Call) -> None:
        """Queue a task; an idle worker begins at once."""
        self._account()
        self._queue.append(Attempt(call))
        self._deal()
        self._left = time.perf_counter()

    def wait(self) -> Ended:
        """The next task that ends."""
        self._account()
        while True:
            moment, _, attempt, seconds = heapq.heappop(self._events)
            # While the controller was busy, tasks have ended; they are heard of late.
            self.clock = max(self.clock, moment)
            self._idle += 1
            ended = None if attempt is None else self._end(attempt, seconds)
            self._deal()
            if ended is not None:
                self._left = time.perf_counter()
                return ended

    def reaches(self, folder: Path) -> bool:
        """There are no workers, so they do."""
        return True

    def vacate(self) -> bool:
        """No cluster."""
        return False

    def drop(self) -> None:
        """Forget all tasks."""
        self._queue.clear()
        self._events.clear()
        self._idle = self.workers

    def close(self) -> None:
        """Nothing to end."""

    def _account(self) -> None:
        spent = time.perf_counter() - self._left
        self.controller += spent
        if not self.free:
            self.clock += spent

    def _deal(self) -> None:
        world, draw = self.world, self._rng
        while self._idle and self._queue:
            attempt = self._queue.popleft()
            seconds = world.seconds * self.cost(attempt.call) * draw.lognormvariate(0.0, world.spread)
            if draw.random() < world.stragglers:
                seconds *= world.slower
            if draw.random() < world.deaths:
                self._push(seconds / 2, attempt, -1.0)
            else:
                self._push(seconds, attempt, seconds)

    def _push(self, after: float, attempt: Attempt | None, seconds: float) -> None:
        self._numbers += 1
        self._idle -= 1
        heapq.heappush(self._events, (self.clock + after, self._numbers, attempt, seconds))

    def _end(self, attempt: Attempt, seconds: float) -> Ended | None:
        if seconds >= 0:
            self.worked += seconds
            return Ended(attempt.call, *carry_out(attempt.call.function, attempt.call.arguments))
        self.lost += 1
        self._push(self.world.restart, None, 0.0)
        ended = attempt.died("in the simulation", "")
        if ended is None:
            self._queue.appendleft(attempt)
        return ended
