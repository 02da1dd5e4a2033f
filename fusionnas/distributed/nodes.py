"""A Ray cluster of two nodes, the second of which can be killed: ``python -m fusionnas.distributed.nodes``.

For benchmarks of lost nodes. Prints the cluster's address. A number of seconds on stdin: so long after a worker has
come to the second node, that is ended with kill -9, and another takes its place; prints whether the worker still was
there. Ends with its input.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fusionnas.distributed.connection import set_environment

_PATIENCE = 20.0  # seconds in which a worker comes, or none does


def main() -> None:
    """Serve until stdin closes."""
    set_environment("local")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="nodes-", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_TMPDIR"] = folder  # else whoever asks for the cluster of this machine would find this one
        (Path(folder) / "ray").mkdir()
        import ray
        from ray.cluster_utils import Cluster

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            second = cluster.add_node(num_cpus=1)
            print(cluster.address, flush=True)
            for line in sys.stdin:
                raylet = second.all_processes["raylet"][0].process.pid
                end = time.monotonic() + _PATIENCE
                while not _has_worker(raylet) and time.monotonic() < end:
                    time.sleep(0.02)
                time.sleep(float(line))
                used = _has_worker(raylet)
                os.kill(raylet, signal.SIGKILL)
                cluster.remove_node(second, allow_graceful=False)
                second = cluster.add_node(num_cpus=1)
                print("used" if used else "idle", flush=True)
        finally:
            cluster.shutdown()
            ray.shutdown()


def _has_worker(raylet: int) -> bool:
    """Whether one of the raylet's processes is an actor of ours."""
    with suppress(OSError):
        children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
        return any(Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::Worker") for child in children)
    return False


if __name__ == "__main__":
    main()
