"""The same population in JAX, `jit(vmap(scan))`: MMoE, Adam and the paper's data law, for `bench.py` to time."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mmoe_repro.data.synthetic import SyntheticLaw
from mmoe_repro.settings.cell import Cell

ACTIVATIONS = {"relu": jax.nn.relu, "leaky_relu": jax.nn.leaky_relu}
#: Draws a stack of matrices by the fans of one of them, as `mmoe_repro.models.initializers` does.
INITIALIZERS: dict[str, Callable[[Any, tuple[int, ...], int, int], Any]] = {
    "glorot_uniform": lambda key, shape, inputs, outputs: _uniform(key, shape, math.sqrt(6 / (inputs + outputs))),
    "he_normal": lambda key, shape, inputs, outputs: math.sqrt(2 / inputs) * jax.random.normal(key, shape),
    "torch": lambda key, shape, inputs, outputs: _uniform(key, shape, 1 / math.sqrt(inputs)),
    "normal": lambda key, shape, inputs, outputs: jax.random.normal(key, shape),
}

#: Weight and bias of maps side by side. The weight is `(count, inputs, outputs)`; if all read the same features, it is
#: `(inputs, count · outputs)`, so that one matrix product does. Without biases the layer has none.
Layer = dict[str, Any]


def _uniform(key: Any, shape: tuple[int, ...], bound: float) -> Any:
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def initial(key: Any, model: Mapping[str, Any], features: int, tasks: int) -> dict[str, list[Layer]]:
    """Initial weights of an MMoE, at the scales of its settings.

    Args:
        key: of the random numbers.
        model: the settings of the `model` group.
        features: inputs.
        tasks: outputs.

    Returns:
        layers of the experts, the gates, the towers, and their outputs.
    """

    def layers(count: int, inputs: int, widths: Sequence[int], gain: float, bias: bool, reads_x: bool) -> list[Layer]:
        nonlocal key
        made: list[Layer] = []
        for outputs in widths:
            key, of_weight, of_bias = jax.random.split(key, 3)
            weight = gain * INITIALIZERS[model["initializer"]](of_weight, (count, inputs, outputs), inputs, outputs)
            if reads_x and not made:
                weight = weight.transpose(1, 0, 2).reshape(inputs, count * outputs)
            made.append({"weight": weight})
            if bias:
                shape, bound = (count, outputs), 1 / math.sqrt(inputs)
                made[-1]["bias"] = (
                    _uniform(of_bias, shape, bound) if model["initializer"] == "torch" else jnp.zeros(shape)
                )
            inputs = outputs
        return made

    gain, bias, experts = model["gain"], model["bias"], model["experts"]
    expert, tower = model["expert"], model["tower"]
    return {
        "experts": layers(experts, features, expert, gain, bias, reads_x=True),
        "gates": layers(tasks, features, [experts], gain * model["gate_gain"], bias=False, reads_x=True),
        "towers": layers(tasks, expert[-1], tower, gain, bias, reads_x=False),
        "outputs": layers(tasks, tower[-1], [1], gain * model["output_gain"], bias, reads_x=False),
    }


def _apply(layer: Layer, count: int, x: Any) -> Any:
    """Map x `(batch, inputs)`, read by all, or `(batch, count, inputs)`, to `(batch, count, outputs)`."""
    if layer["weight"].ndim == 2:
        y = (x @ layer["weight"]).reshape(len(x), count, -1)
    else:
        y = jnp.einsum("bci,cio->bco", x, layer["weight"])
    return y + layer["bias"] if "bias" in layer else y


def predict(p: dict[str, list[Layer]], x: Any, model: Mapping[str, Any], tasks: int) -> Any:
    """Predictions `(batch, tasks)` for features x `(batch, features)`."""
    activate, experts = ACTIVATIONS[model["activation"]], x
    for layer in p["experts"]:
        experts = activate(_apply(layer, model["experts"], experts))
    gates = jax.nn.softmax(_apply(p["gates"][0], tasks, x), -1)
    units = jnp.einsum("bke,beh->bkh", gates, experts)
    for layer in p["towers"]:
        units = activate(_apply(layer, tasks, units))
    return _apply(p["outputs"][0], tasks, units)[..., 0]


def population(work: Cell, law: SyntheticLaw, runs: int, steps: int) -> Callable[[], int]:
    """Make work that trains runs of a cell for `steps` steps and returns the run-steps done; it is compiled here.

    Args:
        work: the cell; its model is an MMoE.
        law: its data law.
        runs: how many.
        steps: how many at a call.

    Raises:
        ValueError: the cell has a setting that is not written here.
    """
    model, training = work.model.settings, work.training
    optimizer, batch = training.optimizer, training.batch_size
    left_out = (training.warmup, optimizer.weight_decay, optimizer.amsgrad, law.examples)
    if model["_target_"] != "mmoe_repro.models.MMoE" or any(left_out):
        raise ValueError("JAX's population is of MMoE on fresh examples, with Adam without warm-up, decay and amsgrad")
    alpha, beta = jnp.array(law.alpha), jnp.array(law.beta)
    centre, scale = 0.0, 1.0
    if law.label_variance is not None:
        centre, scale = law.raw_mean, math.sqrt(law.label_variance / law.raw_variance)
    features, tasks = law.dimension, law.tasks
    beta1, beta2 = optimizer.betas

    def loss(p: dict[str, list[Layer]], x: Any, y: Any) -> Any:
        task_losses = ((predict(p, x, model, tasks) - y) ** 2).mean(0)
        return task_losses.sum(), task_losses

    def step(carry: Any, _: None) -> Any:
        p, m, v, t, key, weights = carry
        key, of_x, of_noise = jax.random.split(key, 3)
        x = jax.random.normal(of_x, (batch, features))
        z = x @ weights.T
        y = z + jnp.sin(z[..., None] * alpha + beta).sum(-1)
        y = y + law.noise_variance**0.5 * jax.random.normal(of_noise, y.shape)
        gradient, losses = jax.grad(loss, has_aux=True)(p, x, (y - centre) * scale)
        t = t + 1
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradient)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradient)
        rate, second = training.learning_rate / (1 - beta1**t), 1 - beta2**t
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v / second) + optimizer.eps), p, m, v)
        return (p, m, v, t, key, weights), losses

    def start(key: Any) -> Any:
        of_weights, of_model, key = jax.random.split(key, 3)
        frame = jnp.linalg.qr(jax.random.normal(of_weights, (features, tasks)))[0].T
        other = law.correlation * frame[0] + (1 - law.correlation**2) ** 0.5 * frame[1]
        p = initial(of_model, model, features, tasks)
        zeros = jax.tree.map(jnp.zeros_like, p)
        return p, zeros, zeros, jnp.float32(0), key, law.c * jnp.stack([frame[0], other])

    train = jax.jit(jax.vmap(lambda carry: jax.lax.scan(step, carry, None, length=steps)))
    state = [jax.vmap(start)(jax.random.split(jax.random.PRNGKey(0), runs))]

    def work_on() -> int:
        state[0], losses = train(state[0])
        losses.block_until_ready()
        return runs * steps

    work_on()
    return work_on
