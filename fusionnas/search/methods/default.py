"""The default engine: a dense mixture trains the encoders, discrete heads compete stacked and trained alone.

1. Encoders train inside the supernet with every fusion path mixed evenly; no alpha is learned, so no modality can
   win by being learned first. Where a modality lists several encoders, each layer's choice is learned after a warm-up,
   then fixed for the last fifth of the epochs.
2. The features of every fusion point are encoded once and standardised.
3. Hundreds of discrete heads, every single modality among them, train stacked with successive halving.
4. The survivors train again from fresh seeds; the simplest within one standard error leads the finalists.
"""

from __future__ import annotations

import random
from typing import Any

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.operators import operators
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.cache import build_caches
from fusionnas.search.choice import kendall_tau, one_standard_error
from fusionnas.search.gradient import Relaxed, supernet_loss, train_supernet
from fusionnas.search.halving import Contest, halve, rescore
from fusionnas.search.heads import Candidate, HeadSettings
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.pool import pool
from fusionnas.search.pretrain import load_pretrained
from fusionnas.search.references import sources
from fusionnas.supernet import Alphas, Mixing, Supernet, one_hot
from fusionnas.supernet.mixing import even, level
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe

FACTS = MethodFacts(
    summary="dense mixture trains encoders; stacked stand-alone heads with halving; fresh-seed rescoring",
    source=(
        'encoders: Bender et al., "Understanding and simplifying one-shot architecture search", ICML 2018; '
        'halving: Jamieson & Talwalkar, 2016, arXiv:1502.07943; layer choices: DARTS, arXiv:1806.09055'
    ),
    departs=(
        "no path is dropped and no fusion alpha is learned; the supernet only trains encoders and never ranks; heads "
        "are ranked by stand-alone training, all heads of one operator sequence in one pass"
    ),
)
_RESCORE_EPOCHS, _RESCORE_SEEDS = 8, 3
_FIXED_FROM = 0.8  # share of the epochs after which layer choices are fixed

Layers = dict[str, tuple[str, ...]]


@register_method("default", FACTS)
def default(task: Task) -> Found:
    """See the module."""
    supernet, layers, trained = _train_encoders(task)
    ranking = _rank_heads(task, supernet, layers)
    finalists = tuple(Architecture.from_json(data) for data in ranking["finalists"])
    facts = {"history": trained, **{key: value for key, value in ranking.items() if key != "finalists"}}
    return Found(finalists, layers, facts)


def _train_encoders(task: Task) -> tuple[Supernet, Layers, list[dict[str, float]]]:
    space, seed = task.space, derive(task.seed, "supernet")
    search = space.file.search
    with seeded(seed):
        supernet = Supernet(space, task.data.signature)
    load_pretrained(supernet.encoders, task.pretrained)
    alphas = Alphas(space)
    warm, fixed = search.epochs * search.warmup, search.epochs * _FIXED_FROM
    searched = any(len(modality.encoder) > 1 for modality in space.file.modalities.values())

    def mixing(alphas: Alphas, epoch: int) -> Mixing:
        if not searched or epoch < warm:
            return alphas.mixing(even)
        if epoch < fixed:
            return alphas.mixing(even, level)
        return Mixing(**{**vars(alphas.mixing(even)), "layers": _fixed_layers(task, alphas)})

    relaxed = Relaxed(
        mixing=mixing,
        learned=list(alphas.beta.parameters()) if searched else (),
        moves=lambda epoch: warm <= epoch < fixed,
        rate=search.alpha_rate,
    )

    def compute(checkpoint: Checkpoint) -> Result:
        history = train_supernet(
            supernet, alphas, task.data, relaxed, Recipe.of(space), epochs=search.epochs, seed=seed,
            checkpoint=checkpoint, watch=task.progress.advance,
        )  # fmt: skip
        tensors = {f"supernet.{k}": v for k, v in supernet.state_dict().items()}
        return Result({"history": history, "layers": _chosen(task, alphas)}, tensors)

    task.progress.stage("supernet", search.epochs)
    result = task.run.unit("search/supernet", compute)
    supernet.load_state_dict({k.removeprefix("supernet."): v for k, v in result.tensors.items()})
    return supernet, {name: tuple(chosen) for name, chosen in result.facts["layers"].items()}, result.facts["history"]


