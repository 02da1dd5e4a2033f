"""What a run ran on: versions, commit, seed, threads, device, platform."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fusionnas.version import __version__

_DECISIVE = ("fusionnas", "torch", "numpy", "scikit-learn")
_PACKAGES = ("torch", "numpy", "scikit-learn", "safetensors", "pydantic", "optuna", "ray")


def describe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of ``environment.json``; seed and device come from ``settings`` where they are given."""
    return {
        "versions": {"fusionnas": __version__, "python": platform.python_version(), **_versions()},
        "commit": _commit(Path(__file__).parent),
        "seed": settings.get("seed"),
        "device": settings.get("device", "cpu"),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "platform": platform.platform(),
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What may change the last digits of numbers between two environments, one line each."""
    pairs = {key: (then.get(key), now.get(key)) for key in ("commit", "device", "gpus", "processor")}
    versions = then.get("versions", {}), now.get("versions", {})
    pairs |= {key: (versions[0].get(key), versions[1].get(key)) for key in _DECISIVE}
    return [f"{key}: {before} then, {after} now" for key, (before, after) in pairs.items() if before != after]


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit(folder: Path) -> str | None:
    """The commit of the source, ``+changes`` where files differ from it; None outside a git checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # An installed package inside somebody else's checkout is not of that commit.
        git("ls-files", "--error-unmatch", "environment.py")
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
