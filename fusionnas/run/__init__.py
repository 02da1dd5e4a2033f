"""Run folders: journal, units of work, checkpoints, resume, progress."""

from fusionnas.run.folder import read_file
from fusionnas.run.progress import Progress
from fusionnas.run.run import Run
from fusionnas.run.unit import Checkpoint, Result

__all__ = ["Checkpoint", "Progress", "Result", "Run", "read_file"]
