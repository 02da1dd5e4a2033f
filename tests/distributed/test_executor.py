"""Workers on a Ray cluster of several nodes: one is lost, one does not see the run's folder."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# A program of its own: Ray's cluster for tests leaves warnings behind that would be errors here.
LOST = """
import os, sys, tempfile, time
from pathlib import Path
from fusionnas.distributed.connection import _SETTINGS, connect
os.environ.update(_SETTINGS)
import ray
from ray.cluster_utils import Cluster
from fusionnas.distributed.executor import RayExecutor
from fusionnas.execution import Call, completed
from tests.execution import tasks

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
executor = RayExecutor(connect(cluster.address), workers=None)
print("workers", executor.workers, flush=True)
folder = Path(sys.argv[1])
print("reaches", executor.reaches(folder), [path.name for path in folder.iterdir()], flush=True)
calls = [Call(str(n), tasks.square_slowly, (n, 0.3)) for n in range(24)]
found = {}
for ended in completed(executor, calls):
    assert ended.failure is None, ended.failure
    found[ended.call.name] = ended.value
    if len(found) == 6:
        cluster.remove_node(second, allow_graceful=False)
        print("reaches", executor.reaches(folder), flush=True)
print("values", found == {str(n): n * n for n in range(24)}, len(found), flush=True)
executor.close()
cluster.shutdown()
"""


def test_a_lost_node_loses_no_task(tmp_path):
    done = subprocess.run([sys.executable, "-c", LOST, str(tmp_path)], capture_output=True, text=True, check=False)
    told = ["workers 2", "reaches True []", "reaches True", "values True 24"]
    assert done.stdout.splitlines() == told, done.stderr[-3000:]
