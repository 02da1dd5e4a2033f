"""A search's supernet on two ranks, some of which die; a program of its own, as Ray leaves warnings behind.

    FOLDER EPOCHS [rank:R:EPOCH | always:R:EPOCH | driver:EPOCH] ...

Workers of the same cluster do tasks before it and after it. The state after the training goes to FOLDER/state.pt, its
checkpoints to FOLDER/saved.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from fusionnas.execution import Call, completed, make_executor
from fusionnas.run.progress import QuietProgress
from fusionnas.run.unit import Checkpoint
from tests.execution import tasks
from tests.search.ranks import fresh, state_of


def die(folder: Path, deaths: list[tuple[str, int, float]], share: float) -> None:
    """Leave a mark and end at a draw of this share, once or always."""
    for kind, rank, when in deaths:
        mark = folder / f"dead-{rank}"
        if share >= when and torch.distributed.get_rank() == rank and (kind == "always" or not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(QuietProgress):
    """Tells epochs; ends the driver after one of them."""

    def __init__(self, dies: int | None) -> None:
        super().__init__(stages=False)
        self.dies = dies

    def advance(self, facts: Mapping[str, Any]) -> None:
        print("epoch", facts["epoch"], flush=True)
        if facts["epoch"] == self.dies:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, epochs: int, *deaths: str) -> None:
    split = [death.split(":") for death in deaths]
    ranks = [(kind, int(rank), int(when) / epochs) for kind, rank, when in (s for s in split if s[0] != "driver")]
    driver = next((int(s[1]) for s in split if s[0] == "driver"), None)
    with closing(make_executor(2, ray="local")) as executor:
        calls = [Call(str(n), tasks.square_slowly, (n, 0.1)) for n in range(2)]
        assert {ended.value for ended in completed(executor, calls)} == {0, 1}
        assert executor.vacate()
        from fusionnas.distributed.ranks import Search, train_on_ranks

        training = fresh("sampled", [], functools.partial(die, folder, ranks))
        search = Search(training, lambda epoch: epoch / epochs, Checkpoint(folder / "saved", 0), Watched(driver))
        train_on_ranks(search, 2, plugins=())
        torch.save(state_of(training), folder / "state.pt")
        assert {ended.value for ended in completed(executor, calls)} == {0, 1}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
