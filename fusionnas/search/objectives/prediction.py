"""Metrics of prediction, by scikit-learn's names."""

from __future__ import annotations

from typing import get_args

from fusionnas.search.objective import Objective, objectives
from fusionnas.space.schema import Metric
from fusionnas.training.scoring import LOWER_IS_BETTER

for name in get_args(Metric):
    better = name not in LOWER_IS_BETTER
    text = f"{name.replace('_', ' ')} on held-out samples, {'higher' if better else 'lower'} is better"
    objectives.register(name)(Objective(text, higher_is_better=better))
