"""Two Ray nodes on this machine, as on two machines; one is lost while the search goes on.

Starts ``ray start --head`` and ``ray start --address``, searches there, ends the second node with kill -9 after the
first networks were trained, and compares with the same search without Ray:

    python examples/cluster/two_nodes.py [FOLDER]
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import fusionnas as fn
from fusionnas.run.progress import QuietProgress

SMALL = [
    "modalities={vitals: {kind: timeseries, encoder: summary, levels: 1},"
    " labs: {kind: timeseries, encoder: summary, levels: 1}}",
    "fusion.inputs=[2, 3]", "fusion.operators=[additive, gated]", "fusion.nodes=1", "training.epochs=3",
    "search.epochs=2", "search.heads=8", "search.rungs=[1]", "search.seeds=1", "search.folds=2", "search.random=0",
]  # fmt: skip
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


class Node:
    """One ``ray start --block`` in a session of its own: that its processes end with it."""

    def __init__(self, *options: str) -> None:
        command = ["ray", "start", "--num-cpus=1", "--object-store-memory=200000000", "--block", *options]
        place = [Path(sys.executable).parent, Path(os.environ["PATH"])]
        environment = {**os.environ, **QUIET, "PATH": os.pathsep.join(map(str, place))}
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)

    def answers(self, port: int) -> None:
        """Wait until something listens at the port."""
        for _ in range(120):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.5)
        raise SystemExit("the head node does not answer after a minute")

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class LosesNode(QuietProgress):
    """Ends a node once two networks have been trained."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node, self.trained = node, 0

    def advance(self, facts: Mapping[str, Any]) -> None:
        self.trained += "trained" in facts
        if self.trained == 2 and self.node.process.poll() is None:
            print("the second node is lost", flush=True)
            self.node.kill()


def main(folder: Path) -> None:
    os.environ.update(QUIET)
    space = fn.SearchSpace.load("ehr", SMALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as stack:
        head = Node("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder / 'ray'}")
        stack.callback(head.kill)
        head.answers(port)
        second = Node(f"--address=127.0.0.1:{port}")
        stack.callback(second.kill)
        on_cluster = fn.search(space, run_dir=folder / "cluster", ray=f"127.0.0.1:{port}", progress=LosesNode(second))
    alone = fn.search(space, run_dir=folder / "alone")
    same = (on_cluster.path / "weights.safetensors").read_bytes() == (alone.path / "weights.safetensors").read_bytes()
    print(f"found {alone.architecture}; the same bits with a lost node: {same}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
