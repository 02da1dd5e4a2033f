"""fusionnas: find where, when and how the modalities of a network should be fused.

The public names are loaded on first use, so that ``import fusionnas`` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fusionnas.version import __version__

if TYPE_CHECKING:
    from fusionnas.api import SearchRun, evaluate, export, predict, resume, search
    from fusionnas.architecture import Architecture
    from fusionnas.estimator import FusionClassifier
    from fusionnas.network import FusionNetwork, build
    from fusionnas.space import SearchSpace
    from fusionnas.studies import StudyRun, resume_study, study
    from fusionnas.transfer import adapt

_HOMES = {
    "Architecture": "fusionnas.architecture",
    "FusionClassifier": "fusionnas.estimator",
    "FusionNetwork": "fusionnas.network",
    "SearchRun": "fusionnas.api",
    "SearchSpace": "fusionnas.space",
    "StudyRun": "fusionnas.studies",
    "adapt": "fusionnas.transfer",
    "build": "fusionnas.network",
    "evaluate": "fusionnas.api",
    "export": "fusionnas.api",
    "predict": "fusionnas.api",
    "resume": "fusionnas.api",
    "resume_study": "fusionnas.studies",
    "search": "fusionnas.api",
    "study": "fusionnas.studies",
}

__all__ = [
    "Architecture",
    "FusionClassifier",
    "FusionNetwork",
    "SearchRun",
    "SearchSpace",
    "StudyRun",
    "__version__",
    "adapt",
    "build",
    "evaluate",
    "export",
    "predict",
    "resume",
    "resume_study",
    "search",
    "study",
]


class _Package(ModuleType):
    """The functions ``search`` and ``export`` share their names with packages inside; the functions win here.

    On import of ``fusionnas.search`` Python sets the attribute ``search`` of this module; without this class
    ``fusionnas.search(space)`` would work or not depending on what was imported before.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fusionnas' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
