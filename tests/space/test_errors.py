"""Every mistake in a space file: where it stands, what is wrong, what to write instead."""

from __future__ import annotations

import re

import pytest

from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace

STATIC = "  static: {kind: tabular, encoder: mlp, levels: 1}"
VITALS = "  vitals: {kind: timeseries, encoder: [gru, tcn], levels: 2}"
FUSION = "  inputs: [2, 3]"
OPERATORS = "  operators: [additive, gated, cross_attention]"


def problems(text: str, **options: object) -> tuple[str, ...]:
    with pytest.raises(SpaceError) as caught:
        SearchSpace.parse(text, name="my.yaml", **options)
    many = len(caught.value.problems)
    assert caught.value.title == f"my.yaml is not a valid search space: {many} problem{'s' * (many > 1)}"
    return caught.value.problems


# (line of the base file, what stands there instead, the one problem that this makes)
ONE_PROBLEM = [
    # Keys and types.
    ("name: base", "nam: base", "1:1 nam: unknown key (did you mean 'name'?)"),
    ("name: base", "name: 'my base'", "1:7 name: 'my base' is not a name: a letter, then letters, digits and _"),
    ("name: base", "name: base\nzzzz: 1", "2:1 zzzz: unknown key (known: name, data, task, modalities, fusion, "),
    (
        STATIC,
        "  static: {kind: tabular, encodr: mlp}",
        "5:27 modalities.static.encodr: unknown key (did you mean 'encoder'?)",
    ),
    (STATIC, "  static: {kind: tabular}", "5:11 modalities.static.encoder: is needed: encoder, or a list"),
    (
        STATIC,
        "  static: {kind: tabular, encoder: []}",
        "5:36 modalities.static.encoder: is empty; at least one is needed",
    ),
    (STATIC, "  static: {kind: tabular, encoder: [mlp, mlp]}", "5:36 modalities.static.encoder: names 'mlp' twice"),
    (STATIC, "  static: {kind: tabular, encoder: 5}", "5:36 modalities.static.encoder: 5 is read as the number 5"),
    (
        STATIC,
        "  static: {kind: tabular, encoder: {a: b}}",
        "encoder: given a mapping, expected a name or a list of names",
    ),
    (
        STATIC,
        "  static: {kind: tabluar, encoder: mlp}",
        "5:18 modalities.static.kind: given tabluar, "
        "expected one of tabular, vector, timeseries, codes, text, image, audio "
        "(did you mean 'tabular'?)",
    ),
    (STATIC, "  static: {kind: tabular, encoder: mlp, levels: 13}", "levels: given 13, expected at most 12"),
    (STATIC, "  static: {kind: tabular, encoder: mlp, levels: two}", "levels: given two, expected a whole number"),
    (STATIC, "  static: {kind: tabular, encoder: mlp, levels: 1.5}", "levels: given 1.5, expected a whole number"),
    (STATIC, "  static: {kind: tabular, encoder: mlp, levels: '1'}", "levels: given '1', expected a whole number"),
    (STATIC, "  static: {kind: tabular, encoder: mlp, dropout: 1}", "dropout: given 1, expected less than 1"),
    (STATIC, "  static: {kind: tabular, encoder: mlp, wide: 1}", "wide: given 1, expected true or false"),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, ranges: {age: [9, 1]}}",
        "needs low < high for 'age', given [9, 1]",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, ranges: {age: [1]}}",
        "ranges.age[1]: a value is missing; 2 are needed",
    ),
    (STATIC, "  static: 7", "5:11 modalities.static: given 7, expected a mapping"),
    (STATIC, "  my static: {kind: tabular, encoder: mlp}", "5:3 modalities.my static: 'my static' is not a name"),
    (
        STATIC,
        "  type: {kind: tabular, encoder: mlp}",
        "5:9 modalities.type: 'type' is taken by PyTorch's modules; choose another name and write source: type",
    ),
    (FUSION, "  inputs: 1", "inputs: needs 2 <= fewest <= most <= 16, given [1, 1]"),
    (FUSION, "  inputs: [2, 3, 4]", "inputs: given a list of 3, expected at most 2 values"),
    (FUSION, "  inputs: some", "9:11 fusion.inputs: given some, expected a whole number or two"),
    (OPERATORS, "  operators: []", "10:14 fusion.operators: is empty; at least one is needed"),
    (OPERATORS, "  operators: mlp", "10:14 fusion.operators: given mlp, expected a list"),
    (OPERATORS, "  operators: [mlp, mlp]", "10:14 fusion.operators: names 'mlp' twice"),
    ("search: {seeds: 1}", "search: {rungs: [0]}", "11:18 search.rungs[0]: given 0, expected at least 1"),
    ("search: {seeds: 1}", "search: {data_parallel: 0}", "search.data_parallel: given 0, expected at least 1"),
    (
        "search: {seeds: 1}",
        "search: {data_parallel: 2}\ntraining: {modulation: ogm_ge}",
        "search.data_parallel: given 2, but training.modulation measures whole batches; leave one out",
    ),
    ("search: {seeds: 1}", "search: {alpha_rate: 0}", "search.alpha_rate: given 0, expected more than 0"),
    ("search: {seeds: 1}", "search: {alpha_rate: .nan}", "search.alpha_rate: given .nan, expected a finite number"),
    (
        "task: {kind: binary, metric: roc_auc}",
        "task: {metric: roc_auc}",
        "3:7 task.kind: is needed: two classes (one logit), or several",
    ),
    (
        "data: simulated_icu",
        "data: {format: npz, target: y}",
        "2:7 data.train: is needed: file or folder with the training samples",
    ),
    (
        "data: simulated_icu",
        "data: {format: xls, train: a, target: y}",
        "2:16 data.format: given xls, expected one of npz, npy",
    ),
    (
        "data: simulated_icu",
        "data: [a]",
        "2:7 data: given a list of 1, expected a data set's name or a mapping that describes",
    ),
    # Names in registries.
    (
        "data: simulated_icu",
        "data: simulated_ico",
        "2:7 data: 'simulated_ico' is not a data set (did you mean 'simulated_icu'?)",
    ),
    (
        "data: simulated_icu",
        "data: ./a.npz",
        "2:7 data: './a.npz' looks like a file; describe it: data: {format: npz, train: ./a.npz, target: label}",
    ),
    (
        VITALS,
        "  vitals: {kind: timeseries, encoder: [gru, tcm]}",
        "6:45 modalities.vitals.encoder[1]: 'tcm' is not an encoder (did you mean 'tcn'?)",
    ),
    (
        OPERATORS,
        "  operators: [gatd]",
        "10:15 fusion.operators[0]: 'gatd' is not a fusion operator (did you mean 'gated'?)",
    ),
    (
        "search: {seeds: 1}",
        "search: {method: dart}",
        "11:18 search.method: 'dart' is not a search method (did you mean 'darts'?)",
    ),
    # Keys that must agree.
    (
        STATIC,
        "  static: {kind: tabular, encoder: gru}",
        "5:36 modalities.static.encoder: 'gru' does not encode kind tabular; for it: ",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, view: bins}",
        "view: kind tabular has no view 'bins'; it has: plain",
    ),
    (
        VITALS,
        "  vitals: {kind: timeseries, encoder: summary, view: bins}",
        "6:39 modalities.vitals.encoder: 'summary' reads the view summary of kind timeseries, not bins",
    ),
    (
        VITALS,
        "  vitals: {kind: timeseries, encoder: [gru, summary]}",
        "6:39 modalities.vitals.encoder: these encoders read different views (gru reads bins, summary reads summary); "
        "make one modality per view, with one source",
    ),
    (
        VITALS,
        "  vitals: {kind: timeseries, encoder: gru, wide: true}",
        "6:50 modalities.vitals.wide: a wide path needs one row per sample (plain, summary, spectrum); "
        "this modality's view is bins",
    ),
    (
        STATIC,
        "  static: {kind: tabular, source: vitals, encoder: mlp}",
        "5:18 modalities.static.kind: reads 'vitals' as tabular, but 'vitals' reads it as timeseries; "
        "one input has one kind",
    ),
    (
        STATIC,
        f"{STATIC}\n  a: {{kind: tabular, source: age, encoder: mlp}}\n  b: {{kind: tabular, source: a, encoder: mlp}}",
        "7:30 modalities.b.source: 'a' is itself a view of 'age'; write source: age",
    ),
    (
        VITALS,
        "  vitals: {kind: timeseries, encoder: [gru, tcn], policy: frozen}",
        "6:59 modalities.vitals.policy: frozen needs one encoder, given 2: "
        "layers that were trained before are not searched",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, weights: a.safetensors}",
        "weights: are not used with policy joint; write policy: frozen, finetune or adapt",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, policy: finetune, weights: a.pt}",
        "weights: 'a.pt' is not a .safetensors file",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, columns: [age, sex], log: [aeg]}",
        "modalities.static.log: 'aeg' is not among this modality's columns (did you mean 'age'?)",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, categorical: [sex], log: [sex]}",
        "modalities.static.categorical: 'sex' is a category; take it out of log and ranges",
    ),
    (
        VITALS,
        "  vitals: {kind: timeseries, encoder: gru, categorical: [a]}",
        "modalities.vitals.categorical: is for kind tabular; this modality's kind is timeseries",
    ),
    (
        STATIC,
        "  img: {kind: image, encoder: cnn, log: [a]}",
        "modalities.img.log: is for kind tabular, vector, timeseries; this modality's kind is image",
    ),
    (
        "task: {kind: binary, metric: roc_auc}",
        "task: {kind: multiclass, metric: roc_auc}",
        "3:34 task.metric: 'roc_auc' is for binary tasks; "
        "for multiclass: accuracy, balanced_accuracy, f1_macro, log_loss",
    ),
    (
        FUSION,
        "  inputs: [2, 9]",
        "9:11 fusion.inputs: a node can read at most 6 inputs (5 fusion points and 1 earlier nodes), given [2, 9]",
    ),
    (
        FUSION,
        "  inputs: 6",
        "9:11 fusion.inputs: a node reads at least 6 inputs, but there are 5 fusion points; add modalities or levels",
    ),
    # What YAML makes of plain words.
    ("name: base", "name: on", "1:7 name: on is read as the truth value true by YAML; quote it: 'on'"),
    ("name: base", "name: base\nno: 1", "2:1 no: the key no is read as the truth value false by YAML; quote it: 'no'"),
    ("name: base", "name: base\n3: 1", "2:1 3: the key 3 is read as the number 3 by YAML; quote it: '3'"),
    ("name: base", "name: base\n[a]: 1", "2:1 ?: a key is a name, not a list or a mapping"),
    ("name: base", "name: base\n<<: {a: 1}", "2:1 <<: merge keys ('<<') are not read; write the keys out"),
    (
        "name: base",
        "name: !!python/name:os.system x",
        "1:7 name: the tag 'tag:yaml.org,2002:python/name:os.system' is not read",
    ),
    ("name: base", "name: !own x", "1:7 name: the tag '!own' is not read; write the plain value"),
    ("name: base", "name: base\nname: again", "2:1 name: given twice, first in line 1; keep one"),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, levels: 010}",
        "levels: 010 is read as the number 8 by YAML; write 10, or quote",
    ),
    (STATIC, "  static: {kind: tabular, encoder: mlp, levels: !!int x}", "levels: 'x' is not what its tag says"),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, columns: [12:30]}",
        "columns[0]: 12:30 is read as the number 750 by YAML; quote it",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, columns: [NO]}",
        "columns[0]: NO is read as the truth value false by YAML; quote it: 'NO'",
    ),
    (
        STATIC,
        "  static: {kind: tabular, encoder: mlp, columns: [1]}",
        "columns[0]: 1 is read as the number 1 by YAML; quote it: '1'",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), ONE_PROBLEM, ids=[message[:60] for *_, message in ONE_PROBLEM])
