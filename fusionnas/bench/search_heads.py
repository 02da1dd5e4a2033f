"""Heads by the thousand: stacked beside one after the other, a whole space trained through, halving."""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.bench.alternated import SECONDS, alternated, one_thread
from fusionnas.bench.search_steps import Row, compared, row
from fusionnas.data.base import Part
from fusionnas.execution.choose import make_executor
from fusionnas.oracle.problems import problem
from fusionnas.run.progress import Progress
from fusionnas.search.cache import Cache
from fusionnas.search.contest import Contest
from fusionnas.search.features import build_caches
from fusionnas.search.halving import FIRST_RUNG_STEPS, halve, head_rungs
from fusionnas.search.heads import Candidate, Heads, HeadSettings, SequentialHeads
from fusionnas.search.method import Problem
from fusionnas.search.pool import Candidates, Pool
from fusionnas.search.stack import HeadStack, largest_stack
from fusionnas.search.stacking import measure, stacking_pays
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.training.randomness import seeded

POINTS = tuple(Point(name, level) for name in "abc" for level in range(2))
KINDS = (("gated", "mlp"), ("low_rank_tensor", "gated"), ("additive", "multiplicative"))
SIZES = ((16, 64), (64, 64), (64, 512), (128, 128), (256, 64), (256, 512))
"""Width and batch."""
SEEDS, EPOCHS = 3, 20
SHORT_RUNGS = (1, 3)
"""Epochs that each adds."""
SPACES = {5_000: ((1, 1, 1, 1), 2), 20_000: ((2, 2, 2, 2), 2), 1_000_000: ((2, 2, 2, 1), 3)}
"""Levels of each modality, and nodes, of the quadrants' space that has at least so many architectures."""


def stacked(*, steps: int = 4, backend: str = "") -> list[Row]:
    """A member's training step, in a stack (compiled, where a ``backend`` is given) and alone; width 16, batch 64."""
    settings, how, bar = HeadSettings(16, 10, 64), " compiled" if backend else "", ">= 12" if backend else ">= 8"
    rows = []
    for names in KINDS:
        count = largest_stack(settings)
        ours = _heads(HeadStack, names, count, settings)
        if backend:
            assert isinstance(ours, HeadStack)
            ours.compile(dynamic=False, backend=backend)
        each = _per_step(ours, _heads(SequentialHeads, names, 8, settings), settings, steps)
        rows.append(compared(f"{count} stacked heads{how}, per head and step", " -> ".join(names), each, "", bar))
    return rows


def products(*, names: Sequence[str] = (), seconds: float = SECONDS) -> list[Row]:
    """A stacked head's training step, and the products of small matrices in it alone: how far down its time could go.

    Mean over all sequences of two operators, those named or the quadrants'; width 16, batch 64.
    """
    settings, sums = HeadSettings(16, 10, 64), {"ours": 0.0, "other": 0.0}
    names = names or _problem(5_000, 0).space.file.fusion.operators
    pairs, count = list(itertools.product(names, repeat=2)), largest_stack(settings)
    cache = _random_cache(settings, 1)
    for pair in pairs:
        heads = _heads(HeadStack, pair, count, settings)
        with _Products() as seen:
            heads.fit(cache, [1.0], seed=0)
        contestants = {"ours": partial(heads.fit, cache, [1.0], seed=0), "other": seen.again}
        found = alternated(contestants, seconds=seconds)
        sums = {name: sums[name] + found[name] / count / len(pairs) for name in sums}
    ours, other = (f"{1e6 * sums[name]:.1f} us" for name in ("ours", "other"))
    setting = f"{len(pairs)} operator sequences; the other: its products alone"
    return [row(f"{count} stacked heads, per head and step", setting, ours=ours, other=other,
                ratio=f"{sums['other'] / sums['ours']:.2f}")]  # fmt: skip


