"""The space file as data: one pydantic model per section, unknown keys refused.

These models say what a key means, its default and its bounds; ``fusionnas schema`` prints them as a
JSON schema. What needs several keys at once (names in registries, views that fit) is checked in
:mod:`fusionnas.space.checks`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Kind = Literal["tabular", "vector", "timeseries", "codes", "text", "image", "audio"]
View = Literal["plain", "bins", "observations", "summary", "spectrum", "tokens", "patches", "frames"]
Metric = Literal["average_precision", "roc_auc", "accuracy", "balanced_accuracy", "f1_macro", "log_loss"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


def _distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for place, name in enumerate(value) if name in value[:place]]
    if twice:
        raise ValueError(f"names '{twice[0]}' twice")
    return value


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _kind(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


def _one_or_two(value: object) -> object:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Names = Annotated[tuple[str, ...], AfterValidator(_distinct)]


class Section(BaseModel):
    """A section of the space file: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Files(Section):
    """The user's own files as the data set (section ``data`` given as a mapping).

    Paths are relative to the space file. Parts that are not given are split off from ``train``.
    """

    format: Literal["npz", "npy", "csv", "parquet", "events", "meds"] = Field(description="How the files are laid out.")
    train: str = Field(min_length=1, description="File or folder with the training samples.")
    alpha: str | None = Field(None, description="Part for architecture parameters; else split off from train.")
    select: str | None = Field(None, description="Part for choosing among candidates; else split off from train.")
    test: str | None = Field(None, description="Part that is opened once, at the end; else split off from train.")
    split: str | None = Field(
        None, description="Array or column that says which part a sample belongs to: train, alpha, select, test."
    )
    target: str = Field(min_length=1, description="Array or column that holds the label.")
    group: str | None = Field(
        None, description="Array or column whose equal values never cross parts (patient, speaker)."
    )
    id: str | None = Field(None, description="Array or column that names the samples.")
    exclude: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Rows to leave out (csv, parquet): per column, the values that exclude a row."
    )
    window: float = Field(48.0, gt=0, description="Hours before the prediction time of which series are read (meds).")


class Task(Section):
    """What is predicted and how it is scored."""

    kind: Literal["binary", "multiclass"] = Field(description="Two classes (one logit), or several.")
    target: str = Field("label", min_length=1, description="Outcome; a registered data set may offer several.")
    positive: str | None = Field(
        None, min_length=1, description="Label that counts as positive in a binary task; all others are negative."
    )
    metric: Metric = Field("accuracy", description="Headline metric; select and test report all that apply.")


