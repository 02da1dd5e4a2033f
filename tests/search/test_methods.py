"""Every registered search method obeys the protocol; a new one gets these tests by being registered."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fusionnas.data.base import Part, SearchData
from fusionnas.errors import SpaceError
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.method import Found, Problem, Task, methods
from fusionnas.search.references import competes
from fusionnas.space import SearchSpace

HEAD = "name: tiny\ntask: {{kind: {kind}, metric: accuracy}}\n"
SMALL = HEAD + """
modalities:
  a: {{kind: vector, encoder: mlp, levels: 1}}
  b: {{kind: timeseries, encoder: [gru, tcn], levels: 1, steps: 3}}
fusion: {{nodes: 2, width: 4, inputs: [2, 3], operators: [additive, multiplicative]}}
training: {{epochs: 2, batch_size: 24}}
search: {{epochs: 4, warmup: 0, heads: 8, rungs: [1, 1], eta: 4, rescore: 2, finalists: 2, alpha_rate: 0.05}}
"""
PLANTED = HEAD + """
modalities:
  a: {{kind: vector, encoder: mlp, levels: 0}}
  b: {{kind: vector, encoder: mlp, levels: 0}}
  c: {{kind: vector, encoder: mlp, levels: 0}}
fusion: {{nodes: 1, width: 4, operators: [additive, multiplicative]}}
training: {{epochs: 4, batch_size: 16, learning_rate: 0.03, dropout: 0.0}}
search: {{epochs: 10, heads: 16, rungs: [2, 2], rescore: 4, alpha_rate: 0.05}}
"""
NAMES = list(methods)


def features(size: int, width: int, tokens: int, rng: np.random.Generator) -> Feature:
    present = rng.random(size) > 0.1
    mask = (np.arange(tokens) < rng.integers(1, tokens + 1, (size, 1))) & present[:, None]
    values = rng.standard_normal((size, tokens, width)) * mask[..., None]
    return Feature(torch.tensor(values, dtype=torch.float32), torch.tensor(mask), torch.tensor(present))


def part(size: int, seed: int, *, inputs: Mapping[str, tuple[int, int]], classes: int) -> Part:
    """The first channels of a and b decide together, one half each."""
    rng = np.random.default_rng(seed)
    found = {name: features(size, width, tokens, rng) for name, (width, tokens) in inputs.items()}
    score = found["a"].values[:, 0, 0] + found["b"].values[..., 0].sum(1)
    target = torch.bucketize(score, torch.quantile(score, torch.arange(1, classes) / classes))
    names = np.array([f"{seed}-{i}" for i in range(size)])
    return Part(found, target, names, names)


@functools.cache
def data(form: str, classes: int = 2) -> SearchData:
    inputs = {"a": (3, 1), "b": (2, 3)} if form == SMALL else {"a": (2, 1), "b": (2, 1), "c": (2, 1)}
    size = 48 if form == SMALL else 192
    specs = {name: InputSpec(width, tokens=tokens) for name, (width, tokens) in inputs.items()}
    signature = Signature(specs, outputs=1 if classes == 2 else classes)
    make = functools.partial(part, inputs=inputs, classes=classes)
    return SearchData(make(size, 1), make(size // 2, 2), make(size // 2, 3), signature)


def space(form: str, *overrides: str, kind: str = "binary") -> SearchSpace:
    return SearchSpace.parse(form.format(kind=kind), overrides=overrides)


def quick(name: str, steps: int = 6) -> list[str]:
    """Overrides under which a method is done in no time."""
    short = {"steps": steps, "epochs": 4, "population": 4, "startup": 3, "enough": 2, "samples": 2, "batch": 4}
    own = {key: value for key, value in short.items() if key in methods[name].options.model_fields}
    return [f"search.method={name}", f"search.options={json.dumps(own)}"]


def search(
    name: str, path: Path, space: SearchSpace, data: SearchData, *, progress: Any = None, seed: int = 3
) -> Found:
    progress = progress or QuietProgress(stages=False)
    with Run.open(path) if path.exists() else Run.create(path, space=space, settings={}) as run:
        run.save_every = 0
        return methods[name](Task(Problem(space, data, seed), run, progress))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each method finds in the small space, and where its run lies; computed once."""

    @functools.cache
    def run(name: str) -> tuple[Found, Path]:
        path = tmp_path_factory.mktemp(name) / "run"
        return search(name, path, space(SMALL, *quick(name)), data(SMALL)), path

    return run


@pytest.mark.parametrize("name", NAMES)
def test_finalists_and_layers_are_valid(name: str, whole: Any) -> None:
    found, _ = whole(name)
    known = space(SMALL)
    assert 1 <= len(found.finalists) <= known.file.search.finalists
    assert all(competes(known, a) for a in found.finalists)
    assert {n: len(chosen) for n, chosen in found.layers.items()} == {"a": 1, "b": 1}
    json.dumps(found.facts, allow_nan=False)
    assert found.facts["spent"]["epochs"] > 0 and all(row["loss"] > 0 for row in found.facts["history"])


