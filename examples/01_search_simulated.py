"""Search on the generated intensive-care cohort, with one quick view of each input instead of several.

The outcome of that cohort needs vital signs and laboratory values together, and so does the network that is found:

    python examples/01_search_simulated.py [RUN_FOLDER]
"""

import sys
from pathlib import Path

import fusionnas as fn

SMALL = [
    "name=ehr_small",
    "modalities={static: {kind: tabular, encoder: mlp, levels: 1},"
    " vitals: {kind: timeseries, encoder: summary, levels: 1, wide: true, dropout: 0.3},"
    " labs: {kind: timeseries, encoder: summary, levels: 1, wide: true, dropout: 0.3}}",
    "fusion.operators=[additive, multiplicative, gated, mlp]",
    "fusion.inputs=[2, 3]",
    "training.epochs=12",
    "training.averaging=0.95",
    "search.epochs=8",
    "search.heads=60",
    "search.seeds=1",
    "search.random=1",
    "search.finalists=2",
    "search.folds=2",
]


def main(run_folder: str | None = None) -> None:
    space = fn.SearchSpace.load("ehr.yaml", overrides=SMALL)
    print(space.summary)
    run = fn.search(space, seed=0, run_dir=None if run_folder is None else Path(run_folder))
    print(f"\nfound: {run.architecture}")
    metric = run.results["metric"]
    rows = {"found": run.results["test"][metric]}
    rows |= {name: row["test"][metric] for name, row in run.results["baselines"].items()}
    for name, value in sorted(rows.items(), key=lambda row: -row[1]):
        print(f"  {name:24} {metric} {value:.3f}")
    print(run.results["verdict"])
    print(f"run folder: {run.path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