class _Products(TorchDispatchMode):
    """Keeps the batched matrix products that are computed inside, to compute them again."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[Callable[[], object]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation in (torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default):
            self._calls.append(partial(operation, *args, **(kwargs or {})))
        return operation(*args, **(kwargs or {}))

    def again(self) -> None:
        """Compute them, and nothing else."""
        with torch.no_grad():
            for call in self._calls:
                call()


def chosen(*, sizes: Iterable[tuple[int, int]] = SIZES, steps: int = 2, seconds: float = SECONDS) -> list[Row]:
    """The way that is measured to pay at the start of a search, beside one after the other."""
    rows = []
    for width, batch in sizes:
        settings, names = HeadSettings(width, 10, batch), ("gated", "mlp")
        pays = stacking_pays(measure(names, settings), names)
        kind, count = (HeadStack, min(32, largest_stack(settings))) if pays else (SequentialHeads, 4)
        ours = _heads(kind, names, count, settings)
        each = _per_step(ours, _heads(SequentialHeads, names, 4, settings), settings, steps, seconds)
        setting = f"width {width}, batch {batch}: {'stacked' if pays else 'one by one'}"
        rows.append(compared("the way measured to pay, per head and step", setting, each, "", ">= 0.95"))
    return rows


def exhaustive(seed: int, workers: int, progress: Progress, *, epochs: int = EPOCHS, seeds: int = SEEDS) -> list[Row]:
    """Every architecture of the quadrants, all seeds, to the end."""
    given = _problem(5_000, seed)
    architectures = list(given.space.enumerate())
    members = [Candidate(a, seed + s) for a in architectures for s in range(seeds)]
    progress.stage(f"training {len(members):,} heads", len(members))
    with _Clock() as clock, _contest(given, workers) as contest:
        for _, stack, _ in contest.losses(members, [1.0] * epochs, seed=seed):
            for _ in stack:
                progress.advance({})
    setting = f"{len(architectures):,} architectures, {seeds} seeds, {epochs} epochs, {workers} workers"
    return [row("exhaustive training", setting, ours=f"{clock.seconds:.1f} s", bar="<= 300 s", memory_mb=clock.memory)]


def halving(
    seed: int, workers: int, progress: Progress, *, heads: int = 5_000, bar: str = "", short: bool = False
) -> list[Row]:
    """Successive halving over a whole space of at least so many architectures, with the default's rungs.

    Or with ``short`` ones, which no search uses, since they throw the right heads out: for times to be compared with.
    """
    given = _problem(heads, seed)
    search = given.space.file.search
    rungs, steps = (SHORT_RUNGS, 1) if short else (search.rungs, FIRST_RUNG_STEPS)
    layers = {name: ("mlp",) * modality.levels for name, modality in given.space.file.modalities.items()}
    members = Candidates(Pool((), None, given.space, layers), seed)
    stages: list[str] = []

    def watch(stage: str, done: int, expected: int) -> None:
        if stages[-1:] != [stage]:
            stages.append(stage)
            progress.stage(f"halving {len(members):,}: {stage}", expected)
        progress.advance({})

    with _Clock() as clock, _contest(given, workers) as contest:
        halve(members, contest, rungs=rungs, eta=search.eta, keep=search.rescore, watch=watch, steps=steps)
        epochs = itertools.accumulate(head_rungs(rungs, contest, steps))
    ends = " and ".join(map(str, epochs))
    setting = f"{len(members):,} architectures, {workers} workers, rungs up to epochs {ends}"
    return [row("halving", setting, ours=f"{clock.seconds:.1f} s", bar=bar, memory_mb=clock.memory)]


def _per_step(
    ours: Heads, other: Heads, settings: HeadSettings, steps: int, seconds: float = SECONDS
) -> dict[str, float]:
    """Processor seconds per head and step."""
    cache, heads = _random_cache(settings, steps), {"ours": ours, "other": other}
    fits = {name: partial(one.fit, cache, [1.0], seed=0) for name, one in heads.items()}
    found = alternated(fits, seconds=seconds)
    return {name: found[name] / steps / len(one.candidates) for name, one in heads.items()}


class _Clock:
    """Seconds inside, and the most memory that this process ever held, plus that of the largest of its workers."""

    seconds: float
    memory: str

    def __enter__(self) -> _Clock:
        self.seconds = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.seconds
        peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        self.memory = " + ".join(f"{peak / 1024:.0f}" for peak in peaks)


def _problem(architectures: int, seed: int) -> Problem:
    levels, nodes = next(sizes for most, sizes in SPACES.items() if architectures <= most)
    modalities = ("upper_left", "upper_right", "lower_left", "lower_right")
    overrides = [f"fusion.nodes={nodes}"]
    overrides += [f"modalities.{name}.levels={count}" for name, count in zip(modalities, levels, strict=True)]
    return problem("quadrants", seed=seed, overrides=overrides)[0]


@contextmanager
def _contest(given: Problem, workers: int) -> Iterator[Contest]:
    """Heads of the problem on features of encoders as they start: how good those are costs no time."""
    space, data = given.space, given.data
    with seeded(given.seed):
        supernet, mixing = Supernet(space, data.signature).eval(), Alphas(space).mixing(softmax)
    caches = build_caches(
        lambda inputs: supernet.encode(inputs, mixing), {"train": Part.concat(data.train, data.alpha),
        "select": data.select}, space.points(), tokens=False,
    )  # fmt: skip
    settings = HeadSettings(space.file.fusion.width, data.signature.outputs, space.file.training.batch_size)
    with one_thread(), closing(make_executor(workers)) as executor:
        yield Contest(caches["train"], caches["select"], settings, given.seed, executor=executor)


def _heads(
    kind: type[HeadStack] | type[SequentialHeads], names: tuple[str, ...], count: int, settings: HeadSettings
) -> Heads:
    """``count`` heads of two nodes; the second reads the first and one more point."""
    members = []
    for seed in range(count):
        first, second, third = (POINTS[(seed + step) % len(POINTS)] for step in range(3))
        nodes = (Node((first, second), names[0]), Node((NodeRef(0), third), names[1]))
        members.append(Candidate(Architecture((), nodes, NodeRef(1)), seed))
    return kind(members, settings, POINTS)


def _random_cache(settings: HeadSettings, steps: int) -> Cache:
    """So many batches of random features."""
    size = steps * settings.batch_size
    with seeded(0):
        vectors = torch.randn(size, len(POINTS), settings.width)
        target = torch.randint(settings.outputs, (size,))
    return Cache(POINTS, vectors, torch.ones(size, len(POINTS), dtype=torch.bool), None, None, target)
