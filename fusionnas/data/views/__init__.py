"""Views: the forms in which a raw input can reach an encoder, one file each."""

from __future__ import annotations

from fusionnas.data.views.base import View
from fusionnas.data.views.bins import Bins
from fusionnas.data.views.plain import Plain
from fusionnas.data.views.summary import Summary

VIEWS: dict[str, type[View]] = {view.name: view for view in (Plain, Bins, Summary)}
"""View by name."""

__all__ = ["VIEWS", "View"]
