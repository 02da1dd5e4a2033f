"""The catalogue: every way to fuse, train, search and measure that the field's overview names, and its home here.

A home is ``kind:name``: an entry of a registry (operator, objective, training, method, diagnostic), a bundled space, a
key of the space file, a command, or a page of the documents. What a home computes, where it comes from and how it
departs is said by the home itself, in its facts; this file only says which is which.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of the catalogue.

    Attributes:
        number: 1..49.
        name: as the field calls it.
        homes: ``kind:name`` each.
        equation, source, departs: where the home is no entry of a registry that says so itself.
    """

    number: int
    name: str
    homes: tuple[str, ...]
    equation: str = ""
    source: str = ""
    departs: str = ""


OVERVIEW = "Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430"
VILT = "Kim et al., ViLT: Vision-and-Language Transformer, ICML 2021, arXiv:2102.03334"
DYNMM = "Xue & Marculescu, Dynamic Multimodal Fusion, CVPR workshops 2023, arXiv:2204.00102"


def _operators(*names: str) -> tuple[str, ...]:
    return tuple(f"operator:{name}" for name in names)


ROWS = (
    Row(1, "Fusion with abstract modalities", ("key:modalities.NAME.policy", "page:space.md"),
        equation="z = F(f_1(x_1), ..., f_k(x_k)); encoders f_j learned with the rest, or pretrained",
        source=OVERVIEW, departs="a pretrained encoder is frozen, fine-tuned slowly, or adapted in low rank"),
    Row(2, "Fusion with raw modalities", ("key:modalities.NAME.levels", "page:space.md"),
        equation="F(x_1, ..., x_k) on tokens of the raw inputs: level 0 of every modality is a fusion point",
        source=OVERVIEW, departs="the raw input is mapped to D channels, so that operators can read it"),
    Row(3, "Early fusion", _operators("concat", "concat_steps")),
    Row(4, "Late fusion", _operators(
        "late_logits", "late_probabilities", "late_product", "late_vote", "late_stacking")),
    Row(5, "Intermediate fusion", _operators(
        "injection_relu", "injection_leaky_relu", "injection_sigmoid", "squeeze_excite")),
    Row(6, "Univariate interaction regression", ("diagnostic:interaction",)),
    Row(7, "Additive fusion", _operators("additive")),
    Row(8, "Additive fusion with unimodal encoders", _operators("additive")),
    Row(9, "Multiplicative fusion", _operators("multiplicative", "mlb")),
    Row(10, "Additive and multiplicative fusion", _operators(
        "additive_multiplicative", "multiplicative_interaction", "multiplicative_interaction_vector",
        "multiplicative_interaction_scalar")),
    Row(11, "Bilinear fusion and its family", _operators(
        "bilinear", "mlb", "mfb", "mfh", "tucker", "mutan", "block", "block_tucker", "mcb")),
    Row(12, "Tensor fusion, bimodal", _operators("tensor")),
    Row(13, "Tensor fusion, any number of modalities", _operators("tensor")),
    Row(14, "Low-rank fusion (LMF)", _operators("low_rank_tensor")),
    Row(15, "Low-rank adaptation (LoRA)", ("key:modalities.NAME.policy", "command:adapt"),
        equation="W + (alpha / r) up down; r (rows + columns) parameters per matrix, none once it is merged",
        source="Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, arXiv:2106.09685, equation 3",
        departs="merged by a function, never in place; every linear map that is larger than its update; no dropout"),
    Row(16, "Polynomial fusion (PTP, HPFN)", _operators("polynomial", "polynomial_windows")),
    Row(17, "Gated fusion", _operators("gated", "gated_sigmoid", "gated_softmax", "film", "gated_hard")),
    Row(18, "Gate as attention, non-local gate", _operators("attention_gate", "non_local_gate")),
    Row(19, "Modality shift (MAG)", _operators("modality_shift", "mag")),
    Row(20, "Modality shift (RAVEN)", _operators("raven")),
    Row(21, "Nonlinear fusion", _operators("mlp")),
    Row(22, "Recurrent multistage fusion (RMFN)", _operators("recurrent_multistage")),
    Row(23, "Multimodal transformer (MulT)", _operators("crossmodal_transformer", "cross_attention")),
    Row(24, "CTC soft alignment", _operators("ctc_alignment")),
    Row(25, "Very early fusion (ViLT)", ("operator:joint_transformer", "space:vilt.yaml"),
        equation="z = transformer([raw tokens of all modalities]): the published network, level 0 and one operator",
        source=VILT, departs="toy size; no published weights; patches are masked by their mask"),
    Row(26, "Word-patch alignment", ("objective:vilt", "diagnostic:alignment")),
    Row(27, "Align before fuse (ALBEF)", ("objective:albef", "space:albef.yaml"),
        equation="z = cross_attention(words, picture) of encoders that were aligned before",
        source="Li et al., Align before Fuse, NeurIPS 2021, arXiv:2107.07651",
        departs="toy size; no published weights"),
    Row(28, "High-modality transformer (HighMMT)", ("operator:shared_perceiver", "space:highmmt.yaml"),
        equation="z = shared_perceiver(level 0 of all modalities), weights independent of their number",
        source="Liang et al., High-Modality Multimodal Transformer, TMLR 2023, arXiv:2203.01311",
        departs="toy size; one task"),
    Row(29, "Vision and language from captions only (VLC)", ("objective:vlc", "space:vlc.yaml"),
        equation="the body of ViLT, pretrained by reconstruction and matching of pairs alone",
        source="Gui et al., Training Vision-Language Transformers from Captions, 2022, arXiv:2205.09256",
        departs="toy size; starts from nothing"),
    Row(30, "Dynamic fusion, modality level (DynMM)", ("key:fusion.gates.level", "page:gates.md"),
        equation="y = sum_i g_i E_i(x), g one-hot per sample", source=DYNMM,
        departs="a gate per modality says whether its encoder runs; what does not is not computed"),
    Row(31, "Dynamic fusion, fusion level (DynMM)", ("key:fusion.gates.level", "page:gates.md"),
        equation="h = sum_i g_i O_i(x), g one-hot per sample and node", source=DYNMM,
        departs="a node runs or passes on one of its inputs; nodes of any form, not a chain of cells"),
    Row(32, "Training of gates with resource loss", ("key:fusion.gates.cost_weight", "page:gates.md"),
        equation="L + w sum_i g_i C_i; stage one trains all paths, stage two weights and gates", source=DYNMM,
        departs="costs C_i are measured on this machine; temperatures stay where gradients live"),
    Row(33, "MUFASA search", ("method:evolution",)),
    Row(34, "The architecture that MUFASA found", ("operator:aligned_block", "space:mufasa.yaml"),
        equation="#0 = aligned_block(notes, codes); z = additive(context, measurements, codes, #0)",
        source="Xu et al., MUFASA: Multimodal Fusion Architecture Search for Electronic Health Records, AAAI 2021, "
        "arXiv:2102.02340", departs="one width, masked means, attention with masks; simulated records"),
    Row(35, "DARTS", ("method:darts",)),
    Row(36, "EMAP", ("diagnostic:emap",)),
    Row(37, "EMAP benchmark ladder", ("diagnostic:emap",)),
    Row(38, "Do more modalities help?", ("diagnostic:probes",)),
    Row(39, "Probes of unimodal bias", ("diagnostic:probes",)),
    Row(40, "Mitigation of unimodal bias", ("training:rubi", "training:functional_entropy")),
    Row(41, "Overfitting-to-generalisation ratio", ("diagnostic:ogr", "training:blending")),
    Row(42, "Gradient blending", ("training:blending",)),
    Row(43, "Balance of gradients (OGM-GE)", ("training:ogm_ge",)),
    Row(44, "Evaluation of robustness", ("diagnostic:robustness",)),
    Row(45, "Improving robustness", ("training:missing", "training:noise", "training:rank")),
    Row(46, "Chart of fusion", ("page:operators.md",),
        equation="from homogeneous to heterogeneous modalities: late, additive, multiplicative, tensor, polynomial, "
        "modality shift, gated, nonlinear, very early", source=OVERVIEW,
        departs="a rank of every operator, in this order, listed by `fusionnas list operators`"),
    Row(47, "Memory fusion (MFN)", _operators("memory_fusion")),
    Row(48, "Partial information decomposition", ("diagnostic:pid",)),
    Row(49, "MFAS and BM-NAS", ("method:mfas", "method:bm_nas")),
)  # fmt: skip
