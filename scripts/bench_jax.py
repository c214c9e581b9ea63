"""The same population in JAX, `jit(vmap(scan))`: MMoE, Adam and the default data law, for `bench.py` to time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mmoe_repro.synthetic import SyntheticLaw


def population(law: SyntheticLaw, runs: int, batch: int, steps: int) -> Callable[[], int]:
    """Make work that trains `runs` MMoE runs for `steps` steps and returns the run-steps done; it is compiled here."""
    alpha, beta = jnp.array(law.alpha), jnp.array(law.beta)
    scale = (law.variance / law.raw_variance) ** 0.5
    features, tasks, experts, units, tower = law.dimension, law.tasks, 8, 16, 8
    glorot = jax.nn.initializers.glorot_uniform(in_axis=-2, out_axis=-1, batch_axis=0)

    def initial(key: Any) -> dict[str, Any]:
        keys = jax.random.split(key, 4)
        return {
            "experts": glorot(keys[0], (experts, features, units)).transpose(1, 0, 2).reshape(features, -1),
            "experts_bias": jnp.zeros(experts * units),
            "gates": glorot(keys[1], (tasks, features, experts)).transpose(1, 0, 2).reshape(features, -1),
            "towers": glorot(keys[2], (tasks, units, tower)),
            "towers_bias": jnp.zeros((tasks, tower)),
            "outputs": glorot(keys[3], (tasks, tower, 1))[..., 0],
            "outputs_bias": jnp.zeros(tasks),
        }

    def predict(p: dict[str, Any], x: Any) -> Any:
        hidden = jax.nn.relu(x @ p["experts"] + p["experts_bias"]).reshape(-1, experts, units)
        gates = jax.nn.softmax((x @ p["gates"]).reshape(-1, tasks, experts), -1)
        mixtures = jnp.einsum("bke,beh->bkh", gates, hidden)
        tops = jax.nn.relu(jnp.einsum("bkh,kht->bkt", mixtures, p["towers"]) + p["towers_bias"])
        return jnp.einsum("bkt,kt->bk", tops, p["outputs"]) + p["outputs_bias"]

    def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
        task_losses = ((predict(p, x) - y) ** 2).mean(0)
        return task_losses.sum(), task_losses

    def step(carry: Any, _: None) -> Any:
        p, m, v, t, key, weights = carry
        key, of_x, of_noise = jax.random.split(key, 3)
        x = jax.random.normal(of_x, (batch, features))
        z = x @ weights.T
        y = z + jnp.sin(z[..., None] * alpha + beta).sum(-1)
        y = y + law.noise_variance**0.5 * jax.random.normal(of_noise, y.shape)
        gradient, losses = jax.grad(loss, has_aux=True)(p, x, (y - law.raw_mean) * scale)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
        rate, second = 0.01 / (1 - 0.9**t), 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v / second) + 1e-8), p, m, v)
        return (p, m, v, t, key, weights), losses

    def start(key: Any) -> Any:
        of_weights, of_model, key = jax.random.split(key, 3)
        frame = jnp.linalg.qr(jax.random.normal(of_weights, (features, tasks)))[0].T
        other = law.correlation * frame[0] + (1 - law.correlation**2) ** 0.5 * frame[1]
        p = initial(of_model)
        zeros = jax.tree.map(jnp.zeros_like, p)
        return p, zeros, zeros, jnp.float32(0), key, law.c * jnp.stack([frame[0], other])

    train = jax.jit(jax.vmap(lambda carry: jax.lax.scan(step, carry, None, length=steps)))
    state = [jax.vmap(start)(jax.random.split(jax.random.PRNGKey(0), runs))]

    def work() -> int:
        state[0], losses = train(state[0])
        losses.block_until_ready()
        return runs * steps

    work()
    return work
