"""A fusion operator of your own: write it to a file, list the file under plugins, check it, build a network with it.

    python examples/04_plug_in_operator.py [FOLDER]
"""

import random
import sys
import tempfile
from pathlib import Path

import fusionnas as fn
from fusionnas.registry import load_plugin
from fusionnas.testing import check_operator

OPERATOR = '''
from fusionnas.layers import Linear
from fusionnas.operators import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.base import vector_result, vector_slots


@register_operator("tanh_sum")
class TanhSum(FusionOperator):
    """z = tanh(sum_j W_j x_j + b)."""

    facts = OperatorFacts(formula="z = tanh(sum_j W_j x_j + b)", source="this example, 2026", departs="not at all",
                          parameters="k·D·D + D", macs="k·D·D", rank=8)

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.joint = Linear(inputs * width, width, gain=1.5)

    def forward(self, features):
        values, present = vector_slots(features)
        return vector_result(self.joint(values.flatten(-2)).tanh(), present.any(-1))

    @classmethod
    def count_parameters(cls, inputs, width):
        return (inputs * width + 1) * width

    @classmethod
    def count_macs(cls, inputs, width, tokens):
        return inputs * width * width
'''


def main(folder: str | None = None) -> None:
    path = Path(folder or tempfile.mkdtemp()) / "my_operators.py"
    path.write_text(OPERATOR)
    load_plugin(path)  # a space that lists the file does this by itself
    check_operator("tanh_sum")  # raises ConformanceError with one line per broken rule
    space = fn.SearchSpace.load("views.yaml", overrides=[f"plugins=[{path}]", "fusion.operators=[additive, tanh_sum]"])
    print(space.summary)
    print("one of its architectures:", space.sample(random.Random(0), nodes=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