@pytest.mark.parametrize("name", NAMES)
def test_finished_steps_are_remembered(name: str, whole: Any) -> None:
    found, path = whole(name)
    lines = (path / "journal.jsonl").read_text()
    assert search(name, path, space(SMALL, *quick(name)), data(SMALL)) == found
    assert (path / "journal.jsonl").read_text() == lines


class Killed(Exception):
    pass


class Kills(QuietProgress):
    """Ends the search after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(stages=False)
        self.steps = steps

    def advance(self, facts: Mapping[str, Any]) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_search_that_was_killed_twice_finds_the_same(name: str, whole: Any, tmp_path: Path) -> None:
    known = space(SMALL, *quick(name))
    for steps in (2, 5):
        try:
            search(name, tmp_path / "run", known, data(SMALL), progress=Kills(steps))
        except Killed:
            continue
    assert search(name, tmp_path / "run", known, data(SMALL)) == whole(name)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_of_epochs_is_kept_also_with_several_classes(name: str, tmp_path: Path) -> None:
    overrides = [*quick(name), "search.budget={epochs: 6}", "modalities.b.encoder=tcn"]
    known = space(SMALL, *overrides, kind="multiclass")
    found = search(name, tmp_path / "run", known, data(SMALL, classes=3))
    assert 0 < found.facts["spent"]["epochs"] <= 6
    assert found.layers == {"a": ("mlp",), "b": ("tcn",)}


class Work(TorchDispatchMode):
    """A clock that goes by work done, not by how busy the machine is: 20 microseconds a tensor operation."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __call__(self) -> float:
        return self.operations * 2e-5

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_budget_of_seconds_is_kept_to_a_step(name: str, tmp_path: Path) -> None:
    limit, known, work = 1.5, space(SMALL, *quick(name), "search.budget={seconds: 1.5}"), Work()
    with Run.create(tmp_path / "run", space=known, settings={}) as run, work:
        methods[name](Task(Problem(known, data(SMALL), 3), run, QuietProgress(stages=False), clock=work))
        told = [0.0, *sorted(facts["seconds"] for facts in run.recorded("budget"))]
    step = max(later - earlier for earlier, later in itertools.pairwise(told))
    assert 0.5 * limit < work() <= 1.05 * limit + step


@pytest.mark.parametrize("name", NAMES)
def test_a_space_of_one_modality_and_one_node_will_do(name: str, tmp_path: Path) -> None:
    text = ("{name: one, task: {kind: binary}, modalities: {a: {kind: vector, encoder: mlp, levels: 1}}, "
            "fusion: {nodes: 1, width: 8, operators: [additive]}, "
            "search: {epochs: 1, rungs: [1], heads: 4}}")  # fmt: skip
    known = SearchSpace.parse(text, overrides=quick(name))
    found = search(name, tmp_path / "run", known, data(SMALL))
    assert set(found.layers) == {"a"} and found.finalists[0].modalities == ("a",)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_mostly_finds_the_two_modalities_that_decide_which_one_draw_in_six_does(name: str, tmp_path: Path) -> None:
    known, chosen = space(PLANTED, *quick(name, steps=40)), []
    for seed in range(3):
        found = search(name, tmp_path / str(seed), known, data(PLANTED), seed=seed)
        chosen.append(found.finalists[0])
    assert sum(set(architecture.modalities) >= {"a", "b"} for architecture in chosen) >= 2, list(map(str, chosen))


@pytest.mark.parametrize("name", NAMES)
def test_methods_say_what_they_are(name: str) -> None:
    facts = methods[name].facts
    assert facts.summary and facts.source and facts.departs
    for option in methods[name].options.model_fields.values():
        assert option.description and option.examples and option.examples[0] != option.default


def options() -> Iterator[tuple[str, str]]:
    """Methods and their options; an option that several methods inherit once."""
    seen = set()
    for name in NAMES:
        for kind in methods[name].options.__mro__:
            for key in getattr(kind, "__annotations__", {}):
                if key in methods[name].options.model_fields and (kind, key) not in seen:
                    seen.add((kind, key))
                    yield name, key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), list(options()))
def test_every_option_does_something(name: str, key: str, whole: Any, tmp_path: Path) -> None:
    other = methods[name].options.model_fields[key].examples[0]
    extra = {"sdarts": ["search.options.perturbation=adversarial"]}.get(name, []) if key == "ascents" else []
    known = space(SMALL, *quick(name), *extra, f"search.options.{key}={json.dumps(other)}")
    assert search(name, tmp_path / "run", known, data(SMALL)).facts != whole(name)[0].facts


def test_options_that_a_method_does_not_have_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"search.options.hott: unknown key \(did you mean 'hot'\?\)"):
        space(SMALL, "search.method=gdas", "search.options.hott=3")
    with pytest.raises(SpaceError, match="search.options.hot: given -1, expected more than 0"):
        space(SMALL, "search.method=gdas", "search.options.hot=-1")
    with pytest.raises(SpaceError, match=r"search.options.hot: unknown key \(there are none\)"):
        space(SMALL, "search.method=darts", "search.options.hot=1")


def test_what_a_method_receives_has_no_test_part() -> None:
    assert set(SearchData.__dataclass_fields__) == {"train", "alpha", "select", "signature"}
    assert set(Problem.__dataclass_fields__) == {"space", "data", "seed", "pretrained", "costs"}
