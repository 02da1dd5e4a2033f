"""ONNX Runtime against eager PyTorch for every bundled space: the same logits, and how many times faster.

One random architecture per space, random weights, inputs of usual sizes. Both run in this process with one thread.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import torch

from fusionnas.bench.base import register_bench, write_table
from fusionnas.data.preprocessing import view_of
from fusionnas.export.cases import cases, worst
from fusionnas.export.form import forms
from fusionnas.export.fresh import check_here
from fusionnas.feature import InputSpec, Signature
from fusionnas.network import build
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace, bundled_spaces

SIZES = {"plain": InputSpec(6), "summary": InputSpec(24), "spectrum": InputSpec(24), "bins": InputSpec(8, tokens=6),
         "observations": InputSpec(9, tokens=7), "tokens": InputSpec(0, tokens=5, vocabulary=20),
         "patches": InputSpec(4, tokens=9, grid=(3, 3)), "frames": InputSpec(5, tokens=8)}  # fmt: skip
"""By view."""


@register_bench("onnx_runtime")
def onnx_runtime(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Largest difference of a logit, and milliseconds of both at batches of 1, 2 and 33, by bundled space."""
    names, threads = list(bundled_spaces()), torch.get_num_threads()
    torch.set_num_threads(1)
    progress.stage("spaces", len(names))
    rows = []
    try:
        for name in names:
            rows.append(compared(name, seed))
            progress.advance({"space": name, "times_faster": rows[-1]["times_faster_1"]})
    finally:
        torch.set_num_threads(threads)
    write_table(output, rows)
    return rows


def compared(name: str, seed: int) -> dict[str, Any]:
    """One bundled space."""
    space = SearchSpace.load(name)
    inputs = {modality: SIZES[view_of(m, modality)] for modality, m in space.file.modalities.items()}
    signature = Signature(inputs, 1 if space.file.task.kind == "binary" else 4)
    torch.manual_seed(seed)
    architecture = space.sample(random.Random(seed), nodes=min(2, space.file.fusion.nodes))
    network = build(space, architecture, signature).eval()
    with tempfile.TemporaryDirectory() as folder:
        facts = forms["onnx"].write(Path(folder), network)
        found = cases(network, dense=True, lengths=facts["lengths"])
        rows = check_here(forms["onnx"], Path(folder) / forms["onnx"].file, found)
    sizes = [case for case in rows if case.isdigit()]
    return {
        "space": name, "largest_difference": f"{worst(rows.values()):.1e}",
        **{f"eager_ms_{size}": f"{rows[size]['eager_ms']:.3f}" for size in sizes},
        **{f"onnx_ms_{size}": f"{rows[size]['ms']:.3f}" for size in sizes},
        **{f"times_faster_{size}": f"{rows[size]['eager_ms'] / rows[size]['ms']:.2f}" for size in sizes},
        "architecture": str(architecture),
    }  # fmt: skip
