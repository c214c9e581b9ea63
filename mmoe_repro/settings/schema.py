"""The types of all settings, by command and config group. Their values are in `conf` alone.

No torch here: `--help`, `--cfg` and a wrong key are answered at once.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from mmoe_repro.settings.training import Training


@dataclass
class SyntheticConfig:
    """The `data` group's built-in law; fields as in `mmoe_repro.data.SyntheticLaw`, and `fitted_to` of a cell's law."""

    _target_: str = "mmoe_repro.data.SyntheticLaw"
    dimension: int = MISSING
    c: float = MISSING
    alpha: list[float] = MISSING
    beta: list[float] = MISSING
    noise_variance: float = MISSING
    label_variance: float | None = MISSING
    correlation: float = MISSING
    examples: int | None = MISSING
    tasks: int = MISSING
    fitted_to: str | None = MISSING


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
    output_gain: float = MISSING
    gate_gain: float = MISSING
    weights: int | None = MISSING
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


def model_settings(option: str) -> list[str]:
    """The settings of a built-in model; none of a user's own, whose settings are not known here."""
    return [known.name for known in fields(_MODELS[option])] if option in _MODELS else []


@dataclass
class SweepConfig:
    """All settings of one job. `data` and `model` are open, for a user's own laws and architectures."""

    data: Any = MISSING
    model: Any = MISSING
    training: Training = MISSING
    claims: Any = MISSING
    runs: int = MISSING
    seed: int = MISSING
    name: str = MISSING
    tuning_runs: int = MISSING
    report_rates: str = MISSING
    data_seed: int | None = MISSING
    init_seed: int | None = MISSING
    crossed: int | None = MISSING
    paper_loss: float = MISSING
    train: bool = MISSING
    workers: int | None = MISSING
    runs_per_job: int | None = MISSING


@dataclass
class CorrelationConfig:
    """All settings of `mmoe-repro correlation`."""

    data: Any = MISSING
    correlations: list[float] = MISSING
    trials: int = MISSING
    points: int = MISSING
    seed: int = MISSING
    name: str = MISSING


@dataclass
class RecoverConfig:
    """All settings of `mmoe-repro recover`."""

    claims: Any = MISSING
    starts: int = MISSING
    trials: int = MISSING
    refined: int = MISSING
    confirmed: int = MISSING
    runs: int = MISSING
    seed: int = MISSING
    workers: int | None = MISSING
    name: str = MISSING


@dataclass
class AtlasConfig:
    """All settings of `mmoe-repro atlas`."""

    claims: Any = MISSING
    laws: list[Any] = MISSING
    settings: int = MISSING
    runs: int = MISSING
    workers: int | None = MISSING
    name: str = MISSING
    choices: Any = MISSING


@dataclass
class ReportConfig:
    """All settings of `mmoe-repro report`."""

    claims: Any = MISSING
    results: str = MISSING
    beside: list[str] = MISSING
    fail_on: str | None = MISSING
    formats: list[str] = MISSING
    open: bool = MISSING


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
    store.store(name="atlas_schema", node=AtlasConfig)
    store.store(name="report_schema", node=ReportConfig)
    store.store(name="synthetic_schema", node=SyntheticConfig)
    for name, schema in _MODELS.items():
        store.store(name=f"{name}_schema", node=schema)


def folder() -> Path:
    """The `conf` folder: the packaged one, or in a checkout the repository's."""
    packaged = Path(__file__).parents[1] / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"
