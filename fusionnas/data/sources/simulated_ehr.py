"""``simulated_ehr``: a generated hospital cohort of four kinds of data on one clock of 24 hours.

The form follows the records that MUFASA searched on (Xu et al., AAAI 2021, arXiv:2102.02340): context, and hourly
bags of continuous measurements, of codes and of words. What is in it is made up, and known:

* ``continuous``: six measurements, each hour written down with chance 0.7; some rise and some fall with the ``course``.
* ``categorical``: codes of drugs; which ones are given together tells the ``treatment``, one of two.
* ``notes``: words; the ``mood`` of the day tells whether "better" or "worse" words are written, among others.
* ``context``: age and sex.

The outcome depends on age, on the course, and on the mood *times* the treatment: notes mean one thing under one
treatment and the opposite under the other. So notes and codes must meet before they are summed up.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.raw import Floats, Ints, Raw, Series, Table
from fusionnas.data.records import Records
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

SEED, DEVELOPMENT, TEST, HOURS = 20210202, 2000, 1000, 24
MEASURED = ("pulse", "pressure", "temperature", "breaths", "saturation", "urine")
RISES = np.array([1.0, -1.0, 0.7, 0.8, -0.8, -0.6])
DRUGS = tuple(f"drug{i}" for i in range(8))
WORDS = ("better", "calm", "eats", "sleeps", "worse", "pain", "restless", "fever", "the", "patient", "today", "and")


@register_dataset("simulated_ehr")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """Hourly measurements, codes and words, and context; words mean what the codes make of them."""
    if path is not None:
        raise DataError("simulated_ehr is generated", [f"--data-path {path}: there is no folder to read; leave it out"])
    records, probability = generate(DEVELOPMENT + TEST, np.random.default_rng(SEED))
    last = np.arange(DEVELOPMENT, DEVELOPMENT + TEST)
    test = records.take(last)
    facts = {"planted_interaction": ["categorical", "notes"], "bayes": _bayes(test, probability[last])}
    description = {"source": "simulated_ehr", "licence": "generated, no rights reserved", "seed": SEED}
    return Cohort(records.take(np.arange(DEVELOPMENT)), test, {}, description, facts)


def generate(size: int, rng: Generator) -> tuple[Records, Floats]:
    """``size`` stays, and the true probability of the outcome of each."""
    age, course, mood = rng.standard_normal((3, size))
    treatment = rng.integers(0, 2, size)
    logit = 0.5 * age + 1.2 * course + 2.0 * mood * (2 * treatment - 1)
    probability = 1 / (1 + np.exp(-1.3 * logit))
    context = Table.of({"age": np.round(60 + 15 * age), "sex": rng.choice(np.array(["f", "m"]), size)})
    inputs: dict[str, Raw] = {
        "context": context,
        "continuous": _continuous(course, rng),
        "categorical": _bags(DRUGS, _drug_rates(treatment), rng),
        "notes": _bags(WORDS, _word_rates(mood), rng),
    }
    target = (rng.random(size) < probability).astype(np.int64)
    ids = np.array([f"s{i:05d}" for i in range(size)])
    return Records(inputs, target, ids, classes=("no", "yes")), probability


def _continuous(course: Floats, rng: Generator) -> Series:
    hours = np.linspace(-1, 1, HOURS)
    values = course[:, None, None] * hours[None, :, None] * RISES + rng.normal(0, 0.8, (len(course), HOURS, len(RISES)))
    values[rng.random(values.shape) > 0.7] = np.nan
    return Series.from_dense(values, variables=MEASURED)


def _drug_rates(treatment: Ints) -> Floats:
    """Per stay and drug, how many an hour: each treatment has four of its own, and the others are rare."""
    own = np.arange(len(DRUGS)) % 2 == treatment[:, None]
    return np.where(own, 0.15, 0.03)


def _word_rates(mood: Floats) -> Floats:
    """Per stay and word, how many an hour: four good ones, four bad ones, four that say nothing."""
    good = 0.2 * np.exp(0.8 * mood)[:, None] * np.ones(4)
    bad = 0.2 * np.exp(-0.8 * mood)[:, None] * np.ones(4)
    return np.concatenate((good, bad, np.full((len(mood), 4), 0.5)), 1)


def _bags(names: tuple[str, ...], rates: Floats, rng: Generator) -> Series:
    """Counts per hour; what does not occur is not written down."""
    counts = rng.poisson(rates[:, None, :], (len(rates), HOURS, len(names)))
    sample, hour, variable = np.nonzero(counts)
    return Series.from_events(
        sample, hour.astype(np.float64), variable, counts[sample, hour, variable].astype(np.float64),
        size=len(rates), variables=names, horizon=float(HOURS),
    )  # fmt: skip


def _bayes(records: Records, probability: Floats) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "accuracy": float(((probability > 0.5) == (records.target == 1)).mean()),
        "roc_auc": float(roc_auc_score(records.target, probability)),
        "average_precision": float(average_precision_score(records.target, probability)),
    }
