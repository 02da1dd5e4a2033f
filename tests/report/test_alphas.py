from __future__ import annotations

from fusionnas.report.alphas import alpha_charts


def search(*epochs: list[float], names: tuple[str, ...] = ("additive", "gated", "mlp")) -> dict:
    return {"alphas": [{"gamma.1": [weights], "alpha.0": [[0.5, 0.5], [0.5, 0.5]]} for weights in epochs],
            "choices": {"gamma.1": list(names), "alpha.0": ["a.0", "b.0"]}}  # fmt: skip


def test_what_moved_is_shown_the_winner_first() -> None:
    (chart,) = alpha_charts(search([0.4, 0.3, 0.3], [0.2, 0.2, 0.6]))
    assert chart.title == "Node 1, operator" and list(chart.y) == ["mlp", "additive", "gated"]
    assert chart.y["mlp"] == [0.3, 0.6] and chart.x == [1.0, 2.0]


def test_what_stood_still_is_not() -> None:
    assert alpha_charts(search([0.4, 0.3, 0.3], [0.4, 0.31, 0.29])) == []
    assert alpha_charts({"history": []}) == [] and alpha_charts(search([1.0, 0.0, 0.0])) == []


def test_many_choices_are_summed_up() -> None:
    names = tuple(f"op{k}" for k in range(9))
    even, last = [1 / 9] * 9, [0.6, *([0.05] * 8)]
    (chart,) = alpha_charts(search(even, last, names=names))
    assert list(chart.y) == ["op0", "op1", "op2", "op3", "op4", "op5", "all others"]
    assert abs(chart.y["all others"][1] - 0.15) < 1e-9
