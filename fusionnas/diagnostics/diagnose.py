"""Running diagnostics of a run and keeping what they found beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionnas.diagnostics.base import diagnostics
from fusionnas.diagnostics.findings import FOLDER, as_content, write_findings
from fusionnas.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fusionnas.run.progress import Progress
    from fusionnas.space import SearchSpace


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


def diagnose_data(
    what: str | Path, *, space: str | Path | SearchSpace | None = None, data_path: Path | None = None, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Ask data, before any search: where on the chart from homogeneous to heterogeneous modalities to start.

    Args:
        what: registered data set, space with its own data, or a file or folder in a documented layout.
        space: says which modalities of a data set are read; default: the bundled space of that data set, else ehr.
        data_path: folder from which a registered data set reads.
        seed: of the split, models and resamples.

    Returns:
        ``{"chooser": ...}`` in the form of a diagnostic's JSON file.

    Raises:
        InputError: there is no such data set or space. DataError: the data cannot be read or do not fit the space.
    """
    from fusionnas.data.load import load_dataset
    from fusionnas.diagnostics.chooser import QUESTION, choose_start

    chosen, data = _space_and_data(what, space)
    dataset = load_dataset(chosen, data=data, data_path=data_path, seed=seed)
    findings = choose_start(chosen, dataset, seed=seed)
    about = {"split": "select", "samples": len(dataset.search.select), "metric": chosen.file.task.metric}
    return {"chooser": as_content("chooser", QUESTION, findings, about)}


def _space_and_data(
    what: str | Path, space: str | Path | SearchSpace | None
) -> tuple[SearchSpace, str | Path | None]:
    """What is read, and from where; None: from where the space says."""
    from fusionnas.data.base import datasets
    from fusionnas.space import SearchSpace, bundled_spaces

    spaces = {name.removesuffix(".yaml"): path for name, path in bundled_spaces().items()}
    named = str(what).removesuffix(".yaml")
    loaded = space if space is None or isinstance(space, SearchSpace) else SearchSpace.load(space)
    if str(what) in datasets:
        own = [path for path in spaces.values() if SearchSpace.load(path).file.data == str(what)]
        return loaded or SearchSpace.load(own[0] if own else "ehr"), str(what)
    if loaded is not None and Path(what).exists():
        return loaded, Path(what)
    if named in spaces or (Path(what).is_file() and Path(what).suffix in (".yaml", ".yml")):
        return SearchSpace.load(what), None
    if Path(what).exists():
        raise InputError(f"{what}: a file or folder needs --space, which says which modalities are read from it")
    known = [*datasets, *spaces]
    raise InputError(f"'{what}' is neither a run, nor a data set, nor a space.{did_you_mean(str(what), known)}")