def test_one_mistake_is_one_line_with_its_place(base, old, new, message):
    assert old in base
    found = problems(base.replace(old, new))
    assert len(found) == 1
    assert message in found[0]
    assert re.match(r"my\.yaml:\d+:\d+ [a-z0-9?<]", found[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.yaml:1:1: the file is empty; it needs name, task and modalities"),
        ("# only a comment\n", "my.yaml:1:1: the file is empty; it needs name, task and modalities"),
        ("- a\n- b\n", "my.yaml:1:1: given a list, expected a mapping with name, task and modalities"),
        ("hello", "my.yaml:1:1: given 'hello', expected a mapping with name, task and modalities"),
        ("name: a\ntask:\n\tkind: binary\n", "my.yaml:3:1: a tab; indent YAML with spaces"),
        ("name: a\n---\nname: b\n", "my.yaml:2:1: a second document ('---'); a space file holds one"),
        (
            "name: [a\n",
            "my.yaml:2:1: not valid YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)",
        ),
        ("name: *a\n", "my.yaml:1:7: not valid YAML: found undefined alias 'a'"),
        ("name: \x07\n", "my.yaml:1:7: the character #x0007 is not allowed in YAML; save the file as plain text"),
        ("name: &a [*a]\n", "my.yaml:1:1: nested too deeply, or an anchor that holds itself"),
        ("name: " + "[" * 3000, "my.yaml:1:1: nested too deeply, or an anchor that holds itself"),
        (
            "a: &a [x, x]\n"
            + "".join(f"{n}: &{n} [{', '.join([f'*{o}'] * 9)}]\n" for o, n in zip("abcdef", "bcdefg", strict=True)),
            "not valid YAML: more than 20000 values",
        ),
    ],
)
def test_what_is_no_space_file_at_all(text, message):
    (found,) = problems(text)
    assert message in found