class Modality(Section):
    """One kind of input of a sample and how it is encoded.

    Two modalities with one ``source`` are two views of the same input and count as one modality when
    modalities are counted, left out or named.
    """

    kind: Kind = Field(description="What the raw input is.")
    encoder: Annotated[Names, BeforeValidator(_one_or_many), Field(min_length=1)] = Field(
        description="Encoder, or a list: then each layer's encoder is searched."
    )
    levels: int = Field(2, ge=0, le=12, description="Encoder layers; levels 0..levels are fusion points.")
    source: str | None = Field(
        None, min_length=1, description="Name of the input in the data set; default: the modality's name."
    )
    view: View | None = Field(
        None, description="Form in which the encoder receives the input; default: what it asks for."
    )
    steps: int = Field(
        24, ge=1, le=4096, description="Time bins (timeseries), or the most tokens kept (codes, text, audio)."
    )
    columns: Names | None = Field(None, description="Columns or variables of this modality in tables.")
    categorical: Names = Field((), description="Columns (tabular) to read as categories.")
    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="Plausible [low, high] per column or variable; values outside count as missing.",
    )
    log: Names = Field((), description="Columns or variables that are taken as log(1 + x).")
    policy: Literal["joint", "frozen", "finetune", "adapt"] = Field(
        "joint",
        description="Encoder trained with the rest; or pretrained alone, then frozen, fine-tuned or adapted.",
    )
    weights: str | None = Field(
        None, description="safetensors with pretrained encoder weights (policy frozen, finetune, adapt)."
    )
    wide: bool = Field(
        False, description="Also a linear path from the input straight to the output (one row per sample)."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the encoder's input.")

    @field_validator("ranges")
    @classmethod
    def _low_first(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in value.items():
            if low >= high:
                raise ValueError(f"needs low < high for '{name}', given [{low:g}, {high:g}]")
        return value


class Gating(Section):
    """What the found network decides sample by sample, and how it learns to."""

    level: Literal["none", "modality", "node", "both"] = Field(
        "none", description="Gates on encoders of modalities, on fusion nodes with all that only they need, or both."
    )
    cost_weight: float = Field(0.1, ge=0, description="Nats of loss that running everything is worth.")
    relaxation: Literal["exact", "gumbel", "straight_through"] = Field(
        "exact", description="Gradient of a decision: of the mean over paths; of hard ones, noisy or not."
    )
    temperature: tuple[Annotated[float, Field(ge=0.1, le=10)], Annotated[float, Field(ge=0.1, le=10)]] = Field(
        (1.0, 0.5), description="Of the relaxation, at the first and the last epoch; from 0.1 up, so gradients live."
    )
    explore: float = Field(0.1, ge=0, le=1, description="Share of samples on random paths in the second stage.")
    distill: float = Field(0.5, ge=0, le=1, description="Share of a path's loss that is the distance to the full path.")
    epochs: int = Field(15, ge=1, description="Epochs of the second stage, network and gates together.")
    rate: float = Field(2e-2, gt=0, description="Learning rate of the gates; the network takes a third of its own.")


class Fusion(Section):
    """What the fusion nodes may be."""

    nodes: int = Field(2, ge=1, le=8, description="Most fusion nodes in a chain or tree.")
    width: int = Field(32, ge=2, le=4096, description="Channels D of every feature and node.")
    inputs: Annotated[tuple[int, int], BeforeValidator(_one_or_two)] = Field(
        (2, 2), description="Fewest and most inputs of a node; one number sets both."
    )
    operators: Names = Field(
        ("additive", "multiplicative", "gated", "low_rank_tensor", "cross_attention", "mlp"),
        min_length=1,
        description="Fusion operators that a node may use.",
    )
    gates: Gating = Field(Gating(), description="What the found network decides sample by sample.")

    @field_validator("inputs")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 2 <= low <= high <= 16:
            raise ValueError(f"needs 2 <= fewest <= most <= 16, given [{low}, {high}]")
        return value


class Robustness(Section):
    """So that the network bears missing modalities and noise later."""

    missing: float = Field(
        0.0, ge=0, lt=1, description="Chance that a sample loses a modality, each for itself; it keeps at least one."
    )
    noise: float = Field(
        0.0, ge=0, description="Standard deviation of the noise on preprocessed numbers, which have deviation 1."
    )
    rank: float = Field(0.0, ge=0, description="Weight of the penalty on the rank of the outer product of modalities.")


class Blending(Section):
    """Gradient blending."""

    kind: Literal["offline", "online"] = Field(
        description="Weights of the losses measured once before training, or again and again."
    )
    epochs: int | None = Field(
        None, ge=1, description="Epochs of one measurement; default: all of training (offline), 5 (online)."
    )


class Modulation(Section):
    """Balance of the encoders' gradients."""

    kind: Literal["ogm_ge"] = Field(description="OGM-GE: encoders that are ahead are slowed, noise is added.")
    strength: float = Field(0.3, gt=0, le=10, description="How much an encoder that is ahead is slowed.")
    epochs: int | None = Field(None, ge=1, description="Only in the first so many epochs; default: in all.")


class Debias(Section):
    """Against a network that hears one modality alone."""

    kind: Literal["rubi", "functional_entropy"] = Field(description="Method.")
    weight: float | None = Field(
        None, gt=0, description="Weight of the method's own loss; default: 1 (rubi), 0.01 (functional_entropy)."
    )
    modalities: Names | None = Field(None, min_length=1, description="Modalities that it acts on; default: all.")


class WarmStart(Section):
    """Encoders learn alone first."""

    kind: Literal["unimodal"] = Field(description="Every encoder learns the label alone, all side by side.")
    epochs: int = Field(5, ge=1, description="Epochs of it, out of training.epochs and search.epochs.")


class Adaptation(Section):
    """Low-rank updates of weights that were trained before (LoRA)."""

    rank: int = Field(4, ge=1, description="Rank of the update of each weight matrix.")
    alpha: float = Field(8.0, gt=0, description="The update is scaled by alpha / rank.")


class Training(Section):
    """How a network is trained: the supernet, every candidate and every baseline alike."""

    epochs: int = Field(30, ge=1, description="Most epochs of a stand-alone training; the best on select is kept.")
    patience: int = Field(8, ge=1, description="Epochs without a better select loss before training stops.")
    batch_size: int = Field(128, ge=1, description="Samples per step.")
    learning_rate: float = Field(2e-3, gt=0, description="Of AdamW, for all weights.")
    weight_decay: float = Field(1e-2, ge=0, description="Of AdamW, decoupled.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout on every fusion point's feature and on the fused one.")
    averaging: float = Field(
        0.0, ge=0, lt=1, description="Decay per step of the averaged weights that are scored and kept; 0 = off."
    )
    refit: bool = Field(
        True, description="Train the final networks once more on train + alpha + select, for the epochs found."
    )
    finetune_rate: float = Field(
        0.1, gt=0, le=1, description="Factor on the learning rate of encoders with policy finetune."
    )
    adapt: Adaptation = Field(Adaptation(), description="Low-rank updates of encoders with policy adapt.")
    robustness: Robustness = Field(Robustness(), description="Missing modalities, noise, tensor rank.")
    blending: Annotated[Blending | None, BeforeValidator(_kind)] = Field(
        None, description="Gradient blending: one loss per modality beside the fused one, weighted as measured."
    )
    modulation: Annotated[Modulation | None, BeforeValidator(_kind)] = Field(
        None, description="Balance of the encoders' gradients (ogm_ge)."
    )
    debias: Annotated[Debias | None, BeforeValidator(_kind)] = Field(
        None, description="Against one modality that is heard alone (rubi, functional_entropy)."
    )
    warm_start: Annotated[WarmStart | None, BeforeValidator(_kind)] = Field(
        None, description="Encoders learn the label alone first (unimodal)."
    )


class Cost(Section):
    """What gradient searches pay for a network, beside how badly it predicts."""

    measure: Literal["latency_ms", "macs", "parameters"] = Field(
        "latency_ms", description="What counts as cost; latency is measured on this machine at the start of a run."
    )
    weight: float = Field(0.0, ge=0, description="Nats of loss that an undecided mixture's cost is worth; 0 = off.")
    target: float | None = Field(
        None, gt=0, description="Cost up to which nothing is paid (milliseconds per batch, multiply-adds, weights)."
    )
    batch_size: int = Field(64, ge=1, description="Samples per pass for which latency is measured.")


class Budget(Section):
    """How long a method may search; at most one limit. Choosing, final networks and baselines come on top."""

    seconds: float | None = Field(None, gt=0, description="Wall-clock seconds.")
    epochs: float | None = Field(None, gt=0, description="Passes of a network, supernet or head over the samples.")
    trainings: float | None = Field(None, gt=0, description="Full trainings, each of training.epochs epochs.")

    @model_validator(mode="after")
    def _one(self) -> Budget:
        given = [name for name in ("seconds", "epochs", "trainings") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"given {' and '.join(given)}; keep one")
        return self


class Pretrain(Section):
    """Encoders learn without labels before the search."""

    objective: str = Field(description="Registered objective, such as align or mask.")
    epochs: int = Field(20, ge=1, description="Epochs of it, on train and alpha.")
    mask: float | None = Field(
        None, gt=0, lt=1, description="Share that masked modelling hides; default: as the objective's source has it."
    )


class Search(Section):
    """How the architecture is found."""

    method: str = Field("default", description="Registered search method.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings that only this method has ('fusionnas list methods')."
    )
    budget: Budget = Field(Budget(), description="Limit of the search; default: none.")
    epochs: int = Field(20, ge=1, description="Epochs of the supernet.")
    seeds: int = Field(3, ge=1, description="Seeds of the final networks and baselines.")
    warmup: float = Field(0.5, ge=0, le=1, description="Share of the epochs before architecture parameters move.")
    alpha_rate: float = Field(3e-3, gt=0, description="Learning rate of architecture parameters.")
    data_parallel: int = Field(
        1, ge=1, description="Processes (ranks) that train the supernet together, each on its share of every batch."
    )
    order: Literal["first", "second", "finite_difference"] = Field(
        "first", description="Of the gradient of architecture parameters; second is exact, the last as in DARTS."
    )
    diversity: float = Field(
        0.0, ge=0, description="Weight in their loss of the chance that two slots of a node read one modality."
    )
    objective: Annotated[Names, BeforeValidator(_one_or_many)] = Field(
        (), description="One metric and any costs, optimised together; none: prediction alone."
    )
    constraints: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="Most that the network may cost, by the cost's name."
    )
    decoder: str | None = Field(
        None, description="How a relaxed method makes finalists of what it learned; default: the method's own way."
    )
    heads: int = Field(
        800, ge=1, description="Discrete heads trained stacked (default method); all, if the space is smaller."
    )
    pool: Literal["sample", "evolve", "all"] = Field(
        "sample", description="Where more heads are possible than search.heads: a sample, generations, or all of them."
    )
    stacking: bool | Literal["auto"] = Field(
        "auto", description="Heads trained stacked or one by one; auto: what is faster here, measured per operator."
    )
    cache_memory: float = Field(
        1.0, ge=0, description="GB of encoded features held in memory; beyond it they are read from disk."
    )
    rungs: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (3, 5), min_length=1, description="Epochs of each halving rung."
    )
    eta: int = Field(6, ge=2, description="One in eta survives a rung.")
    rescore: int = Field(48, ge=1, description="Survivors trained again from fresh seeds.")
    finalists: int = Field(8, ge=1, description="Architectures that the method proposes for end-to-end training.")
    folds: int = Field(5, ge=1, le=20, description="Held-out parts on which the best are compared; 1: select alone.")
    random: int = Field(2, ge=0, description="Random architectures among the baselines.")
    cost: Cost = Field(Cost(), description="What cost counts for relaxed methods, and how much.")
    architectures: Names = Field(
        (), description="Files with architectures that join the finalists, such as a run's architecture.json."
    )


