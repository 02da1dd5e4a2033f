"""``model.py``: a network written as Python that needs torch alone."""

from fusionnas.export.python.module import module_source

__all__ = ["module_source"]
