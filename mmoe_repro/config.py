"""The settings of a sweep: their types, the checks that need more than a type, and what makes a cell.

No torch here: `--help`, `--cfg` and a wrong key are answered at once.
"""

import hashlib
import importlib.util
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from mmoe_repro.errors import UsageError, nearest

#: Seeds from here on are for choosing a learning rate; reported runs stay below.
TUNING_SEED = 1_000_000


@dataclass
class SyntheticConfig:
    """The `data` group's built-in law; fields as in `mmoe_repro.synthetic.SyntheticLaw`."""

    _target_: str = "mmoe_repro.synthetic.SyntheticLaw"
    dimension: int = 100
    c: float = MISSING
    alpha: list[float] = MISSING
    beta: list[float] = MISSING
    noise_variance: float = MISSING
    label_variance: float | None = MISSING
    correlation: float = 0.5
    examples: int | None = None
    tasks: int = 2


@dataclass
class _ModelConfig:
    """What the built-in models share; each model's own fields are as in its class."""

    _target_: str = MISSING
    features: int = MISSING
    tasks: int = MISSING
    bias: bool = MISSING
    activation: str = MISSING
    initializer: str = MISSING
    gain: float = MISSING
    weights: int | None = None
    gives_way: list[str] = MISSING


@dataclass
class BottomConfig(_ModelConfig):
    """`SharedBottom` and `SingleTask`."""

    bottom: list[int] = MISSING
    tower: list[int] = MISSING


@dataclass
class L2ConstrainedConfig(BottomConfig):
    """`L2Constrained`."""

    alpha: float = MISSING


@dataclass
class CrossStitchConfig(BottomConfig):
    """`CrossStitch`."""

    same: float = MISSING


@dataclass
class TensorFactorizationConfig(BottomConfig):
    """`TensorFactorization`."""

    ranks: list[int] = MISSING


@dataclass
class MoEConfig(_ModelConfig):
    """`MoE`."""

    experts: int = MISSING
    expert: list[int] = MISSING


@dataclass
class MixtureConfig(MoEConfig):
    """`OMoE` and `MMoE`."""

    tower: list[int] = MISSING


@dataclass
class StackedMoEConfig(MixtureConfig):
    """`StackedMoE`."""

    levels: int = MISSING
    own_gates: bool = MISSING


@dataclass
class SparseMoEConfig(MixtureConfig):
    """`SparseMoE`."""

    k: int = MISSING
    noisy: bool = MISSING
    w_importance: float = MISSING
    w_load: float = MISSING


@dataclass
class CGCConfig(_ModelConfig):
    """`CGC`."""

    own_experts: int = MISSING
    shared_experts: int = MISSING
    expert: list[int] = MISSING
    tower: list[int] = MISSING


@dataclass
class PLEConfig(CGCConfig):
    """`PLE`."""

    levels: int = MISSING


#: Schemas of the built-in models, by option of the `model` group.
_MODELS: dict[str, type[_ModelConfig]] = {
    "single_task": BottomConfig,
    "shared_bottom": BottomConfig,
    "l2_constrained": L2ConstrainedConfig,
    "cross_stitch": CrossStitchConfig,
    "tensor_factorization": TensorFactorizationConfig,
    "moe": MoEConfig,
    "omoe": MixtureConfig,
    "mmoe": MixtureConfig,
    "sparse_moe": SparseMoEConfig,
    "stacked_moe": StackedMoEConfig,
    "cgc": CGCConfig,
    "ple": PLEConfig,
}


@dataclass
class Adam:
    """Settings of the optimiser (Kingma and Ba 2015), named as in `torch.optim.Adam`."""

    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = False
    amsgrad: bool = False


@dataclass
class Training:
    """How a run is trained; the `training` group.

    Attributes:
        steps: optimiser updates.
        batch_size: examples per step.
        learning_rate: of Adam.
        window: the training loss is kept as its mean over so many steps; divides `steps`.
        warmup: the learning rate rises evenly over so many steps at first; 0 for none.
        device: `cpu`, `cuda`, or `auto` for cuda where there is one. Each has its own generator of examples.
        optimizer: the rest of Adam's settings.
    """

    steps: int = 10_000
    batch_size: int = 256
    learning_rate: float = 0.01
    window: int = 100
    warmup: int = 0
    device: str = "cpu"
    optimizer: Adam = field(default_factory=Adam)


@dataclass
class SweepConfig:
    """All settings of one job. `data` and `model` are open, for one's own laws and architectures."""

    data: Any = MISSING
    model: Any = MISSING
    training: Training = MISSING
    claims: Any = MISSING
    runs: int = 20
    seed: int = 0
    name: str = "sweep"
    tuning_runs: int = 0
    data_seed: int | None = None
    init_seed: int | None = None
    crossed: int | None = None
    paper_loss: float = 0.5
    workers: int | None = None


