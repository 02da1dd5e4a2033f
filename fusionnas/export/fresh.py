"""Checking a form where it will be used: in a new process that knows the file and nothing else."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fusionnas.export.capture import ExportError
from fusionnas.export.cases import REPEATS, Case, median_ms
from fusionnas.export.form import Form

_PROGRAM = """
from __future__ import annotations

import json
import sys
import time
import warnings

import torch

{load}

warnings.simplefilter("ignore")
path, cases, threads, repeats, independent = sys.argv[1:]
torch.set_num_threads(int(threads))
run, rows = load(path), {{}}
with torch.no_grad():
    for name, tensors, expected in torch.load(cases, weights_only=True):
        difference = float((run(tensors).double() - expected.double()).abs().max())
        times = []
        for _ in range(int(repeats)):
            start = time.perf_counter()
            run(tensors)
            times.append(time.perf_counter() - start)
        rows[name] = {{"max_difference": difference, "ms": 1000 * sorted(times)[len(times) // 2]}}
if independent == "True" and "fusionnas" in sys.modules:
    sys.exit("it needed fusionnas")
print(json.dumps(rows))
"""


def check(form: type[Form], path: Path, found: Sequence[Case]) -> dict[str, dict[str, float]]:
    """Per case, the largest absolute difference to the network in memory, and median milliseconds of both.

    Raises:
        ExportError: the form does not run there; says what it said.
    """
    program = _PROGRAM.format(load=textwrap.dedent(inspect.getsource(form.load)).removeprefix("@staticmethod\n"))
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.pt"
        torch.save([(case.name, case.tensors, case.expected) for case in found], cases)
        settings = [str(torch.get_num_threads()), str(REPEATS), str(form.independent)]
        command = [sys.executable, "-c", program, str(path.resolve()), str(cases), *settings]
        # Somewhere else, so that nothing lies there to be imported by chance.
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder if form.independent else None)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise ExportError(f"{path.name} does not run in a fresh process: {told}")
    rows: dict[str, dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return {case.name: {**rows[case.name], "eager_ms": case.eager_ms} for case in found}


def check_here(form: type[Form], path: Path, found: Sequence[Case]) -> dict[str, dict[str, float]]:
    """The same in this process: quick, for forms written at the end of every run."""
    run, rows = form.load(str(path)), {}
    with torch.no_grad():
        for case in found:
            difference = float((run(case.tensors).double() - case.expected.double()).abs().max())
            spent = median_ms(partial(run, case.tensors))
            rows[case.name] = {"max_difference": difference, "ms": spent, "eager_ms": case.eager_ms}
    return rows
