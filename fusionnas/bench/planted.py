"""Planted truth: the label depends on two known modalities through a known interaction; is that what a search finds?

Up to six modalities of 8 floats, each an own rotation of its latents: ``b`` and ``d`` decide the label together and say
nothing about it alone, ``a`` is a shortcut that is right in 75 or 85 % of the samples (or noise like all others). The
trap of relaxed searches is to lock on to ``a``.

The default engine is run whole, up to the choice among its finalists and the references. The rivals meet the
shortcut, and end as published, with the one network that they decode, trained anew; at two rates of the alphas. The
default has no alphas here, since no modality has a choice of encoders. BM-NAS moves its alphas from the first epoch on,
as published; DARTS is ours, with alphas that stand still for half of the epochs.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fusionnas.bench.base import register_bench, write_table
from fusionnas.data.base import Part, SearchData
from fusionnas.errors import FusionNASError, InputError
from fusionnas.execution.base import Call, completed
from fusionnas.execution.choose import make_executor
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.network import predict
from fusionnas.run import Run
from fusionnas.run.progress import Progress, QuietProgress
from fusionnas.search.finalists import choose
from fusionnas.search.method import Problem, Task, methods
from fusionnas.search.retrain import Job, retrain
from fusionnas.space import SearchSpace
from fusionnas.training.scoring import nll

SEEDS, RIVAL_SEEDS, MORE_SEEDS = 20, 8, 4
RIVALS, RATES = ("darts", "bm_nas"), (3e-4, 3e-3)
INTERACTIONS = ("xor", "product", "gating")
SIZES, WIDTH = (1200, 400, 400, 2000), 8  # train, alpha, select, test
MARGIN = 0.5  # of product: how far its latents stay from zero
MODALITIES, PLANTED = ("b", "d", "a", "c", "e", "f"), ("b", "d")
NEAR = 0.01

SPACE = """
name: planted
task: {{kind: binary, metric: accuracy}}
modalities: {{{modalities}}}
fusion: {{nodes: 2, width: 16, inputs: [2, 3], operators: [additive, multiplicative, gated, mlp]}}
training: {{epochs: 20, learning_rate: 0.005, weight_decay: 0.01}}
search: {{epochs: 12, heads: 120, rescore: 6, finalists: 3, folds: 2, stacking: true}}
"""


@dataclass(frozen=True)
class Case:
    """One kind of data set.

    Attributes:
        interaction: ``xor`` of a bit in b and a bit in d; ``product``: sign of the product of two real latents, both at
            least 0.5 from zero; ``gating``: a bit in d says which of two bits in b is the label.
        shortcut: share of samples in which a bit in a equals the label; 0.5 = none.
        modalities: how many, 2 to 6; the third is a.
        noise: share of labels that are flipped.
    """

    interaction: str
    shortcut: float
    modalities: int = 4
    noise: float = 0.0

    @property
    def useful(self) -> set[str]:
        """The modalities that say anything; the shortcut only where it knows which labels were flipped."""
        return {*PLANTED, "a"} if self.shortcut > 0.5 and self.noise else set(PLANTED)


_NOISE = {"xor": 0.0, "product": 0.05, "gating": 0.0}
GRID = tuple(Case(kind, shortcut, noise=_NOISE[kind]) for kind in INTERACTIONS for shortcut in (0.5, 0.75))
MORE = (Case("xor", 0.5, 2), Case("xor", 0.85, 3), Case("product", 0.85, 5, 0.1), Case("gating", 0.85, 6, 0.1))
"""Other numbers of modalities, a stronger shortcut, more noise; fewer seeds.

