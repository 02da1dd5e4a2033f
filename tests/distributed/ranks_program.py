"""A search's supernet on two ranks, some of which die; a program of its own, as Ray leaves warnings behind.

    FOLDER EPOCHS [rank:R:EPOCH | driver:EPOCH] ...

The state after the training goes to FOLDER/state.pt, its checkpoints to FOLDER/saved.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fusionnas.execution import make_executor
from fusionnas.run.progress import QuietProgress
from fusionnas.run.unit import Checkpoint
from tests.search.ranks import fresh, state_of


def die_once(folder: Path, deaths: list[tuple[int, float]], share: float) -> None:
    """In the middle of an epoch: in the second draw of a rank at this share, leave a mark and end."""
    for rank, when in deaths:
        mark = folder / f"dead-{rank}"
        if share >= when and torch.distributed.get_rank() == rank and not mark.exists():
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
    ranks = [(int(rank), int(epoch) / epochs) for kind, *(rank, epoch) in (s for s in split if s[0] == "rank")]
    driver = next((int(s[1]) for s in split if s[0] == "driver"), None)
    executor = make_executor(2, ray="local")
    from fusionnas.distributed.ranks import Search, train_on_ranks

    training = fresh("sampled", [], functools.partial(die_once, folder, ranks))
    search = Search(training, lambda epoch: epoch / epochs, Checkpoint(folder / "saved", 0), Watched(driver))
    train_on_ranks(search, 2, plugins=())
    torch.save(state_of(training), folder / "state.pt")
    executor.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
