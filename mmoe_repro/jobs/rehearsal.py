"""Own code run once before anything else, for what it loads."""

import json
from contextlib import suppress
from typing import Any

from mmoe_repro.data.law import make_law
from mmoe_repro.data.normals import UNIT
from mmoe_repro.data.streams import Streams
from mmoe_repro.processes import one_thread
from mmoe_repro.settings.hydra_targets import make
from mmoe_repro.settings.own_code import Seen, sources, watching
from mmoe_repro.training.population import build_model
from mmoe_repro.training.run_state import example_inputs, in_evaluation, in_training

_seen: dict[str, tuple[Seen, dict[str, str]]] = {}


def sources_of(model: Any, data: Any) -> dict[str, str]:
    """Hashes of a user's own files that decide what the model and the law of these settings do, by their names.

    Of code and of data. What fails here is refused with its reason by the checks.
    """
    key = json.dumps([model, data], sort_keys=True, default=str)
    if key in _seen:
        seen, hashes = _seen[key]
        if sources([model, data], seen) == hashes:  # else the code was edited, and may load other files
            return hashes
    with watching() as seen, one_thread():
        _rehearse(model, data)
    _seen[key] = seen, sources([model, data], seen)
    return _seen[key][1]


def _rehearse(model: Any, data: Any) -> None:
    """Make a law and a model, and ask of them what training and evaluation do."""
    features = 1
    with suppress(Exception):
        law = make_law("", data)
        features = law.dimension
        Streams(law, [0], UNIT).take()
    with suppress(Exception):
        made = build_model(lambda: make("model", "", model), 0)
        inputs = example_inputs(made, features, UNIT)
        in_training(made, inputs)
        in_evaluation(made, inputs)
