from __future__ import annotations

from pathlib import Path

from tests.test_transfer import trained  # noqa: F401  a fixture


def test_adapting_says_what_it_did(fusionnas, trained: Path, tmp_path: Path):  # noqa: F811
    result = fusionnas(
        "adapt", str(trained / "net"), "--data", str(trained / "new.npz"), "--output", str(tmp_path / "out"),
        "--part", "fusion", "--set", "training.epochs=2",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "before" in result.stdout and "after" in result.stdout and "weights of updates trained" in result.stdout
    assert (tmp_path / "out" / "weights.safetensors").is_file()