def test_all_problems_of_all_kinds_come_at_once_in_the_order_of_the_file(base):
    text = (
        base.replace("data: simulated_icu", "data: nothing_like_it")
        .replace("levels: 1", "levels: 010")
        .replace("tcn", "tcm")
        .replace("nodes: 2", "nods: 2")
        .replace("gated", "gatd")
        .replace("seeds: 1", "seeds: none, plugins: []")
    )
    found = problems(text, overrides=["fusion.width=wide"])
    assert [line.split(":")[1] for line in found[:-1]] == ["2", "5", "6", "8", "10", "11", "11"]
    assert found[-1] == "--set fusion.width=wide fusion.width: given wide, expected a whole number"


def test_sizes_are_judged_only_where_everything_else_is_right(base):
    (found,) = problems(base.replace("levels: 1", "levels: -1").replace("[2, 3]", "[2, 16]"))
    assert "levels: given -1, expected at least 0" in found


def test_decisions_alone_cannot_fill_two_nodes(base):
    text = base.replace("operators: [additive, gated, cross_attention]", "operators: [late_vote, late_product]")
    (found,) = problems(text)
    assert "fusion.operators: all of them fuse predictions, which only the last node does; add others" in found


def test_an_operator_that_cannot_take_so_many_inputs(base, monkeypatch):
    from fusionnas.operators.base import operators

    monkeypatch.setattr(operators["gated"], "inputs_range", (2, 2))
    (found,) = problems(base.replace("[2, 3]", "[3, 4]"))
    assert found == (
        "my.yaml:10:25 fusion.operators[1]: 'gated' takes 2 inputs, but fusion.inputs is [3, 4]; "
        "drop it or change inputs"
    )


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "+1e-3", "0.001", "1.0e-3", ".001"])
def test_numbers_that_yaml_reads_as_text_are_numbers(base, number):
    space = SearchSpace.parse(base + f"training: {{learning_rate: {number}}}\n")
    assert space.file.training.learning_rate == 0.001


def test_quoted_words_are_text_and_truth_values_are_truth_values(base):
    text = base.replace("levels: 1}", 'levels: 1, wide: yes, columns: ["no", "12", 2020-01-01, "1e3"]}')
    static = SearchSpace.parse(text).file.modalities["static"]
    assert static.columns == ("no", "12", "2020-01-01", "1e3")
    assert static.wide is True


def test_a_value_can_have_an_anchor(base):
    text = base.replace("[gru, tcn]", "&series [gru, tcn]").replace(
        "fusion:", "  labs: {kind: timeseries, encoder: *series}\nfusion:"
    )
    assert SearchSpace.parse(text).file.modalities["labs"].encoder == ("gru", "tcn")


def test_an_encoder_may_be_given_the_other_sequence_view(base):
    text = base.replace("[gru, tcn], levels: 2", "[gru, tcn], view: observations")
    assert SearchSpace.parse(text).file.modalities["vitals"].view == "observations"
