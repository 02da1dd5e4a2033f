"""Joining a Ray cluster, or starting one on this machine, with manners.

Ray by itself attaches to any cluster that happens to run here, waits for ever for one that does not answer, sends usage
statistics, writes into the home folder and leaves files behind. Here: a cluster is joined only by ``auto`` or its
address, an address that does not answer is told within 20 s, and what was started is ended and cleaned up.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionnas.errors import FusionNASError, InputError, MissingExtraError
from fusionnas.execution.scratch import scratch_folder

PATIENCE = 20.0
"""Seconds after which a cluster that does not answer is given up."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the start and end of ranks wait for it several times
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # lost nodes are our business; Ray prints whole state dumps on stdout
    # Ray Tune: no progress tables, no log files per trial, signals are ours, results of failed trials have no loss, and
    # files are found from where the search was started.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_PROBE = """
import logging, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
print("joined", flush=True)
"""


@dataclass
class Connection:
    """A joined or started cluster; ``close`` it.

    Attributes:
        seconds: how long joining or starting took.
        owned: whether ``close`` disconnects; False where this process was connected before.
        folder: Ray's files, where it was started here; deleted by ``close``.
    """

    seconds: float
    owned: bool
    folder: Path | None = None

    def close(self) -> None:
        """Disconnect, end what was started, delete its files; more than once is fine."""
        import ray

        if self.owned:
            self.owned = False
            started = _started()
            ray.shutdown()
            for process in started:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def connect(address: str, *, workers: int | None = None) -> Connection:
    """Join or start a cluster.

    Args:
        address: ``local`` starts one on this machine, for this process; ``auto`` joins the one that runs on this
            machine (or that ``RAY_ADDRESS`` names); ``HOST:PORT`` joins that one.
        workers: CPUs of a cluster that is started here; None: one per core.

    Raises:
        InputError: no such form of address, or nothing answers there.
        MissingExtraError: Ray is not installed.
    """
    if address not in ("local", "auto") and not re.fullmatch(r"[^\s:/]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", address):
        raise InputError(f"--ray: given '{address}', expected 'local', 'auto' or HOST:PORT such as 10.0.0.1:6379")
    set_environment(address)
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("--ray needs the package ray", ["pip install 'ray[tune]'"]) from error
    begun = time.monotonic()
    if ray.is_initialized():
        if address == "local":
            raise InputError("--ray: this process is connected to a Ray cluster already; give 'auto' to use it")
        return Connection(0.0, owned=False)
    folder = None
    with _own_signals():
        if address == "local":
            folder = _start(workers)
        else:
            _join(address)
    return Connection(time.monotonic() - begun, owned=True, folder=folder)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends this process at once; a search has its own way to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def set_environment(address: str) -> None:
    """Read by Ray when it is imported, and by the processes that it starts."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" in os.environ or "ray" in sys.modules:
        return
    if address == "local":
        # A token of its own: Ray would else write one into the home folder, where clusters started later find it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ["RAY_AUTH_MODE"] = "token"
    elif _has_token():
        # By itself Ray uses a token only for clusters that it finds, not for an address that it is given.
        os.environ["RAY_AUTH_MODE"] = "token"


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    places = [Path(named)] if named else [Path.home() / ".ray" / "auth_token"]
    return "RAY_AUTH_TOKEN" in os.environ or any(place.is_file() for place in places)


def _start(workers: int | None) -> Path:
    import ray

    folder = scratch_folder(_place())
    try:
        ray.init(
            address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR, _temp_dir=str(folder),
        )  # fmt: skip
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise FusionNASError(f"Ray does not start on this machine: {error}") from error
    return folder


def _place() -> Path:
    """Where Ray's files go: it puts sockets there, whose paths may have 107 characters, 65 of them below the folder."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) + len("/fusionnas-1234567-12345678") <= 107 - 65 else Path("/tmp")


def _join(address: str) -> None:
    import ray

    if address != "auto":
        _reach(address)
    _probe(address)
    package = Path(__file__).parents[1]
    ray.init(
        address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="fusionnas",
        runtime_env={"py_modules": [str(package)], "env_vars": {"OMP_NUM_THREADS": "1"}},
    )  # fmt: skip


def _started() -> list[subprocess.Popen[bytes]]:
    """The processes of a cluster that was started here; Ray tells them to end, but does not wait."""
    from ray._private import worker

    node: Any = getattr(worker, "_global_node", None)
    groups = getattr(node, "all_processes", {}).values()
    return [info.process for group in groups for info in group]


def _reach(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE / 4).close()
    except (OSError, OverflowError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise InputError(f"--ray: nothing answers at {address} ({why}); is the cluster running there?") from None


def _probe(address: str) -> None:
    """Join from a process that can be ended: an attempt that fails may wait for ever, and cannot be interrupted."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address], capture_output=True, text=True, check=False, timeout=PATIENCE * 0.7
        )
    except subprocess.TimeoutExpired as error:
        output: Any = error.stderr or b""
        raise InputError(_refusal(address, output.decode(errors="replace"))) from None
    if "joined" not in done.stdout:
        raise InputError(_refusal(address, done.stderr))


def _refusal(address: str, output: str) -> str:
    where = "a running cluster" if address == "auto" else f"the cluster at {address}"
    if "InvalidAuthToken" in output or "Unauthenticated" in output or "AuthenticationError" in output:
        return (
            f"--ray: {where} asks for a token; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to that of the cluster "
            "(on its head node: ~/.ray/auth_token)"
        )
    if "Could not find any running Ray instance" in output:
        return "--ray: no Ray cluster runs on this machine; start one (ray start --head), or give 'local' or HOST:PORT"
    if "version" in output.lower() and "mismatch" in output.lower():
        return f"--ray: {where} runs another version of Ray or Python than this process: {_last(output)}"
    return f"--ray: {where} does not let this machine join within {PATIENCE:g} s: {_last(output) or 'no answer'}"


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
