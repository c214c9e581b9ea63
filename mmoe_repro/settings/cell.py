"""What makes a cell: the setting that its runs share, and the name under which they are stored."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmoe_repro.settings.hydra_targets import is_own
from mmoe_repro.settings.training import Adam, Training

#: Settings of models that came after results were kept, and the values at which a cell is what it was without them.
_NEUTRAL = {"output_gain": 1.0, "gate_gain": 1.0}
#: What records that lack a setting of a built-in model were made with.
_BEFORE = {"activation": "relu", **_NEUTRAL}
#: Classes that have moved since results were kept, with the names that identities go on using.
_FORMER_TARGETS = {"mmoe_repro.data.SyntheticLaw": "mmoe_repro.synthetic.SyntheticLaw"}
_PRESENT_TARGETS = {former: present for present, former in _FORMER_TARGETS.items()}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys.

    >>> flat({"rate": 0.1, "adam": {"eps": 1e-08}}, "training.")
    {'training.rate': 0.1, 'training.adam.eps': 1e-08}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


@dataclass(frozen=True)
class Option:
    """The chosen option of a config group that a user may extend, such as `model=mmoe`.

    Attributes:
        name: of the option.
        settings: what it came to, a `_target_` and what that is made with.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Law(Option):
    """The chosen option of the `data` group.

    Attributes:
        fitted_to: the paper's figures that the law and its training were fitted to, in words; None for none.
    """

    fitted_to: str | None = None

    @property
    def correlation(self) -> float | None:
        """The task correlation; None for a law that has none."""
        return self.settings.get("correlation")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One setting; its runs differ only in their seed.

    Attributes:
        model, data: the chosen options.
        training: how the runs are trained.
        data_seed, init_seed: fix the data and the initial weights of all runs; None for each run's own seed.
        crossed: K, if K runs share their data and each K-th its initial weights.
        sources: hashes of a user's own files that decide what model and law do, by their names.
        recorded: the identity under which an earlier version stored it; None for that of these settings.
    """

    model: Option
    data: Law
    training: Training
    data_seed: int | None = None
    init_seed: int | None = None
    crossed: int | None = None
    sources: Mapping[str, str | None] = field(default_factory=dict)
    recorded: str | None = None

    @property
    def identity(self) -> str:
        """A readable name and a hash of all settings; the name of the cell's folder."""
        if self.recorded is not None:
            return self.recorded
        digest = hashlib.sha256(json.dumps(self._hashed(), sort_keys=True).encode()).hexdigest()[:12]
        parts = [self.model.name, self.data.name, f"p{self.data.correlation}", f"lr{self.training.learning_rate}"]
        return re.sub(r"[^\w.+-]", "_", "-".join(parts)) + f"-{digest}"

    def record(self) -> dict[str, Any]:
        """What files keep of it; `read_record` makes it again."""
        settings: dict[str, Any] = {
            "model": dict(self.model.settings),
            "data": dict(self.data.settings),
            "training": asdict(self.training),
            "data_seed": self.data_seed,
            "init_seed": self.init_seed,
        }
        if self.crossed is not None:
            settings["crossed"] = self.crossed
        if self.sources:
            settings["sources"] = dict(self.sources)
        record = {"model": self.model.name, "data": self.data.name, "settings": settings}
        return record if self.data.fitted_to is None else {**record, "fitted_to": self.data.fitted_to}

    def _hashed(self) -> dict[str, Any]:
        """The record as it was when results were first kept."""
        record = self.record()
        record.pop("fitted_to", None)  # a run does not depend on it
        for group in ("model", "data"):
            settings = record["settings"][group]
            if not is_own(settings):
                kept = {key: value for key, value in settings.items() if (key, value) not in _NEUTRAL.items()}
                target = str(kept.get("_target_"))
                record["settings"][group] = {**kept, "_target_": _FORMER_TARGETS.get(target, target)}
        return record


def read_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `Cell` from what `Cell.record` kept of it, by this version or an earlier one."""
    settings = record["settings"]
    training = {"warmup": 0, **settings["training"]}  # results were kept before there was a warm-up
    model = dict(settings["model"])
    if not is_own(model):
        model |= {key: value for key, value in _BEFORE.items() if key not in model}
    data = dict(settings["data"])
    data["_target_"] = _PRESENT_TARGETS.get(data["_target_"], data["_target_"])
    return {
        "model": Option(record["model"], model),
        "data": Law(record["data"], data, record.get("fitted_to")),
        "training": Training(**{**training, "optimizer": Adam(**training["optimizer"])}),
        **{key: settings.get(key) for key in ("data_seed", "init_seed", "crossed")},
        "sources": settings.get("sources") or {},
    }
