from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionnas.api import SearchRun
from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.cli.closing import close
from fusionnas.space import SearchSpace


@pytest.fixture
def run():
    node = Node((Point("vitals", 1), Point("labs", 0)), "gated")
    architecture = Architecture((("vitals", ("gru",)), ("labs", ())), (node,), NodeRef(0))
    results = {
        "metric": "roc_auc",
        "test": {"accuracy": 0.8, "roc_auc": 0.91},
        "spread": {"accuracy": None, "roc_auc": 0.0123},
        "baselines": {
            "only labs": {"parameters": 1200, "test": {"accuracy": 0.7, "roc_auc": 0.7}, "spread": {"roc_auc": 0.01},
                          "difference": 0.21, "interval": [0.19, 0.23]},
            "fixed mlp": {"parameters": 3400, "test": {"accuracy": 0.9, "roc_auc": 0.93}, "spread": {},
                          "difference": -0.02, "interval": [-0.05, 0.01]},
        },
        "seeds": {"run": 0, "networks": 3},
        "cost": {"parameters": 2100},
        "verdict": "The found network reads vitals and labs.",
    }  # fmt: skip
    return SearchRun(Path("runs/toy-0001"), SearchSpace.load("ehr"), architecture, results)


def test_the_table_has_the_found_network_among_its_baselines_best_first(run, capsys):
    close(run, as_json=False)
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines() if line.strip()[:5] in ("found", "only ", "fixed")][1:]
    assert rows == [
        ["fixed", "mlp", "3,400", "0.9300", "0.9000", "-0.0200", "[-0.050,", "+0.010]"],
        ["found", "2,100", "0.9100", "±.0123", "0.8000"],
        ["only", "labs", "1,200", "0.7000", "±.0100", "0.7000", "+0.2100", "[+0.190,", "+0.230]"],
    ]
    assert "gated(vitals.1, labs.0)" in text
    assert "mean ± standard deviation of 3 seeds; difference in roc_auc with its 95 % interval" in text
    assert "The found network reads vitals and labs." in text
    assert "next     fusionnas show runs/toy-0001" in text


def test_a_loss_is_best_when_it_is_low(run, capsys):
    run.results["metric"] = "log_loss"
    for row, value in ((run.results, 0.4), *zip(run.results["baselines"].values(), (0.3, 0.5), strict=True)):
        row["test"]["log_loss"] = value
    close(run, as_json=False)
    text = capsys.readouterr().out
    assert text.index("only labs") < text.index("found  ", text.index("on test")) < text.index("fixed mlp")


def test_machines_get_json_alone(run, capsys):
    close(run, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["run"] == "runs/toy-0001"
    assert data["architecture"]["id"] == run.architecture.id
    assert data["results"]["spread"]["accuracy"] is None
