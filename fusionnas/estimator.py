"""FusionClassifier: a whole search behind ``fit`` and ``predict``, in scikit-learn's manners, on arrays in memory.

Shapes: N samples; inputs by name as in an npz file (``docs/data.md``), such as {"static": (N, C), "vitals": (N, T, V)}.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fusionnas.errors import DataError
from fusionnas.space import SearchSpace

if TYPE_CHECKING:
    from fusionnas.data.base import Part

Inputs = Mapping[str, Any]
LABEL, GROUP = "label", "group"


class FusionClassifier(ClassifierMixin, BaseEstimator):
    """Finds, trains and tests a fusion network when it is fitted.

    A part of the samples is always held out: for choosing, and a fifth to test the result once, which ``results_``
    reports. Groups are never split over parts.

    Args:
        space: a SearchSpace, a path, or the name of a bundled space; its ``data`` section is not used.
        seed: of everything random.
        workers: processes that train at the same time; no result depends on it.
        run_dir: new folder that keeps the run; None: it is kept nowhere.

    Attributes:
        classes_: the labels, in the order of ``predict_proba``'s columns.
        architecture_: what was found.
        network_: the trained network, a plain module in eval mode.
        results_: the content of ``results.json``.
    """

    def __init__(
        self,
        space: SearchSpace | str | Path = "ehr",
        *,
        seed: int = 0,
        workers: int = 1,
        run_dir: str | Path | None = None,
    ) -> None:
        self.space = space
        self.seed = seed
        self.workers = workers
        self.run_dir = run_dir

    def fit(self, X: Inputs, y: Any, groups: Any = None) -> FusionClassifier:
        """Search on arrays by modality, with labels (N,) and, if wanted, groups (N,).

        Raises:
            DataError: with everything that is wrong with the arrays.
        """
        from fusionnas.api import search
        from fusionnas.export.native import read_native

        arrays = _arrays(X) | {LABEL: _labels(y)} | ({} if groups is None else {GROUP: np.asarray(groups)})
        space = self.space if isinstance(self.space, SearchSpace) else SearchSpace.load(self.space)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) if self.run_dir is None else Path(self.run_dir)
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "samples.npz"
            np.savez(file, allow_pickle=False, **arrays)
            run = search(_over(space, file, groups is not None), seed=self.seed, run_dir=folder / "run",
                         workers=self.workers)  # fmt: skip
            model = read_native(run.path)
        self.network_, self.preprocessing_ = model.network, model.preprocessing
        self.architecture_, self.results_ = run.architecture, dict(run.results)
        self.space_, self.classes_ = run.space, _as_given(model.preprocessing.classes, arrays[LABEL])
        return self

    def predict_proba(self, X: Inputs) -> NDArray[np.float64]:
        """Probabilities (N, C), columns in the order of ``classes_``.

        Raises:
            DataError: an input is missing or of another kind or shape than in ``fit``.
        """
        from fusionnas.network import predict
        from fusionnas.training.scoring import probabilities

        check_is_fitted(self, "network_")
        return probabilities(predict(self.network_, self._part(X).inputs))

    def predict(self, X: Inputs) -> NDArray[Any]:
        """The most probable label of each sample, (N,)."""
        best = self.predict_proba(X).argmax(1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def _part(self, X: Inputs) -> Part:
        from fusionnas.data.files import array_records

        return self.preprocessing_.part(array_records(_arrays(X), self.space_))


def _arrays(X: Inputs) -> dict[str, NDArray[Any]]:
    """Inputs as arrays of numbers or texts; tables (pandas) give their values."""
    if not isinstance(X, Mapping):
        given = type(X).__name__
        raise DataError("the inputs cannot be used", [f"given {given}, expected a mapping of arrays by name"])
    arrays = {name: np.asarray(value) for name, value in X.items()}
    return {name: a.astype(np.str_) if a.dtype.kind == "O" else a for name, a in arrays.items()}


def _labels(y: Any) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise DataError("the labels cannot be used", [f"y has shape {labels.shape}, expected (samples,)"])
    return labels.astype(np.str_) if labels.dtype.kind == "O" else labels


def _over(space: SearchSpace, file: Path, grouped: bool) -> SearchSpace:
    """The space, reading the file that holds the arrays."""
    from fusionnas.space.schema import Files

    data = Files(format="npz", train=str(file.resolve()), target=LABEL, group=GROUP if grouped else None)
    task = space.file.task.model_copy(update={"target": LABEL})
    changed = space.file.model_copy(update={"data": data, "task": task})
    return SearchSpace(changed, path=space.path, folder=space.folder)


def _as_given(classes: tuple[str, ...], labels: NDArray[Any]) -> NDArray[Any]:
    """Names of the labels in the type that they had in ``y``, where each of them stands there."""
    known = {str(value): value for value in np.unique(labels).tolist()}
    return np.array([known.get(name, name) for name in classes])
