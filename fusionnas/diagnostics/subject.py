"""A finished run under diagnosis: its data, and its networks with select held out.

The networks of a run's end are trained on select too, so they can say nothing about it. Those that were compared on
select when the run chose are still in its journal; they are what diagnostics look at, whichever part is scored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.base import Dataset, Part
from fusionnas.diagnostics.measures.sensitivity import active_directions
from fusionnas.errors import InputError, RunError
from fusionnas.execution import make_executor
from fusionnas.network import FusionNetwork, predict
from fusionnas.run.folder import read_file
from fusionnas.run.run import Run
from fusionnas.search.compare import paired
from fusionnas.search.method import Task
from fusionnas.search.references import named, sources
from fusionnas.search.reopen import data_of, space_of, task_of
from fusionnas.search.retrain import Job, Retrained, held_out_losses, retrain
from fusionnas.training.randomness import derive, one_thread
from fusionnas.training.scoring import LOWER_IS_BETTER, metric, probabilities

if TYPE_CHECKING:
    from fusionnas.run.progress import Progress
    from fusionnas.space import SearchSpace

SPLITS = ("select", "test")
FOUND, LATE = "found", "late fusion"


@dataclass(frozen=True)
class Subject:
    """What a diagnostic receives.

    Attributes:
        task: space, search data, run and progress, as a search method has them.
        dataset: with the sealed test part.
        results: the content of ``results.json``.
        architecture: what was found, without its gates: it got them after the choice, for the final networks only.
        split: the part that is scored, "select" or "test".
        gated: what was found, with its gates; None: it has none.
    """

    task: Task
    dataset: Dataset
    results: Mapping[str, Any]
    architecture: Architecture
    split: str
    gated: Architecture | None

    @property
    def space(self) -> SearchSpace:
        """What was searched."""
        return self.task.space

    @property
    def progress(self) -> Progress:
        """Where to tell how far it is."""
        return self.task.progress

    @property
    def metric(self) -> str:
        """The headline metric."""
        return self.space.file.task.metric

    @property
    def sign(self) -> float:
        """1 where a higher metric is better, else -1."""
        return -1.0 if self.metric in LOWER_IS_BETTER else 1.0

    @property
    def sources(self) -> tuple[str, ...]:
        """All modalities, views of one source once."""
        return tuple(self.space.groups())

    @cached_property
    def read(self) -> tuple[str, ...]:
        """The modalities that the found network reads."""
        return sources(self.space, self.architecture)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(map(str, self.dataset.preprocessing.classes))

    @cached_property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The encoder layers that the search chose for every modality.

        Raises:
            RunError: the run is older than their record.
        """
        layers = self.results["search"].get("layers")
        if layers is None:
            raise RunError(f"{self.task.run.path} was searched by an older fusionnas that kept no encoder layers; "
                           "search again to diagnose it")  # fmt: skip
        return {name: tuple(chosen) for name, chosen in layers.items()}

    @cached_property
    def references(self) -> dict[str, Architecture]:
        """The simple architectures that the search was compared with, by name."""
        return named(self.space, self.layers)

    @cached_property
    def part(self) -> Part:
        """The samples that are scored; opening test is a line of the journal."""
        if self.split == "select":
            return self.task.data.select
        run, size = self.task.run, self.dataset.test.size
        return self.dataset.test.open(lambda: run.record("test_opened", by="diagnose", samples=size))

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        return {}

    def trained(self, architectures: Sequence[Architecture]) -> list[Retrained]:
        """Trained with select held out: read from the run where it did so itself, else trained now."""
        return retrain(self.task, [Job(architecture, 0) for architecture in architectures])

    def network(self, architecture: Architecture | None = None) -> FusionNetwork:
        """The trained network of an architecture, by default of the found one."""
        wanted = architecture or self.architecture
        network: FusionNetwork = self._once(
            ("network", wanted), lambda: self.trained([wanted])[0].network(self.task.problem)
        )
        return network

    def logits(self, architecture: Architecture | None = None) -> Tensor:
        """(N, C) of an architecture's network on ``part``."""
        wanted = architecture or self.architecture
        logits: Tensor = self._once(("logits", wanted), lambda: predict(self.network(wanted), self.part.inputs))
        return logits

    def score(self, logits: Tensor) -> float:
        """The headline metric of logits (N, C) on ``part``."""
        return metric(self.metric, probabilities(logits), self.part.target.numpy())

    def loss(self, architecture: Architecture) -> float:
        """Mean negative log-likelihood on select, whichever part is scored: what choices among networks go by."""
        loss: float = self._once(
            ("loss", architecture), lambda: float(held_out_losses(self.task, self.trained([architecture])).mean())
        )
        return loss

    def versus(self, ours: Tensor, rivals: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        """How much better ``ours`` is than each rival by the headline metric, logits (N, C): difference, interval."""
        generator = np.random.default_rng(derive(self.task.seed, "diagnose") % 2**32)
        lifted = {name: logits.unsqueeze(0) for name, logits in rivals.items()}
        return paired(ours.unsqueeze(0), lifted, self.part.target, self.metric, generator=generator)

    def alone(self, source: str) -> Architecture:
        """The architecture that reads one modality."""
        return self.references[f"only {source}"]

    def seen(self, source: str, axes: int) -> Tensor:
        """What a network sees of one modality: its features along the directions that move the logits most, (N, axes).

        The active subspace (Constantine, Dow & Wang, SIAM J. Sci. Comput. 2014, arXiv:1304.2070): leading eigenvectors
        of the mean outer product of gradients with respect to the features that the head reads. The network is the
        found one, or that of the modality alone where the found one does not read it. No label is used.
        """
        architecture = self.architecture if source in self.read else self.alone(source)
        key = ("seen", source)
        values, directions = self._once(key, lambda: active_directions(
            self.network(architecture), self.part.inputs, self.space.groups()[source]))  # fmt: skip
        projected: Tensor = values @ directions[:, :axes]
        return projected

    def _once(self, key: Any, compute: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


@contextmanager
def opened(run_dir: Path, *, split: str, workers: int, progress: Progress) -> Iterator[Subject]:
    """A finished run as a subject; nothing else may write to it meanwhile.

    Raises:
        InputError: an unknown split. RunError: no finished run there, or its data have changed.
    """
    if split not in SPLITS:
        raise InputError(f"split: given '{split}', expected 'select' or 'test'")
    with Run.open(run_dir, tell=progress.message) as run, one_thread():
        if not run.finished:
            raise RunError(f"{run_dir} is not finished; `fusionnas resume {run_dir}` goes on, then diagnose it")
        space = space_of(run)
        results = json.loads(read_file(run_dir, "results.json"))
        found = Architecture.from_json(json.loads(read_file(run_dir, "architecture.json")))
        dataset = data_of(run, space)
        with closing(make_executor(workers, plugins=space.file.plugins)) as executor:
            task = task_of(run, space, dataset, progress, executor)
            gated = None if found.gates is None else found
            yield Subject(task, dataset, results, replace(found, gates=None), split, gated)