@dataclass
class CorrelationConfig:
    """All settings of `mmoe-repro correlation`."""

    data: Any = MISSING
    correlations: list[float] = MISSING
    trials: int = MISSING
    points: int = MISSING
    seed: int = 0
    name: str = "correlation"


@dataclass
class RecoverConfig:
    """All settings of `mmoe-repro recover`."""

    claims: Any = MISSING
    starts: int = MISSING
    trials: int = MISSING
    confirmed: int = MISSING
    runs: int = MISSING
    seed: int = 0
    workers: int | None = None
    name: str = "recovery"


@dataclass
class ReportConfig:
    """All settings of `mmoe-repro report`."""

    claims: Any = MISSING
    results: str = MISSING
    beside: list[str] = field(default_factory=list)
    fail_on: str | None = None


def _by(key: Any, values: DictConfig, otherwise: Any) -> Any:
    """`${by:key,{a: 1, b: 2},3}` in YAML: the value of the key, such as a learning rate for each model."""
    return values.get(key, otherwise)


def register() -> None:
    """Make the schemas, and the resolver `by`, known to Hydra."""
    OmegaConf.register_new_resolver("by", _by, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=SweepConfig)
    store.store(name="correlation_schema", node=CorrelationConfig)
    store.store(name="recover_schema", node=RecoverConfig)
    store.store(name="report_schema", node=ReportConfig)
    store.store(name="synthetic_schema", node=SyntheticConfig)
    for name, schema in _MODELS.items():
        store.store(name=f"{name}_schema", node=schema)


