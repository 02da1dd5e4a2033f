"""What came of a study's trials: kept in its journal, which is the truth; told, and mirrored, as they end."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

from fusionnas.errors import RunError
from fusionnas.execution import Call, Ended
from fusionnas.run import Result, Run
from fusionnas.run.progress import Progress, QuietProgress
from fusionnas.studies.mirror import Mirror
from fusionnas.studies.ranges import Values
from fusionnas.studies.rungs import shares_of
from fusionnas.studies.trial import found_file, run_trial, rung_folder, trial_folder


class Record:
    """The trials of one study.

    Args:
        run: the study's own.

    Attributes:
        facts: how the study was asked for.
        shares: its rungs.
        mirror: where trials go besides; none.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.facts: dict[str, Any] = run.settings["study"]
        self.shares: tuple[Fraction, ...] = shares_of(self.facts.get("scheduler", "none"))
        self.mirror: Mirror | None = None
        self._progress: Progress = QuietProgress(stages=False)

    def begin(self, reaches: bool, progress: Progress) -> None:
        """Trials begin, and are told to ``progress`` as they end.

        Raises:
            RunError: not every node ``reaches`` the study's folder.
        """
        if not reaches:
            raise RunError(
                f"--run-dir: not every node of the cluster sees {self.run.path}",
                ["the trials of a study write their own run folders there: put it on storage that all nodes share"],
            )
        self._progress = progress
        progress.stage("trials", self._expected)

    @property
    def _expected(self) -> int:
        """Searches, long and short ones, that it takes about."""
        trials = self.facts["trials"]
        return sum(trials if self.population else math.ceil(trials * self.shares[0] / share) for share in self.shares)

    @property
    def population(self) -> bool:
        """Whether trials take values over from others, so that one that fails may go on."""
        return self.facts.get("scheduler") == "pbt"

    def call(self, number: int, rung: int, values: Values, parent: int | None = None) -> Call:
        """The task of a trial on a rung; with a ``parent``, what that found on the rung before competes."""
        study = self.run.path.absolute()
        settings = {key: value for key, value in self.run.settings.items() if key != "study"}
        inherited = None if parent is None else found_file(self.folder(study, parent, rung - 1))
        arguments = (study, self.folder(study, number, rung), values, settings, self.shares[rung], inherited)
        return Call(self.unit(number, rung), run_trial, arguments)

    def folder(self, study: Path, number: int, rung: int) -> Path:
        """The run folder of a trial on a rung."""
        return trial_folder(study, number) if self._whole(rung) else rung_folder(study, number, rung)

    def unit(self, number: int, rung: int) -> str:
        """Its name in the journal."""
        return f"trial/{number:04d}" if self._whole(rung) else f"rung/{rung}/{number:04d}"

    def keep(self, number: int, rung: int, values: Values, ended: Ended) -> None:
        """What a rung gave; a trial that was asked to stop gave nothing."""
        if (failure := ended.failure) is not None and failure.kind == "stopped":
            return
        found = ended.value if failure is None else {"failed": failure.text, "traceback": failure.traceback}
        facts: dict[str, Any] = {"values": dict(values), **found}
        self.run.keep(self.unit(number, rung), Result(facts))
        share = {} if self._whole(rung) else {"share": str(self.shares[rung])}
        self._progress.advance({"trial": number, **share, "loss": facts.get("loss", "failed")})
        if self.mirror is not None and (self._whole(rung) or (failure is not None and not self.population)):
            self.mirror.write(number, values, facts)

    def known(self, number: int, rung: int) -> dict[str, Any] | None:
        """What the journal has of a trial on a rung."""
        name = self.unit(number, rung)
        return self.run.units()[name] if self.run.known(name) else None

    def begun(self, number: int, values: Values) -> None:
        """A trial that is no function of those before begins: its values are journaled."""
        self.run.record("proposed", trial=number, values=dict(values))

    def left(self, number: int) -> None:
        """A trial does not get more of a search."""
        if not self.was_left(number):
            self.run.record("left", trial=number)

    def was_left(self, number: int) -> bool:
        """Whether an earlier decision was not to go on with a trial."""
        return any(facts["trial"] == number for facts in self.run.recorded("left"))

    def tried(self) -> dict[int, Values]:
        """The values of all trials that the journal has anything of."""
        found = {facts["trial"]: facts["values"] for facts in self.run.recorded("proposed")}
        return {**{row["number"]: row["values"] for row in self.rows()}, **found}

    def rows(self) -> list[dict[str, Any]]:
        """The trials of the journal, in order: what the last rung gave, or why one failed; losses of all rungs."""
        units, found = self.run.units(), []
        for number in range(self.facts["trials"]):
            rungs = [units.get(self.unit(number, rung)) for rung in range(len(self.shares))]
            if known := [facts for facts in rungs if facts is not None]:
                row: dict[str, Any] = {"number": number, **known[-1]}
                if len(self.shares) > 1:
                    row["rungs"] = [facts.get("loss") for facts in known]
                if rungs[-1] is None and "failed" not in row:
                    share = str(self.shares[len(known) - 1])
                    row = {"number": number, "values": row["values"], "share": share, "rungs": row["rungs"]}
                found.append(row)
        return found

    def mirror_all(self) -> None:
        """What the mirror has not heard of: trials of earlier sessions, and those that stopped early."""
        if self.mirror is not None:
            for row in self.rows():
                self.mirror.write(row["number"], row["values"], row)

    def _whole(self, rung: int) -> bool:
        return rung == len(self.shares) - 1
