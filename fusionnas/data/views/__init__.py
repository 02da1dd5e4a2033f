"""Views: the forms in which a raw input can reach an encoder, one file each."""

from __future__ import annotations

from fusionnas.data.views.base import View
from fusionnas.data.views.bins import Bins
from fusionnas.data.views.grids import Frames, Patches
from fusionnas.data.views.observations import ObservationTokens
from fusionnas.data.views.plain import Plain
from fusionnas.data.views.spectrum import Spectrum
from fusionnas.data.views.summary import Summary
from fusionnas.data.views.tokens import TokenIds

VIEWS: dict[str, type[View]] = {
    view.name: view for view in (Plain, Bins, ObservationTokens, Summary, Spectrum, TokenIds, Patches, Frames)
}
"""View by name."""

KINDS: dict[str, tuple[str, ...]] = {
    "tabular": ("plain",),
    "vector": ("plain",),
    "timeseries": ("bins", "observations", "summary", "spectrum"),
    "codes": ("tokens",),
    "text": ("tokens",),
    "image": ("patches",),
    "audio": ("frames",),
}
"""Views that a modality of each kind can have."""

__all__ = ["KINDS", "VIEWS", "View"]