def folder() -> Path:
    """The `conf` folder: the packaged one, or in a checkout the repository's."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "conf"


@dataclass(frozen=True)
class Cell:
    """One setting; its runs differ only in their seed.

    Attributes:
        model: the choice of the `model` group.
        data: the choice of the `data` group.
        settings: everything that decides a run's result besides its seed: `model`, `data`, `training`,
            `data_seed`, `init_seed`, `crossed` if runs are, and for one's own classes `sources`, hashes of their
            modules.
    """

    model: str
    data: str
    settings: dict[str, Any]

    @property
    def device(self) -> str:
        """Where its runs are trained and their examples drawn, `cpu` or `cuda`."""
        return str(self.settings["training"]["device"])

    @property
    def identity(self) -> str:
        """A readable name and a hash of all settings; the name of the cell's folder."""
        text = json.dumps(asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        correlation, rate = (
            self.settings["data"].get("correlation"),
            self.settings["training"]["learning_rate"],
        )
        parts = [self.model, self.data, f"p{correlation}", f"lr{rate}"]
        return re.sub(r"[^\w.+-]", "_", "-".join(parts)) + f"-{digest}"


@dataclass(frozen=True)
class Job:
    """What one Hydra job asks for: runs of one cell.

    Attributes:
        cell: the setting.
        seeds: of the reported runs.
        tuning_seeds: of the runs that only serve to choose the learning rate.
        results: the sweep's folder.
        workers: processes; None for one per core.
        overrides: what the job was told, by key.
        claims: by what the paper's claims are judged; see `conf/claims/paper.yaml`.
        paper_loss: how many squared errors a loss of the paper is taken to be.
    """

    cell: Cell
    seeds: range
    tuning_seeds: range
    results: Path
    workers: int | None
    overrides: dict[str, str]
    claims: dict[str, Any]
    paper_loss: float


def check(key: str, value: Any, holds: bool, allowed: str) -> None:
    """Refuse a value out of range.

    Raises:
        UsageError: it does not hold.
    """
    if not holds:
        raise UsageError(f"{key}={value}: must be {allowed}")


def check_name(name: str) -> None:
    """Refuse a name that would leave the folder of results."""
    check("name", name, bool(re.fullmatch(r"\w[\w.-]*", name)), "a plain folder name")


def _check_keys(config: DictConfig) -> None:
    """Refuse keys that `+` added and nothing reads."""
    for prefix, node, schema in (
        ("", config, SweepConfig),
        ("training.", config.training, Training),
        ("training.optimizer.", config.training.optimizer, Adam),
    ):
        allowed = [known.name for known in fields(schema)]
        for key in map(str, node):
            if key not in allowed and key != "hydra":
                raise UsageError(f"{prefix}{key}: no such setting; {nearest(key, allowed)}")


def _check_ranges(config: DictConfig) -> None:
    training, optimizer = config.training, config.training.optimizer
    check("runs", config.runs, config.runs >= 1, "at least 1")
    check("tuning_runs", config.tuning_runs, config.tuning_runs >= 0, "zero or more")
    in_range = config.seed >= 0 and config.seed + config.runs <= TUNING_SEED
    check(
        "seed",
        config.seed,
        in_range,
        f"at least 0, seed + runs at most {TUNING_SEED:,} (tuning starts there)",
    )
    for key in ("data_seed", "init_seed"):
        check(key, config[key], config[key] is None or config[key] >= 0, "at least 0, or null")
    crossed = config.crossed
    free = config.data_seed is None and config.init_seed is None
    check("crossed", crossed, crossed is None or (crossed >= 2 and free), "at least 2 without other seeds, or null")
    check("workers", config.workers, config.workers is None or config.workers >= 1, "at least 1, or null")
    paper_loss = config.paper_loss
    check("paper_loss", paper_loss, 0 < paper_loss < math.inf, "a positive number")
    check_name(config.name)
    check("training.steps", training.steps, training.steps >= 1, "at least 1")
    check("training.batch_size", training.batch_size, training.batch_size >= 1, "at least 1")
    rate = training.learning_rate
    check("training.learning_rate", rate, 0 < rate < math.inf, "a positive number")
    divides = training.window >= 1 and training.steps % training.window == 0
    check("training.window", training.window, divides, f"a divisor of training.steps={training.steps}")
    check("training.warmup", training.warmup, training.warmup >= 0, "zero or more")
    device = training.device
    check("training.device", device, device in ("auto", "cpu", "cuda"), "auto, cpu or cuda")
    betas = list(optimizer.betas)
    check("training.optimizer.betas", betas, len(betas) == 2 and all(0 <= b < 1 for b in betas), "two in [0, 1)")
    check("training.optimizer.eps", optimizer.eps, 0 <= optimizer.eps < math.inf, "zero or positive")
    decay = optimizer.weight_decay
    check("training.optimizer.weight_decay", decay, 0 <= decay < math.inf, "zero or positive")


def _is_own(node: Any) -> bool:
    target = node.get("_target_") if isinstance(node, dict) else None
    return isinstance(target, str) and not target.startswith("mmoe_repro.")


def _source(target: str) -> str | None:
    """A hash of the module that a `_target_` outside this package lies in, so that edited code makes another cell."""
    try:
        spec = importlib.util.find_spec(target.rpartition(".")[0])
    except (ImportError, ValueError):
        return None  # it is refused with its reason when it is made
    origin = Path(spec.origin) if spec is not None and spec.origin is not None else None
    if origin is None or not origin.is_file():
        return None
    return hashlib.sha256(origin.read_bytes()).hexdigest()[:12]


def cell_settings(config: DictConfig) -> dict[str, Any]:
    """The part of a composed config that makes a cell; of `model.weights` the widths that it leads to.

    Raises:
        UsageError: no widths lead to it.
    """
    keys = ["model", "data", "training", "data_seed", "init_seed", *(["crossed"] if config.crossed else [])]
    kept = OmegaConf.masked_copy(config, keys)
    settings: Any = OmegaConf.to_container(kept, resolve=True, throw_on_missing=True)
    if isinstance(model := settings["model"], dict):
        weights, gives_way = model.pop("weights", None), model.pop("gives_way", [])
        if weights is not None:
            from mmoe_repro.budget import fit_widths

            settings["model"] = fit_widths(model, weights, gives_way)
    return dict(settings)


def read_claims(config: DictConfig) -> dict[str, Any]:
    """Read by what the claims are judged.

    Raises:
        UsageError: a threshold is out of range.
    """
    claims: Any = OmegaConf.to_container(config.claims, resolve=True, throw_on_missing=True)
    check("claims.level", claims["level"], 0 < claims["level"] < 1, "between 0 and 1")
    for name, claim in claims.items():
        for key in ("ratio", "margin", "best_of") if isinstance(claim, dict) else ():
            least = 1 if key != "ratio" else 0
            value = claim.get(key, 1)
            number = isinstance(value, int | float) and least <= value < math.inf and value > 0
            check(
                f"claims.{name}.{key}", value, number, f"a number, at least {least}" if least else "a positive number"
            )
    return dict(claims)


def read_job(config: DictConfig, choices: dict[str, str], results: Path, overrides: list[str]) -> Job:
    """Check a composed config and read what its job asks for.

    Args:
        config: the job's settings.
        choices: the chosen option of each group.
        results: the sweep's folder.
        overrides: the job's overrides, `key=value` each.

    Raises:
        UsageError: a value is out of range.
    """
    for group in ("model", "data"):
        if not isinstance(choices.get(group), str):
            raise UsageError(f"{group}={choices.get(group)}: must be the name of one option; a comma list sweeps")
    _check_keys(config)
    _check_ranges(config)
    settings = cell_settings(config)
    sources = {node["_target_"]: _source(node["_target_"]) for node in settings.values() if _is_own(node)}
    if sources:
        settings["sources"] = sources
    cell = Cell(choices["model"], choices["data"], settings)
    return Job(
        cell=cell,
        seeds=range(config.seed, config.seed + config.runs),
        tuning_seeds=range(TUNING_SEED, TUNING_SEED + config.tuning_runs),
        results=results,
        workers=config.workers,
        overrides=dict(item.lstrip("+").split("=", 1) for item in overrides if "=" in item),
        claims=read_claims(config),
        paper_loss=config.paper_loss,
    )