The shortcut also knows which labels were flipped: where there is noise, reading it lowers the loss, and no accuracy is
to be won by it.
"""


class Attainable(NamedTuple):
    """What the best possible classifier, which knows how the data were made, comes to on the test part.

    Attributes:
        accuracy: of its decisions.
        loss: of its probabilities, in nats.
    """

    accuracy: float
    loss: float


@register_bench("planted")
def planted(
    output: Path, *, seed: int, workers: int, progress: Progress, words: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """How often the planted pair is found, and how near the result is to the best possible; a number: fewer seeds.

    Every run is a row of ``output``; the table per method and case, which is returned, stands beside it as
    ``planted_summary.csv``. ``proposed_*`` is what the method itself puts first; ``found_*`` what is taken in the end:
    does it read both planted modalities, does it read one that is of no use.
    """
    calls = list(_calls(seed, _seeds(words)))
    progress.stage("planted", len(calls))
    rows: dict[str, dict[str, Any]] = {}
    with contextlib.closing(make_executor(workers)) as executor:
        for ended in completed(executor, calls):
            if ended.failure is not None:
                raise FusionNASError(f"{ended.call.name}: {ended.failure.text}")
            rows[ended.call.name] = ended.value
            progress.advance({"shortfall": ended.value["shortfall"]})
    table = [rows[call.name] for call in calls]
    told = summary(table)
    write_table(output, table)
    write_table(output.with_name(f"{output.stem}_summary.csv"), told)
    return told


def _seeds(words: Sequence[str]) -> int:
    if len(words) > 1 or not all(word.isdecimal() and int(word) for word in words):
        raise InputError(f"fusionnas bench planted: given '{' '.join(words)}', expected the number of seeds or nothing")
    return int(words[0]) if words else SEEDS


def _calls(seed: int, seeds: int) -> Iterator[Call]:
    plan = [("default", RATES[1], case, SEEDS) for case in GRID]
    plan += [("default", RATES[1], case, MORE_SEEDS) for case in MORE]
    traps = [case for case in GRID if case.shortcut > 0.5]
    plan += [(method, rate, case, RIVAL_SEEDS) for method in RIVALS for rate in RATES for case in traps]
    for method, rate, case, most in plan:
        for number in range(seed, seed + min(most, seeds)):
            yield Call(f"{method} {rate:g} {case} {number}", one, (method, case, number, rate))


def one(method: str, case: Case, seed: int, rate: float, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """One row: this method on this data set; the same in any process."""
    torch.set_num_threads(1)
    data, test, best = generate(case, seed)
    names = sorted(MODALITIES[: case.modalities])
    text = SPACE.format(modalities=", ".join(f"{name}: {{kind: vector, encoder: mlp, levels: 1}}" for name in names))
    space = SearchSpace.parse(text, overrides=[f"search.method={method}", f"search.alpha_rate={rate}", *overrides])
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder, Run.create(Path(folder) / "run", space=space, settings={}) as run:
        task = Task(Problem(space, data, seed), run, QuietProgress(stages=False))
        found = methods[method](task)
        first = retrain(task, [Job(found.finalists[0], 0)])[0]
        # As published, a relaxed method ends here: no reference comes to its rescue.
        taken = first if methods[method].facts.relaxed else choose(task, found).trained[0]
        accuracies, losses = [], []
        for trained in (first, taken):
            logits = predict(trained.network(task.problem), test.inputs)
            accuracies.append(float(((logits[:, 0] > 0).long() == test.target).float().mean()))
            losses.append(float(nll(logits, test.target).mean()))
    return {
        "method": method, "alpha_rate": rate if methods[method].facts.relaxed else "any",
        "interaction": case.interaction, "shortcut": case.shortcut, "modalities": case.modalities,
        "noise": case.noise, "seed": seed, "proposed": str(first.architecture),
        "proposed_planted": set(PLANTED) <= set(first.architecture.modalities),
        "proposed_accuracy": f"{accuracies[0]:.4f}", "found": str(taken.architecture),
        "found_planted": set(PLANTED) <= set(taken.architecture.modalities),
        "found_useless": not set(taken.architecture.modalities) <= case.useful, "accuracy": f"{accuracies[1]:.4f}",
        "attainable": f"{best.accuracy:.4f}", "shortfall": f"{best.accuracy - accuracies[1]:.4f}",
        "loss": f"{losses[1]:.4f}", "attainable_loss": f"{best.loss:.4f}",
        "seconds": f"{time.process_time() - start:.1f}",
    }  # fmt: skip


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per method, rate and case: runs, share that found the planted pair, how near they came."""
    keys = ("method", "alpha_rate", "interaction", "shortcut", "modalities", "noise")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [
        {
            **dict(zip(keys, group, strict=True)), "runs": len(members),
            "proposed_planted": f"{statistics.mean(row['proposed_planted'] for row in members):.2f}",
            "found_planted": f"{statistics.mean(row['found_planted'] for row in members):.2f}",
            "found_useless": f"{statistics.mean(row['found_useless'] for row in members):.2f}",
            "accuracy": f"{statistics.mean(float(row['accuracy']) for row in members):.4f}",
            "attainable": f"{statistics.mean(float(row['attainable']) for row in members):.4f}",
            "shortfall": f"{statistics.mean(float(row['shortfall']) for row in members):.4f}",
            "within_a_point": f"{statistics.mean(float(row['shortfall']) <= NEAR for row in members):.2f}",
            "loss": f"{statistics.mean(float(row['loss']) for row in members):.4f}",
            "attainable_loss": f"{statistics.mean(float(row['attainable_loss']) for row in members):.4f}",
            "seconds": f"{statistics.mean(float(row['seconds']) for row in members):.1f}",
        }
        for group, members in groups.items()
    ]  # fmt: skip


