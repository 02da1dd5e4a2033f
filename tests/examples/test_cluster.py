"""The cluster examples: Ray accepts the file, and two real nodes find what one process finds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from fusionnas.cli.main import app

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


def cluster() -> dict[str, object]:
    return yaml.safe_load((FOLDER / "cluster.yaml").read_text())


def test_the_cluster_file_fits_itself() -> None:
    read = cluster()
    assert read["min_workers"] == read["max_workers"] == len(read["provider"]["worker_ips"])
    assert any("ray start --head --port=6379" in command for command in read["head_start_ray_commands"])
    assert any("ray start --address=$RAY_HEAD_IP:6379" in command for command in read["worker_start_ray_commands"])


def test_every_command_of_ours_is_one() -> None:
    known = get_command(app).commands
    for page in FOLDER.iterdir():
        if page.is_dir():
            continue
        for command, rest in re.findall(
            r"\bfusionnas (search|resume|status|watch|stop)\b([^\"\n`]*)", page.read_text()
        ):
            options = {option for parameter in known[command].params for option in parameter.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= options, (page.name, command, rest)


def test_ray_accepts_the_cluster_file() -> None:
    check = (
        "import sys, yaml; from ray.autoscaler._private.util import prepare_config, validate_config;"
        "validate_config(prepare_config(yaml.safe_load(open(sys.argv[1]))))"
    )
    subprocess.run([sys.executable, "-c", check, str(FOLDER / "cluster.yaml")], check=True)


@pytest.mark.slow
def test_two_nodes_of_which_one_is_lost_find_the_same() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    command = [sys.executable, str(FOLDER / "two_nodes.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the second node is lost" in done.stdout and "the same bits with a lost node: True" in done.stdout