def _chosen(task: Task, alphas: Alphas) -> dict[str, list[str]]:
    modalities = task.space.file.modalities
    return {name: [m.encoder[int(row.argmax())] for row in alphas.beta[name]] for name, m in modalities.items()}


def _fixed_layers(task: Task, alphas: Alphas) -> dict[str, Any]:
    layers = {}
    for name, beta in alphas.beta.items():
        hot = beta.new_zeros(beta.shape)
        if beta.numel():
            hot.scatter_(1, beta.detach().argmax(1, keepdim=True), 1.0)
        layers[name] = hot
    return layers


def _rank_heads(task: Task, supernet: Supernet, layers: Layers) -> dict[str, Any]:
    space, data = task.space, task.data
    search, fusion = space.file.search, space.file.fusion
    training = space.file.training
    settings = HeadSettings(fusion.width, data.signature.outputs, training.batch_size, dropout=training.dropout)

    def watch(rung: str, done: int, groups: int) -> None:
        if done == 1:
            task.progress.stage(f"heads, {rung}", groups)
        task.progress.advance({})

    def compute(checkpoint: Checkpoint) -> Result:
        encoded = _even_layers(task, layers)
        caches = build_caches(
            lambda inputs: supernet.eval().encode(inputs, encoded),
            {"train": Part.concat(data.train, data.alpha), "select": data.select},
            space.points(), tokens=any(operators[name].sequence for name in fusion.operators),
        )  # fmt: skip
        contest = Contest(caches["train"], caches["select"], settings, task.seed)
        contestants, references = pool(
            space, layers, heads=search.heads, rng=random.Random(derive(task.seed, "pool"))
        )
        ranked = halve(
            [Candidate(a, task.seed) for a in contestants], contest,
            rungs=search.rungs, eta=search.eta, keep=search.rescore, watch=watch,
        )  # fmt: skip
        best = [candidate.architecture for candidate, _ in ranked[: search.rescore]]
        shortlist = list(dict.fromkeys([*best, *contestants[:references]]))
        losses = rescore(shortlist, contest, epochs=_RESCORE_EPOCHS, seeds=_RESCORE_SEEDS, watch=watch)
        return Result(_ranking(task, supernet, shortlist, losses, len(contestants)))

    return task.run.unit("search/heads", compute).facts


def _even_layers(task: Task, layers: Layers) -> Mixing:
    """One-hot encoder layers; fusion weights do not matter for encoding."""
    hot = Alphas(task.space)
    with_layers = {}
    for name, modality in task.space.file.modalities.items():
        rows = hot.beta[name].detach().clone()
        for index, encoder in enumerate(layers[name]):
            rows[index, modality.encoder.index(encoder)] = 1.0
        with_layers[name] = rows
    return Mixing(**{**vars(hot.mixing(even)), "layers": with_layers})


def _ranking(
    task: Task, supernet: Supernet, shortlist: list[Architecture], losses: Any, contestants: int
) -> dict[str, Any]:
    space, search = task.space, task.space.file.search
    means = losses.mean(1).tolist()
    counts = [len(sources(space, architecture)) for architecture in shortlist]
    order = sorted(range(len(shortlist)), key=lambda i: means[i])
    simplest = one_standard_error(losses, counts)
    first = list(dict.fromkeys([simplest, *order]))[: search.finalists]
    inside = [i for i in order if space.contains(shortlist[i])]
    shared = [float(supernet_loss(supernet, one_hot(space, shortlist[i]), task.data.select).mean()) for i in inside]
    return {
        "finalists": [shortlist[i].to_json() for i in first],
        "contestants": contestants,
        "shortlist": [
            {"id": shortlist[i].id, "architecture": str(shortlist[i]), "modalities": counts[i], "loss": means[i]}
            for i in order
        ],
        "simplest_within_one_standard_error": shortlist[simplest].id,
        "supernet_rank_correlation": kendall_tau(shared, [means[i] for i in inside]),
    }
