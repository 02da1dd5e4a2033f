"""A study's trials in a database that Optuna's own tools read while it goes on. The journal stays the truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from fusionnas.errors import InputError

_FORMS = ("sqlite:///FILE", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
_NUMBER = "fusionnas trial"


class Mirror:
    """Trials are added as they end; each once, also over several sessions.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://...``; the database has to be there, its tables are made.
        name: of the study in the database.
        distributions: Optuna's, of what varies.
        tell: hears when the database does not answer any more; the study goes on, and tries again at the next trial.

    Raises:
        InputError: the database cannot be opened.
    """

    def __init__(self, url: str, name: str, distributions: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        self._distributions, self._tell, self._silent = dict(distributions), tell, False
        self._storage, self._study = _open(url, name)
        self._waiting: dict[int, Any] = {}
        self.numbers = {trial.user_attrs.get(_NUMBER) for trial in self._study.get_trials(deepcopy=False)}

    def write(self, number: int, values: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Add a trial, and those that the database did not take before; one without a loss was stopped early."""
        from optuna.exceptions import StorageInternalError
        from optuna.trial import TrialState, create_trial
        from sqlalchemy.exc import SQLAlchemyError

        if number in self.numbers:
            return
        state = TrialState.FAIL if "failed" in facts else TrialState.COMPLETE if "loss" in facts else TrialState.PRUNED
        self._waiting[number] = create_trial(
            state=state, value=facts["loss"] if state is TrialState.COMPLETE else None,
            params=dict(values), distributions=self._distributions,
            intermediate_values={k: loss for k, loss in enumerate(facts.get("rungs", ())) if loss is not None},
            user_attrs={_NUMBER: number, **{key: facts[key] for key in ("text", "failed") if key in facts}},
        )  # fmt: skip
        try:
            for waiting in sorted(self._waiting):
                self._study.add_trial(self._waiting[waiting])
                self.numbers.add(waiting)
                del self._waiting[waiting]
            self._silent = False
        except (StorageInternalError, SQLAlchemyError) as error:
            if not self._silent:
                self._tell(f"--storage: the database does not take trials ({_cause(error)}); the study goes on without")
            self._silent = True

    def close(self) -> None:
        """Leave the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _open(url: str, name: str) -> tuple[Any, Any]:
    import optuna
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    scheme, found, _ = url.partition("://")
    if not found or scheme not in ("sqlite", "postgresql"):
        raise InputError(f"--storage: given '{hidden(url)}', expected {' or '.join(_FORMS)}")
    # By its driver's name: which driver the short form stands for depends on SQLAlchemy's version.
    full = url.replace("postgresql://", "postgresql+psycopg://", 1)
    options = {"connect_args": {"connect_timeout": 10}} if scheme == "postgresql" else {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(full, engine_kwargs=options)
        return storage, optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
    except ImportError as error:
        problem = "needs the package psycopg: pip install 'psycopg[binary]'"
        raise InputError(f"--storage: {hidden(url)} {problem}") from error
    except (ArgumentError, ValueError) as error:
        raise InputError(f"--storage: given '{hidden(url)}', expected {' or '.join(_FORMS)}") from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
        raise InputError(f"--storage: {hidden(url)} cannot be opened: {_cause(error)}") from error


def hidden(url: str) -> str:
    """The address without its password."""
    scheme, slashes, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}{slashes}{login.partition(':')[0] + ':***' if ':' in login else login}{at}{place}"


def _cause(error: BaseException) -> str:
    """The driver's own first line."""
    original = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
    return (str(original).strip().splitlines() or [type(error).__name__])[0]
