"""What a form is: one way in which a network leaves the house, written, loaded and run without the others."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fusionnas.network import FusionNetwork
from fusionnas.registry import Registry

Run = Callable[[Sequence[Tensor]], Tensor]
"""Values, mask and presence of every modality, one after the other -> logits (B, C)."""


@dataclass(frozen=True)
class FormFacts:
    """What ``fusionnas list forms`` says: one line, what it takes to run it."""

    summary: str
    needs: str


class Form(abc.ABC):
    """Abstract; one class per form in ``fusionnas/export/forms``.

    Class attributes:
        facts: what it is.
        file: the file that it writes, beside the native ones.
        usual: whether "all" stands for it too.
        independent: whether it runs without fusionnas.
        routed: whether gates skip computation in it; else everything is computed and then selected.
    """

    facts: ClassVar[FormFacts]
    file: ClassVar[str]
    usual: ClassVar[bool] = True
    independent: ClassVar[bool] = True
    routed: ClassVar[bool] = False

    @staticmethod
    @abc.abstractmethod
    def write(folder: Path, network: FusionNetwork) -> dict[str, Any]:
        """Write the file; facts for ``export.json``, such as ``lengths``: modalities whose length may vary.

        Raises:
            MissingExtraError: a package is not installed. ExportError: the network has no such form.
        """

    @staticmethod
    @abc.abstractmethod
    def load(path: str) -> Run:
        """Load the file, ready to run. Its source runs alone: all that it needs is imported inside."""


forms: Registry[type[Form]] = Registry("export format", "fusionnas.export.forms")


def register_form(name: str) -> Callable[[type[Form]], type[Form]]:
    """Class decorator: make a form known as ``name`` for ``--format``."""
    return forms.register(name)
