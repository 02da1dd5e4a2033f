"""TPE: densities of good and bad candidates say where to look; Optuna's implementation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from fusionnas.architecture import Architecture
from fusionnas.search.compose import compose
from fusionnas.search.evaluations import Batches, Evaluations, Trained
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.sampled import sampled_search
from fusionnas.space.schema import Section
from fusionnas.training.randomness import derive

if TYPE_CHECKING:
    import optuna

FACTS = MethodFacts(
    summary="tree-structured Parzen estimator over nodes, operators, inputs and layers, by Optuna",
    source='Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Akiba et al., "Optuna", '
    "2019, arXiv:1907.10902",
    departs="candidates are asked for in batches, told as pending with the worst loss (constant liar)",
)


class Options(Batches, Trained, Section):
    """Of the estimator."""

    startup: int = Field(40, ge=1, description="Random candidates before the densities count.", examples=[100])


@register_method("tpe", FACTS, Options)
def tpe(task: Task) -> Found:
    """Ask Optuna, train, tell Optuna."""
    options = task.options(Options)
    evaluations = Evaluations(task, options)
    parzen = Parzen(evaluations, options.startup, derive(task.seed, "tpe"))
    return sampled_search(evaluations, parzen, batch=options.batch)


class Parzen:
    """Proposals by Optuna's TPE sampler.

    Args:
        evaluations: whose space is searched.
        startup: candidates at random before densities count.
        seed: of the sampler.
    """

    def __init__(self, evaluations: Evaluations, startup: int, seed: int) -> None:
        self._evaluations, self._startup, self._seed = evaluations, startup, seed
        self._study, self._pending = self._fresh(), dict[Architecture, list[Any]]()
        self._asked: dict[Architecture, Any] = {}

    def ask(self, count: int) -> list[Architecture]:
        """Optuna's proposals; several that mean the same architecture are one."""
        found = []
        for _ in range(count):
            trial = self._study.ask()

            def pick(name: str, options: list[str], trial: optuna.Trial = trial) -> str:
                return str(trial.suggest_categorical(name, options))

            architecture = self._evaluations.fitted(compose(self._evaluations.task.space, pick))
            self._pending.setdefault(architecture, []).append(trial)
            self._asked[architecture] = (dict(trial.params), dict(trial.distributions))
            found.append(architecture)
        return found

    def tell(self, losses: Mapping[Architecture, float]) -> None:
        """Every pending trial of an architecture gets its loss."""
        from optuna.trial import TrialState

        for architecture, loss in losses.items():
            for trial in self._pending.pop(architecture, []):
                if math.isfinite(loss):
                    self._study.tell(trial, loss)
                else:
                    self._study.tell(trial, state=TrialState.FAIL)

    def believe(self, losses: Mapping[Architecture, float]) -> None:
        """Forget all that was told and start from these losses of architectures that were asked for before."""
        from optuna.trial import create_trial

        self._seed = derive(self._seed, "again")
        self._study, self._pending = self._fresh(), {}
        for architecture, loss in losses.items():
            if math.isfinite(loss):
                params, distributions = self._asked[architecture]
                self._study.add_trial(create_trial(params=params, distributions=distributions, value=loss))

    def _fresh(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=self._seed % 2**32, n_startup_trials=self._startup, constant_liar=True
            )
            return optuna.create_study(sampler=sampler)