class Execution(Section):
    """What one training may use; one that goes beyond it is recorded as failed and left out."""

    seconds: float | None = Field(None, gt=0, description="Of wall clock per training; needs worker processes.")
    memory: float | None = Field(None, gt=0, description="GB that a training may hold; needs worker processes.")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="Where trainings compute; auto: GPU or else CPU.")
    gpus: float = Field(0.0, ge=0, le=1, description="Share of a GPU per training on a Ray cluster.")


class Range(Section):
    """Numbers that a study may try; whole ones where both ends are whole."""

    low: int | float = Field(description="Least value.")
    high: int | float = Field(description="Greatest value.")
    log: bool = Field(False, description="Drawn by order of magnitude.")

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} has to be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, given {self.low}")
        return self


Choices = Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)]


class SpaceFile(Section):
    """A whole space file."""

    name: Name = Field(description="Short name; run folders are called after it.")
    data: str | Files = Field("simulated_icu", description="Registered data set, or a mapping that describes files.")
    task: Task = Field(description="What is predicted and how it is scored.")
    modalities: dict[Name, Modality] = Field(min_length=1, description="Inputs by name, in declared order.")
    fusion: Fusion = Field(Fusion(), description="What the fusion nodes may be.")
    training: Training = Field(Training(), description="How every network is trained.")
    pretrain: Pretrain | None = Field(None, description="Encoders learn without labels before the search.")
    search: Search = Field(Search(), description="How the architecture is found.")
    execution: Execution = Field(Execution(), description="What one training may use.")
    study: dict[str, Range | Choices] = Field({}, description="Keys that `search --trials` varies, and their ranges.")
    plugins: Names = Field((), description="Python files with own operators, encoders or data sets.")
