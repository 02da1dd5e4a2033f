"""Running diagnostics of a run and keeping what they found beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionnas.diagnostics.base import diagnostics
from fusionnas.diagnostics.findings import FOLDER, write_findings
from fusionnas.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fusionnas.run.progress import Progress


def diagnose(
    run_dir: Path,
    *,
    only: Sequence[str] = (),
    split: str = "select",
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Ask a finished run: which modality, which interaction, was fusion worth it, what if an input is missing.

    Args:
        run_dir: a finished run.
        only: names of diagnostics; default: all.
        split: the part that is scored. "select", which the networks looked at did not train on, or "test": then the
            run records that its test part was opened once more.
        workers: processes that train networks at the same time.
        progress: where to tell how far it is.

    Returns:
        per diagnostic the content of its JSON file.

    Raises:
        InputError: an unknown name or split. RunError, DataError: run or data cannot be used.
    """
    from fusionnas.diagnostics.subject import opened
    from fusionnas.run.progress import QuietProgress

    unknown = [name for name in only if name not in diagnostics]
    if unknown:
        raise InputError("unknown diagnostic", [f"'{name}':{did_you_mean(name, diagnostics)}" for name in unknown])
    shown = progress or QuietProgress(stages=False)
    found = {}
    with opened(run_dir, split=split, workers=workers, progress=shown) as subject:
        for name in dict.fromkeys(only or diagnostics):
            shown.stage(f"diagnose: {name}", 1)
            findings = diagnostics[name](subject)
            about = {"split": split, "samples": len(subject.part), "metric": subject.metric}
            found[name] = write_findings(run_dir / FOLDER, name, diagnostics[name].facts.question, findings, about)
    return found
