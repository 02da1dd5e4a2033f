"""What an architecture costs: milliseconds as measured here, multiply-adds, parameters."""

from fusionnas.cost.costs import Costs, PartCost
from fusionnas.cost.expected import expected_cost
from fusionnas.cost.measure import measure_costs

__all__ = ["Costs", "PartCost", "expected_cost", "measure_costs"]
