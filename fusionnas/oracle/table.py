"""An oracle table: what every architecture of a space scored after every epoch, from several seeds.

    table = load("quadrants")
    table.query(architecture, seed=0, epoch=5).select_accuracy
    table.regret(architecture)                                  # points of test accuracy below the best of all
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionnas.architecture import Architecture
from fusionnas.errors import InputError, did_you_mean
from fusionnas.oracle.problems import problem, problems
from fusionnas.run.files import write_atomic

_PACKAGE = Path(__file__).parent.parent
FOLDERS = (Path("results") / "oracle", _PACKAGE.parent / "results" / "oracle", _PACKAGE / "oracle_tables")
"""Where tables lie: built here, in the repository, in an installation."""


@dataclass(frozen=True)
class Scores:
    """One training after one epoch; accuracies as shares."""

    select_loss: float
    select_accuracy: float
    test_accuracy: float


@dataclass(frozen=True)
class Table:
    """All trainings of one problem; A architectures, S seeds, E epochs.

    Attributes:
        name: of the problem.
        architectures: all of the problem's space, in the order of ``space.enumerate()``.
        select_loss: (A, S, E) mean negative log-likelihood on select.
        select_right, test_right: (A, S, E) numbers of samples that are right.
        sizes: samples of select and of test.
    """

    name: str
    architectures: tuple[Architecture, ...]
    select_loss: NDArray[np.float16]
    select_right: NDArray[np.int32]
    test_right: NDArray[np.int32]
    sizes: tuple[int, int]

    @property
    def seeds(self) -> int:
        """Trainings per architecture."""
        return int(self.select_loss.shape[1])

    @property
    def epochs(self) -> int:
        """Epochs of each training."""
        return int(self.select_loss.shape[2])

    @cached_property
    def _place(self) -> dict[Architecture, int]:
        return {architecture: place for place, architecture in enumerate(self.architectures)}

    def __contains__(self, architecture: object) -> bool:
        return architecture in self._place

    def place(self, architecture: Architecture) -> int:
        """Row of an architecture.

        Raises:
            InputError: it is not in the table's space.
        """
        if architecture not in self._place:
            raise InputError(f"{architecture} is not in the oracle table '{self.name}'")
        return self._place[architecture]

    def query(self, architecture: Architecture, *, seed: int = 0, epoch: int | None = None) -> Scores:
        """What a training of ``architecture`` gave.

        Args:
            architecture: of the table's space.
            seed: 0 to seeds - 1.
            epoch: 1 to epochs; default: the last.

        Raises:
            InputError: there is no such training.
        """
        epoch = self.epochs if epoch is None else epoch
        problems = [f"seed: given {seed}, the table has 0 to {self.seeds - 1}"] * (not 0 <= seed < self.seeds)
        problems += [f"epoch: given {epoch}, the table has 1 to {self.epochs}"] * (not 1 <= epoch <= self.epochs)
        if problems:
            raise InputError(f"no such training in the oracle table '{self.name}'", problems)
        at = self.place(architecture), seed, epoch - 1
        return Scores(
            float(self.select_loss[at]),
            float(self.select_right[at]) / self.sizes[0],
            float(self.test_right[at]) / self.sizes[1],
        )

    @cached_property
    def test_accuracy(self) -> NDArray[np.float64]:
        """(A,) accuracy on test after the last epoch, mean over seeds."""
        return np.asarray(self.test_right[:, :, -1].mean(1) / self.sizes[1])

    @cached_property
    def best(self) -> Architecture:
        """The architecture with the highest mean test accuracy."""
        return self.architectures[int(self.test_accuracy.argmax())]

    def regret(self, architecture: Architecture) -> float:
        """Points of mean test accuracy that ``architecture`` is below the best of all."""
        return 100 * float(self.test_accuracy.max() - self.test_accuracy[self.place(architecture)])

    def exhaustive_regret(self, *, fresh: bool = False) -> list[float]:
        """Per seed, the regret of the best select loss of all: what training each once gives.

        Args:
            fresh: measure what was chosen on the trainings of the other seeds, whose luck took no part in the choice.
        """
        chosen = self.select_loss[:, :, -1].astype(np.float32).argmin(0)
        if not fresh:
            return [self.regret(self.architectures[int(place)]) for place in chosen]
        others = [np.delete(self.test_right[place, :, -1], seed).mean() for seed, place in enumerate(chosen)]
        return [100 * float(self.test_accuracy.max() - right / self.sizes[1]) for right in others]

    def save(self, path: Path) -> None:
        """Write the table, compressed."""
        buffer = io.BytesIO()
        ids = np.array([int(a.id, 16) for a in self.architectures], dtype=np.uint32)
        np.savez_compressed(
            buffer, ids=ids, select_loss=self.select_loss, select_right=self.select_right.astype(np.uint16),
            test_right=self.test_right.astype(np.uint16), sizes=np.array(self.sizes),
        )  # fmt: skip
        write_atomic(path, buffer.getvalue())


def load(name: str, folder: Path | None = None) -> Table:
    """Read a table.

    Args:
        name: quadrants, views or product.
        folder: where ``NAME.npz`` lies; default: with the package.

    Raises:
        InputError: there is no such table, or it belongs to another version of its space.
    """
    if name not in problems:
        raise InputError(f"there is no oracle table '{name}'.{did_you_mean(name, problems)}")
    folders = FOLDERS if folder is None else (folder,)
    file = next((f for each in folders if (f := each / f"{name}.npz").is_file()), None)
    if file is None:
        where = " or ".join(map(str, folders))
        raise InputError(f"the oracle table '{name}' is not in {where}; build it: fusionnas bench oracle build {name}")
    architectures = tuple(problem(name)[0].space.enumerate())
    with np.load(file, allow_pickle=False) as stored:
        if [f"{number:08x}" for number in stored["ids"]] != [a.id for a in architectures]:
            raise InputError(f"{file} is the table of another version of the space '{name}'; build it anew")
        sizes = (int(stored["sizes"][0]), int(stored["sizes"][1]))
        # Small on disk; in memory wide enough that 100 times a count is what it should be.
        select_right, test_right = (stored[key].astype(np.int32) for key in ("select_right", "test_right"))
        return Table(name, architectures, stored["select_loss"], select_right, test_right, sizes)
