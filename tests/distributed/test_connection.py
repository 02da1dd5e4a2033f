"""Joining a Ray cluster: what cannot be joined is told, soon; nothing is joined or left behind by accident."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fusionnas.distributed.connection import _SETTINGS, PATIENCE, connect
from fusionnas.errors import InputError
from tests.test_whole_way import write_toy

slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What ``connect`` sets for Ray ends with the test."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", *_SETTINGS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("address", ["", "locale", "ray://host:1", "host", "host:port", "a b:1"])
def test_other_forms_of_address_are_told(address):
    told = re.escape(f"--ray: given '{address}', expected 'local', 'auto' or HOST:PORT such as 10.0.0.1:6379")
    with pytest.raises(InputError, match=told):
        connect(address)


def test_where_nothing_listens_is_told_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(InputError, match=rf"nothing answers at 127.0.0.1:{port} \(connection refused\); is the"):
        connect(f"127.0.0.1:{port}")


def search(*options: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fusionnas.cli.main import main; main()", "search", "--space",
               str(write_toy(home)), "--run-dir", str(home / "run"), *options]  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment = {**kept, "HOME": str(home), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@slow
def test_a_listener_that_is_no_cluster_is_given_up_within_the_time_that_is_said(tmp_path):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        begun = time.monotonic()
        done = search("--ray", f"127.0.0.1:{deaf.getsockname()[1]}", home=tmp_path)
    assert done.returncode == 2
    assert f"does not let this machine join within {PATIENCE:g} s" in done.stderr and "Traceback" not in done.stderr
    assert time.monotonic() - begun < 3 * PATIENCE
    assert not (tmp_path / "run").exists()


def runs_here() -> bool:
    """Whether somebody's cluster runs on this machine."""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return any(command.split(b"\0")[0].endswith(b"/gcs_server") for command in commands)


@slow
def test_auto_without_a_cluster_is_told(tmp_path):
    if runs_here():
        pytest.skip("a Ray cluster of somebody else runs on this machine, and would be found")
    done = search("--ray", "auto", home=tmp_path, RAY_TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --ray: no Ray cluster runs on this machine; start one")


class Cluster:
    """``ray start --head`` in a session of its own, ended with all its processes."""

    def __init__(self, home: Path, token: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        home.mkdir()
        self.files = tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True)  # sockets need short paths
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self.environment = {**kept, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}
        if token:
            self.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}
        program = "from ray.scripts.scripts import main; main()"
        command = [sys.executable, "-c", program, "start", "--head", "--block", "--port", str(self.port), "--num-cpus",
                   "2", "--include-dashboard", "false", "--temp-dir", self.files.name]  # fmt: skip
        self.process = subprocess.Popen(command, env=self.environment, start_new_session=True, stdout=-1, stderr=-3)

    def __enter__(self) -> Cluster:
        for line in self.process.stdout:
            if b"Ray runtime started" in line or b"--block" in line:
                break
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.communicate()
        self.files.cleanup()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@slow
def test_a_cluster_with_a_token_is_joined_with_it_and_asks_for_it_without(tmp_path):
    with Cluster(tmp_path / "c", token=True) as cluster:
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        refused = search("--ray", cluster.address, home=stranger)
        assert refused.returncode == 2
        told = rf"error: --ray: the cluster at {cluster.address} asks for a token; set RAY_AUTH_TOKEN or"
        assert re.search(told, refused.stderr), refused.stderr
        joined = search("--ray", cluster.address, home=stranger, RAY_AUTH_TOKEN="5" * 64)
        assert joined.returncode == 0, joined.stderr
        assert "5" * 64 not in joined.stderr + joined.stdout


@slow
def test_local_starts_a_cluster_of_its_own_beside_another_one_and_leaves_nothing(tmp_path):
    home, scratch = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    scratch.mkdir()
    with Cluster(tmp_path / "c", token=False) as cluster:
        done = search("--ray", "local", "--workers", "2", home=home, TMPDIR=str(scratch), RAY_ADDRESS=cluster.address)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Ray is ready after \d+\.\d s$", done.stderr, re.M)
    assert not (home / ".ray").exists()
    assert list(scratch.glob("fusionnas-*")) == []


SIGNALS = """
import signal
from fusionnas.distributed.connection import connect
from fusionnas.stopping import install_signals
install_signals()
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
connection = connect("local", workers=1)
print(before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))
connection.close()
"""


@slow
def test_signals_stay_the_searchs():
    done = subprocess.run([sys.executable, "-c", SIGNALS], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "True\n"


def test_a_search_that_did_not_ask_for_ray_never_imports_it():
    code = (
        "import sys, fusionnas.api, fusionnas.search.pipeline, fusionnas.search.reopen\n"
        "from fusionnas.execution import make_executor\nmake_executor(2).close()\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('ray', 'optuna')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@slow
def test_a_search_on_ray_ends_with_the_bits_of_a_search_in_one_process(tmp_path):
    homes = [tmp_path / "alone", tmp_path / "ray"]
    for home, options in zip(homes, (("--workers", "1"), ("--ray", "local", "--workers", "2")), strict=True):
        home.mkdir()
        done = search(*options, home=home)
        assert done.returncode == 0, done.stderr
    for name in ("architecture.json", "weights.safetensors", "preprocessing.json"):
        assert (homes[0] / "run" / name).read_bytes() == (homes[1] / "run" / name).read_bytes()
