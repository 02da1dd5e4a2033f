"""ICU mortality on the PhysioNet 2012 challenge: searched and trained on set A, scored on set B.

Beside the found network and its baselines stand two strong models without any network on the same summaries: logistic
regression and histogram gradient boosting, and the mean of their probabilities. A network that beats only weaker
preprocessing has shown nothing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from fusionnas.api import search
from fusionnas.bench.base import register_bench, write_table
from fusionnas.data.base import Dataset, Part
from fusionnas.data.load import load_dataset
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace
from fusionnas.training.scoring import metric

SEEDS = 5
SUMMARIES = ("static", "vitals_summary", "labs_summary")


@register_bench("physionet2012")
def physionet2012(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """One search of ``ehr.yaml`` on set A; the found network and every baseline with five seeds, scored on set B."""
    space = SearchSpace.load("ehr.yaml", overrides=["data=physionet2012", f"search.seeds={SEEDS}"])
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = search(space, seed=seed, run_dir=Path(folder) / "run", workers=workers, progress=progress)
    seconds = time.monotonic() - start
    results = run.results
    ours = {"test": results["test"], "spread": results["spread"], "parameters": results["cost"]["parameters"],
            "architecture": results["text"], "difference": 0.0, "interval": [0.0, 0.0]}  # fmt: skip
    rows = [_row("found", ours, SEEDS, seconds)]
    rows += [_row(name, entry, SEEDS, None) for name, entry in results["baselines"].items()]
    rows += _without_networks(load_dataset(space, seed=seed))
    write_table(output, rows)
    return rows


def _row(name: str, entry: dict[str, Any], seeds: int, seconds: float | None) -> dict[str, Any]:
    return {
        "model": name,
        "roc_auc": f"{entry['test']['roc_auc']:.4f}",
        "roc_auc_std": _digits(entry["spread"]["roc_auc"]),
        "average_precision": f"{entry['test']['average_precision']:.4f}",
        "average_precision_std": _digits(entry["spread"]["average_precision"]),
        "found_minus_this": f"{entry['difference']:+.4f}",
        "interval_low": f"{entry['interval'][0]:+.4f}",
        "interval_high": f"{entry['interval'][1]:+.4f}",
        "seeds": seeds,
        "parameters": entry["parameters"],
        "search_seconds": "" if seconds is None else f"{seconds:.0f}",
        "architecture": entry["architecture"],
    }


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _without_networks(dataset: Dataset) -> list[dict[str, Any]]:
    part, test = dataset.search.all(), dataset.test.open(lambda: None)
    inputs, labels = _table(part), part.target.numpy()
    linear = LogisticRegression(C=0.003, max_iter=5000).fit(inputs, labels)
    boosted = HistGradientBoostingClassifier(random_state=0).fit(inputs, labels)
    first, second = (model.predict_proba(_table(test)) for model in (linear, boosted))
    scored = {"logistic regression": first, "gradient boosting": second, "mean of these two": (first + second) / 2}
    return [_plain_row(name, probability, test.target.numpy()) for name, probability in scored.items()]


def _plain_row(name: str, probability: NDArray[np.float64], target: NDArray[np.int64]) -> dict[str, Any]:
    scores = {m: metric(m, probability, target) for m in ("roc_auc", "average_precision")}
    entry = {"test": scores, "spread": {"roc_auc": None, "average_precision": None}, "parameters": "",
             "architecture": "summaries and static", "difference": 0.0, "interval": [0.0, 0.0]}  # fmt: skip
    row = _row(name, entry, 1, None)
    return row | {"found_minus_this": "", "interval_low": "", "interval_high": ""}


def _table(part: Part) -> NDArray[np.float32]:
    return np.concatenate([part.inputs[name].values[:, 0].numpy() for name in SUMMARIES], axis=1)
