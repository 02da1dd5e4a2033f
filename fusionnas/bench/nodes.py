"""A Ray cluster in a process of its own, whose second node is killed when asked to."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

TOKEN = "RAY_AUTH_TOKEN"


class Nodes:
    """Two nodes of one CPU each; ``close`` it.

    Attributes:
        address: of the cluster.
        environment: what a process needs to join it.
    """

    def __init__(self) -> None:
        self.environment = {TOKEN: secrets.token_hex(32), "RAY_AUTH_MODE": "token"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fusionnas.distributed.nodes"], env={**kept, **self.environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.address = self._line()

    def kill(self, after: float) -> bool:
        """End the second node with kill -9 so many seconds after a worker came; whether the worker still was there."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{after}\n")
        self._process.stdin.flush()
        return self._line() == "used"

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the Ray cluster of the benchmark has ended")
        return line

    def close(self) -> None:
        """End the cluster."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