def generate(case: Case, seed: int) -> tuple[SearchData, Part, Attainable]:
    """What a search sees, the test part, and what the best possible classifier comes to there."""
    rng = np.random.default_rng([seed, INTERACTIONS.index(case.interaction), case.modalities])
    names = sorted(MODALITIES[: case.modalities])
    turned = {name: np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0] for name in names}
    parts, best = [], Attainable(1.0, 0.0)
    for place, size in enumerate(SIZES):
        latents, sign = _latents(case, size, rng)
        flipped = rng.random(size) < case.noise
        label = np.where(flipped, -sign, sign)
        latents["a"] = np.where(rng.random(size) < case.shortcut, label, -label)[:, None]
        best = Attainable(float(1 - flipped.mean()), _loss(case, flipped, latents["a"][:, 0] == label))
        if case.shortcut == 0.5:
            latents["a"] = np.zeros((size, 0))
        inputs = {name: _feature(latents.get(name, np.zeros((size, 0))), turned[name], rng) for name in names}
        ids = np.array([f"{place}-{i}" for i in range(size)])
        parts.append(Part(inputs, torch.tensor(label > 0, dtype=torch.long), ids, ids))
    signature = Signature({name: InputSpec(WIDTH, tokens=1) for name in names}, outputs=1)
    train, alpha, select, test = parts
    return SearchData(train, alpha, select, signature), test, best


def _latents(case: Case, size: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Latents of b and d, and the label without noise, as signs."""
    bits = rng.integers(0, 2, (size, 3)) * 2 - 1
    real = rng.standard_normal((size, 2))
    real = np.sign(real) * (MARGIN + np.abs(real))
    if case.interaction == "gating":
        return {"b": bits[:, :2], "d": bits[:, 2:]}, np.where(bits[:, 2] > 0, bits[:, 0], bits[:, 1])
    # Without a margin the best possible is out of reach of any network: too few samples lie near the border.
    b, d = (real[:, :1], real[:, 1:]) if case.interaction == "product" else (bits[:, :1], bits[:, 1:2])
    return {"b": b, "d": d}, np.where(b[:, 0] * d[:, 0] > 0, 1, -1)


def _loss(case: Case, flipped: NDArray[np.bool_], told: NDArray[np.bool_]) -> float:
    """Mean negative log-probability of the labels, given the planted two and whether the shortcut tells the truth."""
    label = np.where(flipped, case.noise, 1 - case.noise) * np.where(told, case.shortcut, 1 - case.shortcut)
    other = np.where(flipped, 1 - case.noise, case.noise) * np.where(told, 1 - case.shortcut, case.shortcut)
    return float(np.log((label + other) / label).mean())


def _feature(latent: NDArray[Any], rotation: NDArray[Any], rng: np.random.Generator) -> Feature:
    """(N, 1, W) latents among standard normal noise, rotated."""
    noise = rng.standard_normal((len(latent), WIDTH - latent.shape[1]))
    values = np.concatenate([latent, noise], axis=1) @ rotation
    size = len(latent)
    return Feature(
        torch.tensor(values, dtype=torch.float32)[:, None], torch.ones(size, 1, dtype=torch.bool),
        torch.ones(size, dtype=torch.bool),
    )  # fmt: skip
