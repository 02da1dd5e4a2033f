"""The search space: one YAML file that says everything that may be chosen."""

from fusionnas.space.bundled import bundled_spaces
from fusionnas.space.json_schema import json_schema
from fusionnas.space.space import SearchSpace

__all__ = ["SearchSpace", "bundled_spaces", "json_schema"]
