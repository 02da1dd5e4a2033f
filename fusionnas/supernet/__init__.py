"""The supernet: all choices of a space, mixed by architecture parameters."""

from fusionnas.supernet.mixing import Alphas, Mixing, choices, discretize, one_hot
from fusionnas.supernet.supernet import Supernet

__all__ = ["Alphas", "Mixing", "Supernet", "choices", "discretize", "one_hot"]
