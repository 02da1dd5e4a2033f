"""A study on a Ray cluster, by Ray Tune: proposals of Optuna, trials in actors that are used again and again.

Tune hands out, retries and leaves trials; it remembers nothing. All that counts is in the study's own journal: what is
tried, before it is tried, and what came of it. Tune's files lie in the study's folder, and are gone with its end.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune import Callback, Trainable, TuneError
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from fusionnas.distributed.executor import cause_of
from fusionnas.distributed.shipping import load_plugins
from fusionnas.execution.base import ATTEMPTS, Call, Ended, Failure
from fusionnas.execution.guard import guarded
from fusionnas.stopping import stop_asked

if TYPE_CHECKING:
    from fusionnas.studies.ranges import Values
    from fusionnas.studies.record import Record

_FILES = "tune"
_LOSS, _SHARE = "loss", "share"


class Trial(Trainable):
    """What runs in an actor: one trial after the other, a step of one is a rung."""

    def setup(  # type: ignore[override]  # what tune.with_parameters adds
        self, config: dict[str, Any], plugins: Mapping[str, bytes], study: Path
    ) -> None:
        """The actor's first trial."""
        load_plugins(plugins)
        self._study = study
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial in the same actor."""
        self._rung, self._rungs = 0, new_config["rungs"]
        return True

    def step(self) -> dict[str, Any]:
        """Search with the next share; what an earlier session knows is only told again."""
        share, known = self._rungs[self._rung]
        ended = self._carried_out(known) if isinstance(known, Call) else Ended(Call("", _nothing), known)
        told = {"rung": self._rung, "ended": ended, _SHARE: share}
        self._rung += 1
        if ended.failure is None:
            told[_LOSS] = ended.value[_LOSS]
        return {**told, "done": ended.failure is not None or self._rung == len(self._rungs)}

    def _carried_out(self, call: Call) -> Ended:
        if stop_asked(self._study):
            return Ended(call, None, Failure("stopped", "asked to stop", ""))
        return Ended(call, *guarded(call.function, call.arguments, call.limits))


def _nothing() -> None:
    """Stands for a task that was carried out before."""


class TuneStudy:
    """A study's trials on the cluster that this process is connected to.

    Args:
        record: of the study.
        distributions: Optuna's, of what varies.
        sampler: Optuna's.
        gpus: share of a GPU that each trial claims.
        plugins: Python files that every actor imports first; shipped to it.
        workers: trials at the same time at most; None: as many as there is room for.

    Attributes:
        workers: trials that may run at the same time.
    """

    def __init__(
        self,
        record: Record,
        distributions: Mapping[str, Any],
        sampler: Any,
        *,
        workers: int | None,
        gpus: float = 0.0,
        plugins: Sequence[str] = (),
    ) -> None:
        self._record, self._gpus = record, gpus
        self._plugins = {plugin: Path(plugin).read_bytes() for plugin in plugins}
        self._lag = record.facts["lag"]
        room = int(ray.cluster_resources().get("CPU", 1)) if workers is None else workers
        self.workers = max(1, min(room, self._lag))
        self._optuna = OptunaSearch(dict(distributions), metric=_LOSS, mode="min", sampler=sampler)
        self._values: dict[int, Values] = record.tried()
        self._told: set[int] = set()
        self._asked: dict[int, str] = {}  # trials that Optuna proposed in this session, and Tune's names of them
        self._waiting = deque(self._again())
        self._new = deque(n for n in range(record.facts["trials"]) if n not in self._values)
        self._trials: Sequence[Any] = ()

    @property
    def running(self) -> Sequence[str]:
        """The trials that actors are at."""
        return [f"trial/{trial.config['number']:04d}" for trial in self._trials if trial.status == "RUNNING"]

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes copies of all that it is given, and none is ever read."""
        return {}

    def carry_out(self) -> None:
        """All trials that have not ended."""
        count = len(self._waiting) + len(self._new)
        if not count:
            return
        study = self._record.run.path.absolute()
        trainable = tune.with_resources(
            tune.with_parameters(Trial, plugins=self._plugins, study=study), {"cpu": 1, "gpu": self._gpus}
        )
        config = tune.TuneConfig(
            metric=_LOSS, mode="min", num_samples=count, search_alg=_Searcher(self), scheduler=self._scheduler(),
            max_concurrent_trials=self.workers, reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id,
        )  # fmt: skip
        with _quiet(study / _FILES) as folder:
            run_config = tune.RunConfig(
                name="study", storage_path=str(folder), verbose=0, callbacks=[_Listener(self)],
                failure_config=tune.FailureConfig(max_failures=ATTEMPTS - 1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            )  # fmt: skip
            try:
                tune.Tuner(trainable, tune_config=config, run_config=run_config).fit()
            except TuneError as error:
                raise error.__cause__ or error from None

    def suggest(self, name: str) -> dict[str, Any] | str:
        """The next trial: one of an earlier session, or a new one that is journaled first."""
        if self._record.run.stopping():
            return str(Searcher.FINISHED)
        if self._waiting:
            number = self._waiting.popleft()
        elif self._new:
            number = self._new.popleft()
            self._asked[number] = name
            self._values[number] = dict(self._optuna.suggest(name) or {})
            self._record.begun(number, self._values[number])
        else:
            return str(Searcher.FINISHED)
        return {"number": number, "rungs": self._rungs(number)}

    def hear(self, trial: Any, result: Mapping[str, Any]) -> None:
        """A rung has ended."""
        number, rung, ended = trial.config["number"], result["rung"], result["ended"]
        if self._record.known(number, rung) is None:
            self._record.keep(number, rung, self._values[number], ended)
        if ended.failure is None or ended.failure.kind != "stopped":
            self._tell(number, result.get(_LOSS))

    def left(self, trial: Any) -> None:
        """A trial does not go on."""
        result = trial.last_result
        if _LOSS in result and result["rung"] < len(self._record.shares) - 1:
            self._record.left(trial.config["number"])

    def lost(self, trial: Any) -> None:
        """A trial took its actor down too often."""
        number, error = trial.config["number"], str(trial.get_error() or "")
        rung = next(r for r in range(len(self._record.shares)) if self._record.known(number, r) is None)
        text = f"took its worker process down {ATTEMPTS} times: {cause_of(error)}"
        call = self._record.call(number, rung, self._values[number])
        self._record.keep(number, rung, self._values[number], Ended(call, None, Failure("died", text, error)))
        self._tell(number, None)

    def look(self, trials: Sequence[Any]) -> None:
        """Tune's trials, for ``running``."""
        self._trials = trials

    def _scheduler(self) -> TrialScheduler:
        shares = self._record.shares
        if len(shares) == 1:
            return FIFOScheduler()
        return ASHAScheduler(
            time_attr=_SHARE, max_t=_size(shares, shares[-1]), grace_period=1,
            reduction_factor=_size(shares, shares[1]), stop_last_trials=False,
        )  # fmt: skip

    def _rungs(self, number: int) -> list[tuple[int, Any]]:
        """Of a trial: (size of the share, what is known of it or its task); no tasks of a trial that was left."""
        shares, values, rungs = self._record.shares, self._values[number], []
        for rung, share in enumerate(shares):
            known = self._record.known(number, rung)
            if known is None and self._record.was_left(number):
                break
            rungs.append((_size(shares, share), known or self._record.call(number, rung, values)))
        return rungs

    def _again(self) -> Iterator[int]:
        """Trials of earlier sessions that Tune gets again: those under way, and those that others are compared with."""
        for number in sorted(self._values):
            first, last = self._record.known(number, 0), self._record.known(number, len(self._record.shares) - 1)
            failed = any("failed" in (self._record.known(number, r) or ()) for r in range(len(self._record.shares)))
            if first is not None:
                self._tell(number, first.get(_LOSS))
            if not failed and (last is None or len(self._record.shares) > 1):
                yield number

    def _tell(self, number: int, loss: float | None) -> None:
        """Optuna learns from the first rung, which all trials have."""
        if number in self._told:
            return
        self._told.add(number)
        if number in self._asked:
            self._optuna.on_trial_complete(
                self._asked[number], None if loss is None else {_LOSS: loss}, error=loss is None
            )
        else:
            self._optuna.add_evaluated_point(dict(self._values[number]), loss or 0.0, error=loss is None)


class _Searcher(Searcher):
    """Tune's door to :meth:`TuneStudy.suggest`."""

    def __init__(self, study: TuneStudy) -> None:
        super().__init__(metric=_LOSS, mode="min")
        self._study = study

    def suggest(self, trial_id: str) -> Any:
        return self._study.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Heard by the listener, which has the trial."""

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the memory."""


class _Listener(Callback):
    """Tune's way to tell a :class:`TuneStudy`."""

    def __init__(self, study: TuneStudy) -> None:
        self._study = study

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        self._study.look(trials)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        self._study.hear(trial, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._study.left(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._study.lost(trial)


@contextmanager
def _quiet(folder: Path) -> Iterator[Path]:
    """A place for Tune's files, which are deleted, also what a killed session left; no words on the terminal."""
    log = logging.getLogger("ray.tune")
    level = log.level
    shutil.rmtree(folder, ignore_errors=True)
    log.setLevel(logging.CRITICAL)
    try:
        yield folder
    finally:
        log.setLevel(level)
        shutil.rmtree(folder, ignore_errors=True)


def _size(shares: Sequence[Fraction], share: Fraction) -> int:
    """How many times the first share."""
    return int(share / shares[0])
