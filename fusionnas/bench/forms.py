"""Every form of random gated and ungated architectures over all operators: passes, or says why it cannot.

One row per form: how many of the architectures pass, how many are left out with a reason, how many differ or crash
(none may), the largest difference of a logit, and which lengths and gates were kept. Forms that PyTorch has to trace
take 4 to 9 s of a core each, so all of it takes about half an hour of two cores' time.
"""

from __future__ import annotations

import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from fusionnas.architecture import Architecture, Gates
from fusionnas.bench.base import register_bench, write_table
from fusionnas.data.preprocessing import Preprocessing
from fusionnas.export.capture import ExportError
from fusionnas.export.cases import cases, worst
from fusionnas.export.form import Form, forms
from fusionnas.export.fresh import check_here
from fusionnas.export.native import write_native
from fusionnas.export.write import TOLERANCE
from fusionnas.feature import InputSpec, Signature
from fusionnas.network import FusionNetwork, build
from fusionnas.operators import operators
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace

COUNT = 200
SPACE = """
name: forms
task: {{kind: multiclass, target: label}}
modalities:
  table: {{kind: tabular, encoder: mlp, levels: 1, wide: true}}
  series: {{kind: timeseries, encoder: [gru, tcn, attention], levels: 2, steps: 6}}
  image: {{kind: image, encoder: cnn, levels: 1}}
  text: {{kind: text, encoder: [embedding, attention], levels: 1, steps: 5}}
fusion: {{nodes: 3, width: 8, inputs: [2, 4], operators: [{operators}]}}
"""
INPUTS = {"table": InputSpec(5), "series": InputSpec(7, tokens=6), "image": InputSpec(4, tokens=9, grid=(3, 3)),
          "text": InputSpec(0, tokens=5, vocabulary=20)}  # fmt: skip


Job = tuple[int, Architecture, list[str]]
"""Number, architecture, forms to try."""


@register_bench("forms")
def bench_forms(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Random architectures over all operators, half of them gated, in every usual form."""
    space, rng = _space(), random.Random(seed)
    usual = [name for name in forms if forms[name].usual]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in usual}
    jobs: list[Job] = []
    for number in range(COUNT):
        architecture = gated(space.sample(rng), rng) if number % 2 else space.sample(rng)
        jobs.append((number, architecture, usual))
    progress.stage("architectures", COUNT)
    for (_, architecture, _), results in zip(jobs, _attempted(jobs, workers), strict=True):
        for name, result in results.items():
            found[name].append(result)
        progress.advance({"architecture": str(architecture)[:48]})
    rows = [_row(name, results) for name, results in found.items() if results]
    write_table(output, rows)
    return rows


def _attempted(jobs: Sequence[Job], workers: int) -> Iterator[dict[str, dict[str, Any]]]:
    """Results of every job, in order."""
    if workers == 1:
        yield from itertools.starmap(attempts, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(attempts, *zip(*jobs, strict=True))


def attempts(number: int, architecture: Architecture, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What became of every named form of an architecture with random weights."""
    torch.set_num_threads(1)
    space = _space()
    torch.manual_seed(number)
    network = build(space, architecture, Signature(INPUTS, 3)).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    with tempfile.TemporaryDirectory() as folder:
        write_native(Path(folder), network, space.to_yaml(), Preprocessing({}, {}, {}, ("a", "b", "c"), 3))
        return {name: attempt(forms[name], Path(folder), network) for name in names}


def _space() -> SearchSpace:
    return SearchSpace.parse(SPACE.format(operators=", ".join(operators)))


def gated(architecture: Architecture, rng: random.Random) -> Architecture:
    """With random stages or gated nodes, where it has anything to gate."""
    names, nodes = list(architecture.modalities), architecture.nodes
    rng.shuffle(names)
    stages = tuple((name,) for name in names) if len(names) > 1 and rng.random() < 0.5 else ()
    chosen = tuple((i, rng.choice(node.inputs)) for i, node in enumerate(nodes) if not stages or rng.random() < 0.5)
    return replace(architecture, gates=Gates(stages, chosen)) if stages or chosen else architecture


def attempt(form: type[Form], folder: Path, network: FusionNetwork) -> dict[str, Any]:
    """What became of one form of one network."""
    try:
        facts = form.write(folder, network)
        found = cases(network, dense=not form.routed, lengths=facts.get("lengths", ()))
        difference = worst(check_here(form, folder / form.file, found).values())
    except ExportError as error:
        return {"outcome": "left out", "why": str(error)}
    except Exception as error:  # a crash is what is looked for
        why = f"{type(error).__name__}: {str(error).splitlines()[0]} ({network.architecture})"
        return {"outcome": "crashed", "why": why}
    outcome = "passed" if difference <= TOLERANCE else "differs"
    return {"outcome": outcome, "difference": difference, "why": str(network.architecture), **facts}


def _row(name: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = Counter(result["outcome"] for result in results)
    reasons = sorted({result["why"] for result in results if result["outcome"] != "passed"})
    gates = Counter("If" if result["gates"] == "If" else "masked" for result in results if "gates" in result)
    return {
        "form": name,
        "architectures": len(results),
        **{outcome: outcomes[outcome] for outcome in ("passed", "left out", "differs", "crashed")},
        "largest_difference": f"{max(result.get('difference', 0.0) for result in results):.1e}",
        "open_lengths": sum(bool(result.get("lengths")) for result in results),
        "gates_as_if": gates["If"],
        "gates_masked": gates["masked"],
        "reasons": "; ".join(reasons[:20]),
    }
