"""What is imported when: the heavy packages only when they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fusionnas

HEAVY = {"torch", "ray", "optuna", "sklearn", "matplotlib", "networkx", "numpy"}


def loaded_after(code: str, *arguments: str) -> set[str]:
    """Top-level packages in memory after ``code``, in a process of its own."""
    report = "import sys; sys.stderr.write('\\nLOADED ' + ' '.join({m.split('.')[0] for m in sys.modules}))"
    program = f"import atexit\natexit.register(lambda: exec({report!r}))\n{code}"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    return set(done.stderr.rsplit("LOADED ", 1)[1].split())


def test_this_test_can_fail():
    assert "torch" in loaded_after("import fusionnas.feature")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["search", "--help"], ["list", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    loaded = loaded_after("from fusionnas.cli.main import main; main()", *arguments)
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_import_loads_nothing_heavy():
    loaded = loaded_after("import fusionnas; fusionnas.__version__; dir(fusionnas)")
    assert "fusionnas" in loaded
    assert not loaded & HEAVY


def test_no_ray_or_optuna_for_a_search_space():
    loaded = loaded_after("import fusionnas; fusionnas.SearchSpace.load('ehr.yaml')")
    assert not loaded & {"ray", "optuna"}


def test_an_export_is_read_without_the_search():
    code = """
import sys, fusionnas.api, fusionnas.export.native, fusionnas.show
print([name for name in sys.modules if name.startswith(('fusionnas.search', 'fusionnas.supernet'))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", fusionnas.__all__)
def test_every_public_name_is_there(name):
    assert getattr(fusionnas, name) is not None
    assert name in dir(fusionnas)


def test_functions_win_over_packages_of_the_same_name():
    import fusionnas.export
    import fusionnas.search.method

    assert callable(fusionnas.search) and callable(fusionnas.export)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fusionnas' has no attribute 'serch'"):
        _ = fusionnas.serch
