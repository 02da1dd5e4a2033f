"""``simulated_icu``: a generated intensive-care cohort whose outcome needs vitals *and* labs.

Variables, units and irregular sampling imitate PhysioNet 2012 (:mod:`fusionnas.data.sources.icu`); no number is a
patient's. Every stay has three independent standard-normal causes:

* severity s: seen everywhere a little; the sicker, the more is measured, and some labs are ordered at all;
* perfusion p: vitals only: trends of pressures, heart rate and urine output over the 48 hours;
* metabolism m: labs only: lactate, creatinine, BUN, bicarbonate, pH and potassium as a pattern.

The outcome is drawn from ``logit = -2.8 + 0.8 s + 0.5 (p + m) + 0.3 age + 5 tanh(1.5 p) tanh(1.5 m)``. The last
term is the planted interaction: falling pressures (p > 0) raise the risk when the labs are deranged (m > 0) and lower
it when they are not; with rising pressures it is the other way round. It vanishes on average over p or over m, so
neither modality shows it alone and no sum of the two does. ``Cohort.facts`` has the modalities of the interaction and
the scores of the true probabilities on the test part: no model beats them but by luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator

from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.raw import Floats, Ints, Raw, Series, Table
from fusionnas.data.records import Records
from fusionnas.data.sources import icu
from fusionnas.errors import DataError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

SEED = 2012
DEVELOPMENT, TEST = 2400, 1600


@dataclass(frozen=True)
class Variable:
    """How a variable follows the causes: value = mean + spread * (loads * causes + patient + noise).

    Attributes:
        mean: in the variable's unit (of the logarithm if ``positive``).
        spread: standard deviation, same unit.
        severity: load of s.
        pattern: load of m, constant over the stay (labs).
        trend: load of p times (time - 1/2), time 0..1 over the stay (vitals).
        digits: decimals that are written.
        positive: the model is of the logarithm.
    """

    mean: float
    spread: float
    severity: float = 0.0
    pattern: float = 0.0
    trend: float = 0.0
    digits: int = 0
    positive: bool = False


@dataclass(frozen=True)
class Panel:
    """Variables measured together.

    Attributes:
        names: the variables.
        hours: mean time between two measurements of a stay of severity 0.
        ordered: share of the stays, at severity 0, in which the panel is measured at all.
    """

    names: tuple[str, ...]
    hours: float
    ordered: float = 1.0


VITALS: dict[str, Variable] = {
    "HR": Variable(87, 14, 0.3, trend=1.6),
    "RespRate": Variable(20, 4.5, 0.3, trend=0.6),
    "Temp": Variable(37, 0.6, 0.1, digits=1),
    "SysABP": Variable(119, 17, -0.2, trend=-1.8),
    "DiasABP": Variable(59, 10, -0.15, trend=-1.4),
    "MAP": Variable(80, 12, -0.2, trend=-1.8),
    "NISysABP": Variable(118, 17, -0.2, trend=-1.8),
    "NIDiasABP": Variable(58, 11, -0.15, trend=-1.4),
    "NIMAP": Variable(77, 12, -0.2, trend=-1.8),
    "SaO2": Variable(96.5, 1.6, -0.3, trend=-0.5),
    "FiO2": Variable(0.5, 0.12, 0.3, digits=2),
    "MechVent": Variable(1, 0),
    "GCS": Variable(11.5, 3, -0.4),
    "Urine": Variable(4.4, 0.7, -0.2, trend=-1.4, positive=True),
    "Weight": Variable(82, 20, digits=1),
}

LABS: dict[str, Variable] = {
    "Albumin": Variable(2.9, 0.6, -0.3, digits=1),
    "ALP": Variable(4.5, 0.5, 0.1, positive=True),
    "ALT": Variable(3.8, 1.1, 0.2, positive=True),
    "AST": Variable(4.1, 1.1, 0.2, positive=True),
    "Bilirubin": Variable(0, 0.9, 0.2, digits=1, positive=True),
    "BUN": Variable(3.1, 0.55, 0.15, 1.0, positive=True),
    "Cholesterol": Variable(155, 40),
    "Creatinine": Variable(0.2, 0.5, 0.1, 1.2, digits=1, positive=True),
    "Glucose": Variable(4.9, 0.3, 0.15, positive=True),
    "HCO3": Variable(23, 4, -0.1, -1.1),
    "HCT": Variable(31, 4.5, -0.15, digits=1),
    "K": Variable(4.1, 0.5, 0, 0.7, digits=1),
    "Lactate": Variable(0.75, 0.5, 0.2, 1.3, digits=1, positive=True),
    "Mg": Variable(2, 0.3, 0, 0.2, digits=1),
    "Na": Variable(139, 4.5),
    "PaCO2": Variable(40, 7, 0.1, -0.4),
    "PaO2": Variable(4.95, 0.4, -0.15, positive=True),
    "pH": Variable(7.38, 0.07, -0.1, -1.1, digits=2),
    "Platelets": Variable(5.1, 0.5, -0.1, positive=True),
    "TroponinI": Variable(0.9, 1.1, 0.2, digits=1, positive=True),
    "TroponinT": Variable(-1.6, 1.2, 0.2, digits=2, positive=True),
    "WBC": Variable(2.4, 0.5, 0.15, digits=1, positive=True),
}

VITAL_PANELS = (
    Panel(("HR",), 1.2),
    Panel(("SysABP", "DiasABP", "MAP"), 1.4, 0.6),
    Panel(("NISysABP", "NIDiasABP", "NIMAP"), 2.2, 0.9),
    Panel(("Temp",), 4),
    Panel(("RespRate",), 2.5, 0.5),
    Panel(("SaO2",), 8, 0.5),
    Panel(("FiO2", "MechVent"), 6, 0.6),
    Panel(("GCS",), 5),
    Panel(("Urine",), 2),
    Panel(("Weight",), 24, 0.8),
)

LAB_PANELS = (
    Panel(("BUN", "Creatinine", "Na", "K", "HCO3", "Glucose", "Mg"), 13),
    Panel(("HCT", "Platelets", "WBC"), 14),
    Panel(("pH", "PaCO2", "PaO2"), 9, 0.75),
    Panel(("Lactate",), 13, 0.65),
    Panel(("Albumin", "ALP", "ALT", "AST", "Bilirubin"), 30, 0.4),
    Panel(("TroponinI",), 20, 0.07),
    Panel(("TroponinT",), 20, 0.25),
    Panel(("Cholesterol",), 40, 0.08),
)


@dataclass(frozen=True)
class Causes:
    """The hidden causes of N stays, (N,) each, standard normal: severity, perfusion, metabolism, age."""

    severity: Floats
    perfusion: Floats
    metabolism: Floats
    age: Floats

    def probability(self) -> Floats:
        """(N,) the true probability of death."""
        crossed = np.tanh(1.5 * self.perfusion) * np.tanh(1.5 * self.metabolism)
        alone = 0.8 * self.severity + 0.5 * (self.perfusion + self.metabolism) + 0.3 * self.age
        logit = -2.8 + alone + 5 * crossed
        return np.asarray(1 / (1 + np.exp(-logit)))


@register_dataset("simulated_icu")
def load(space: SearchSpace, *, path: Path | None) -> Cohort:
    """2,400 stays as development, 1,600 as test; the same in every process."""
    if path is not None:
        raise DataError("simulated_icu is generated", [f"--data-path {path}: there is no folder to read; leave it out"])
    records, probability = generate(DEVELOPMENT + TEST, np.random.default_rng(SEED))
    last = np.arange(DEVELOPMENT, DEVELOPMENT + TEST)
    facts = {"planted_interaction": ["vitals", "labs"], "bayes": _bayes(records.take(last), probability[last])}
    description = {
        "source": "simulated_icu",
        "target": icu.TARGET,
        "licence": "generated, no rights reserved",
        "seed": SEED,
    }
    return Cohort(records.take(np.arange(DEVELOPMENT)), records.take(last), {}, description, facts)


def generate(size: int, rng: Generator) -> tuple[Records, Floats]:
    """``size`` stays, and the true probability of death of each."""
    causes = Causes(*rng.standard_normal((4, size)))
    probability = causes.probability()
    target = (rng.random(size) < probability).astype(np.int64)
    modalities: dict[str, Raw] = {
        "static": _static(causes, rng),
        "vitals": _series(VITALS, VITAL_PANELS, causes, rng),
        "labs": _series(LABS, LAB_PANELS, causes, rng),
    }
    ids = np.array([f"s{i:05d}" for i in range(size)])
    return Records(modalities, target, ids, classes=icu.CLASSES), probability


def _static(causes: Causes, rng: Generator) -> Table:
    size = len(causes.age)
    male = rng.random(size) < 0.56
    height = np.where(rng.random(size) < 0.47, np.nan, np.round(163 + 13 * male + rng.normal(0, 7, size), 1))
    weight = np.where(rng.random(size) < 0.08, np.nan, np.round(74 + 12 * male + rng.normal(0, 16, size).clip(-40), 1))
    unit = np.array(list(icu.ICU_TYPES.values()))[rng.choice(4, size, p=[0.15, 0.21, 0.36, 0.28])]
    columns = {
        "Age": np.round(64 + 17 * causes.age).clip(16, 90),
        "Gender": male.astype(float),
        "Height": height,
        "ICUType": unit,
        "Weight": weight,
    }
    return Table.of(columns, ranges=icu.ranges_of(icu.STATIC))


def _series(models: dict[str, Variable], panels: tuple[Panel, ...], causes: Causes, rng: Generator) -> Series:
    names = tuple(models)
    blocks = []
    for panel in panels:
        sample, minutes = _times(panel, causes.severity, rng)
        for name in panel.names:
            # A tube is lost, a nurse is busy: one in twelve values of a panel is not written down.
            kept = rng.random(len(sample)) < 11 / 12
            # A monitor's scale ends where its plausible range does: a GCS of 15 is the best there is.
            value = _values(models[name], causes, sample[kept], minutes[kept], rng).clip(*icu.RANGES[name])
            blocks.append((sample[kept], minutes[kept], np.full(kept.sum(), names.index(name)), value))
    sample, minutes, variable, values = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Series.from_events(
        sample,
        minutes,
        variable,
        values,
        size=len(causes.age),
        variables=names,
        horizon=icu.HORIZON,
        ranges=icu.ranges_of(names),
        log=icu.log_of(names),
    )


def _times(panel: Panel, severity: Floats, rng: Generator) -> tuple[Ints, Floats]:
    """Which stay is measured when: a Poisson process each, denser and likelier with severity."""
    odds = (
        np.log(panel.ordered / (1 - panel.ordered)) + 0.8 * severity
        if panel.ordered < 1
        else np.full(len(severity), np.inf)
    )
    ordered = rng.random(len(severity)) < 1 / (1 + np.exp(-odds))
    count = np.where(ordered, rng.poisson(48 / panel.hours * np.exp(0.35 * severity)), 0)
    return np.repeat(np.arange(len(severity)), count), np.floor(rng.random(count.sum()) * icu.HORIZON)


def _values(model: Variable, causes: Causes, sample: Ints, minutes: Floats, rng: Generator) -> Floats:
    own = rng.normal(0, 0.6, len(causes.age))[sample]
    time = minutes / icu.HORIZON - 0.5
    level = model.severity * causes.severity[sample] + model.pattern * causes.metabolism[sample]
    moved = level + model.trend * causes.perfusion[sample] * time + own + rng.normal(0, 0.5, len(sample))
    value = model.mean + model.spread * moved
    return np.asarray(np.maximum(np.round(np.exp(value) if model.positive else value, model.digits), 0))


def _bayes(records: Records, probability: Floats) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(records.target, probability)),
        "average_precision": float(average_precision_score(records.target, probability)),
    }
