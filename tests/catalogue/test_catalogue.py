"""Every row of the field's catalogue has a home that a user can name, and every operator a row."""

from __future__ import annotations

import pytest

from fusionnas.catalogue.homes import is_there, said
from fusionnas.catalogue.page import operators_page
from fusionnas.catalogue.rows import ROWS, Row
from fusionnas.operators import operators

NAMES = """\
1 Fusion with abstract modalities
2 Fusion with raw modalities
3 Early fusion
4 Late fusion
5 Intermediate fusion
6 Univariate interaction regression
7 Additive fusion
8 Additive fusion with unimodal encoders
9 Multiplicative fusion
10 Additive and multiplicative fusion
11 Bilinear fusion and its family
12 Tensor fusion, bimodal
13 Tensor fusion, any number of modalities
14 Low-rank fusion (LMF)
15 Low-rank adaptation (LoRA)
16 Polynomial fusion (PTP, HPFN)
17 Gated fusion
18 Gate as attention, non-local gate
19 Modality shift (MAG)
20 Modality shift (RAVEN)
21 Nonlinear fusion
22 Recurrent multistage fusion (RMFN)
23 Multimodal transformer (MulT)
24 CTC soft alignment
25 Very early fusion (ViLT)
26 Word-patch alignment
27 Align before fuse (ALBEF)
28 High-modality transformer (HighMMT)
29 Vision and language from captions only (VLC)
30 Dynamic fusion, modality level (DynMM)
31 Dynamic fusion, fusion level (DynMM)
32 Training of gates with resource loss
33 MUFASA search
34 The architecture that MUFASA found
35 DARTS
36 EMAP
37 EMAP benchmark ladder
38 Do more modalities help?
39 Probes of unimodal bias
40 Mitigation of unimodal bias
41 Overfitting-to-generalisation ratio
42 Gradient blending
43 Balance of gradients (OGM-GE)
44 Evaluation of robustness
45 Improving robustness
46 Chart of fusion
47 Memory fusion (MFN)
48 Partial information decomposition
49 MFAS and BM-NAS""".splitlines()


def test_the_catalogue_has_all_rows_of_the_field():
    assert [f"{row.number} {row.name}" for row in ROWS] == NAMES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_a_row_has_homes_that_are_there_and_say_all(row: Row):
    assert row.homes and [home for home in row.homes if not is_there(home)] == []
    told = [said(home) for home in row.homes]
    for facts in [facts for facts in told if facts is not None]:
        assert facts.equation and facts.source and facts.departs
    if None in told:
        assert row.equation and row.source and row.departs


def test_every_operator_has_a_row():
    homes = {home for row in ROWS for home in row.homes}
    own = [name for name in operators if operators[name].__module__.startswith("fusionnas.operators.")]
    assert [name for name in own if f"operator:{name}" not in homes] == []


def test_homes_that_are_not_there_are_seen():
    wrong = ["operator:gatd", "training:rub", "space:nowhere", "key:training.adapt.rnk", "command:adopt", "page:no.md"]
    assert [home for home in wrong if is_there(home)] == []
    right = [
        "key:training.adapt.rank",
        "key:modalities.NAME.policy",
        "key:fusion.operators",
        "space:ehr.yaml",
        "page:space.md",
    ]
    assert [home for home in right if not is_there(home)] == []


def test_the_page_shows_formula_and_measured_costs():
    page = operators_page()
    assert "| k·D² + D → 2,080 | k·D² → 2,048 |" in page  # additive, two inputs of 32 channels
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert {int(line.split("|")[1]) for line in lines if line.split("|")[1].strip().isdigit()} == set(range(1, 50))
