"""Neural networks: with `rlp.layers` the only file that imports flax.

A network is a pair of pure functions over its parameters, so that everything else is typed.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from rlp.nn.layers import Dense, LayerNorm, dropout, softmax
from rlp.types import Params, Segment

NormSide = Literal["none", "before", "after"]  # whether, and on which side of the activation
Init = Literal["flax", "torch", "rlkit", "edac", "orthogonal", "glorot"]  # see `_initializers`
Activation = Literal["relu", "gelu"]  # behind hidden layers; gelu as flax has it, by a tanh
ACTOR_BOUND, CRITIC_BOUND = 1e-3, 3e-3  # of the last layers' weights, in rlkit and EDAC's code


class Network(NamedTuple):
    """A network as two pure functions."""

    init: Callable[..., Params]  # (key, *inputs) -> params
    apply: Callable[..., jax.Array]  # (params, *inputs) -> output


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_dim: int
    layer_norm: NormSide
    weights: Init
    output_bound: float
    activation: Activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1]).T  # [I, rows]
        for layer, dim in enumerate(self.hidden_dims):
            x = Dense(dim, *_initializers(self.weights, len(x), dim), name=f"Dense_{layer}")(x)
            if self.layer_norm == "before":
                x = LayerNorm()(x)
            x = nn.relu(x) if self.activation == "relu" else nn.gelu(x)
            if self.layer_norm == "after":
                x = LayerNorm()(x)
        last = _initializers(self.weights, len(x), self.output_dim, self.output_bound)
        x = Dense(self.output_dim, *last, name="output")(x)
        return x.T.reshape(*batch, self.output_dim)


def _initializers(
    init: Init, num_inputs: int, num_outputs: int, last_bound: float | None = None
) -> tuple[nn.initializers.Initializer, nn.initializers.Initializer]:
    """Returns how the kernel and the bias of a layer are drawn.

    Args:
        init: `flax` is Linen's own (LeCun's normal, no bias); `torch` that of torch.nn.Linear;
            `rlkit` that of rlkit, whose fan in is the number of outputs, as its kernels are turned;
            `edac` that of EDAC's authors, ReBRAC's too; `orthogonal` that of IQL's authors;
            `glorot` that of FQL's authors, Glorot's uniform.
        num_inputs: of the layer.
        num_outputs: of the layer.
        last_bound: the largest weight of a last layer in rlkit's and EDAC's code.
    """
    zeros, small = nn.initializers.zeros, nn.initializers.constant(0.1)
    if init in ("rlkit", "edac"):
        if last_bound:
            return _uniform(last_bound), _uniform(last_bound)
        fan_in = num_outputs if init == "rlkit" else num_inputs
        return _uniform(fan_in**-0.5), small
    if init == "torch":
        return _uniform(num_inputs**-0.5), _uniform(num_inputs**-0.5)
    if init == "orthogonal":
        return _orthogonal(math.sqrt(2)), zeros
    if init == "glorot":
        return nn.initializers.glorot_uniform(), zeros
    return nn.linear.default_kernel_init, zeros


def _uniform(bound: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def _orthogonal(scale: float) -> nn.initializers.Initializer:
    """Returns what flax calls orthogonal, without LAPACK.

    On a CPU, jaxlib's QR factorisations wait for threads of the pool that they run on: several in
    one program, as of several layers, wait for each other for ever.
    """

    def init(key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
        num_inputs, num_outputs = shape
        tall = jax.random.normal(key, (max(shape), min(shape)), dtype)
        columns = _orthonormal(tall)
        return scale * (columns if num_inputs >= num_outputs else columns.T)

    return init


def _orthonormal(x: jax.Array) -> jax.Array:
    """Returns the columns of x [N, K], N >= K, orthonormal by Gram and Schmidt.

    It is the Q of x = QR where R has a positive diagonal. Each column is projected twice, which is
    as exact as float32 allows.
    """

    def add(columns: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        column = x[:, number]
        for _ in range(2):
            column -= columns @ (column @ columns)
        return columns.at[:, number].set(column / jnp.linalg.norm(column)), None

    columns, _ = jax.lax.scan(add, jnp.zeros_like(x), jnp.arange(x.shape[1]))
    return columns


def mlp(
    hidden_dims: tuple[int, ...],
    output_dim: int,
    init: Init = "flax",
    layer_norm: NormSide = "none",
    output_bound: float = ACTOR_BOUND,
    activation: Activation = "relu",
) -> Network:
    """Returns a perceptron [..., I] -> [..., output_dim], activations behind its hidden layers.

    Its parameters are `Dense_0`, `Dense_1`, ... and `output`, each with kernel [in, out] and bias.
    Where `init` is rlkit's or EDAC's, those of `output` are drawn from within +- `output_bound`.
    """
    module = _MLP(hidden_dims, output_dim, layer_norm, init, output_bound, activation)

    def start(key: jax.Array, x: jax.Array) -> Params:
        return module.init(key, x)["params"]

    def apply(params: Params, x: jax.Array) -> jax.Array:
        output = module.apply({"params": params}, x)
        assert isinstance(output, jax.Array)
        return output

    return Network(start, apply)


def ensemble(network: Network, size: int) -> Network:
    """Returns `size` networks of independent parameters [E, ...] on one input: [E, ...] outputs."""

    def init(key: jax.Array, x: jax.Array) -> Params:
        return jax.vmap(lambda member_key: network.init(member_key, x))(jax.random.split(key, size))

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return jax.vmap(lambda member_params: network.apply(member_params, x))(params)

    return Network(init, apply)


def critics(
    hidden_dims: tuple[int, ...],
    size: int,
    init: Init = "flax",
    layer_norm: NormSide = "none",
    activation: Activation = "relu",
) -> Network:
    """Returns an ensemble Q(observation [..., O], action [..., A]) -> [E, ...]."""
    network = ensemble(mlp(hidden_dims, 1, init, layer_norm, CRITIC_BOUND, activation), size)

    def start(key: jax.Array, observation: jax.Array, action: jax.Array) -> Params:
        return network.init(key, jnp.concatenate([observation, action], axis=-1))

    def apply(params: Params, observation: jax.Array, action: jax.Array) -> jax.Array:
        return network.apply(params, jnp.concatenate([observation, action], axis=-1))[..., 0]

    return Network(start, apply)


class _Block(nn.Module):
    """A layer of GPT-2: attention and a perceptron, each on normalised tokens and added to them.

    Returns those tokens that ask; the others are only looked at.
    """

    num_heads: int

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        visible: jax.Array,
        asking: slice,
        keys: jax.Array | None,
        rate: jax.Array,
    ) -> jax.Array:
        width = len(x)
        of_weights, of_attended, of_hidden = (_folded(keys, place) for place in range(3))
        normalised = _layer_norm("attention_norm")(x)
        q = _dense(width, "query")(normalised[..., asking])
        k, v = jnp.split(_dense(2 * width, "key_value")(normalised), 2)
        attended = self._attend(q, k, v, visible[..., asking, :], of_weights, rate)
        x = x[..., asking]
        x += _drop(of_attended, _dense(width, "attention_output")(attended), rate)
        hidden = nn.relu(_dense(4 * width, "hidden")(_layer_norm("mlp_norm")(x)))
        return x + _drop(of_hidden, _dense(width, "mlp_output")(hidden), rate)

    def _attend(
        self,
        q: jax.Array,
        k: jax.Array,
        v: jax.Array,
        visible: jax.Array,
        keys: jax.Array | None,
        rate: jax.Array,
    ) -> jax.Array:
        """Returns [W, ..., Q] for queries [W, ..., Q], keys and values [W, ..., L]."""
        q, k, v = (x.reshape(self.num_heads, -1, *x.shape[1:]) for x in (q, k, v))
        scores = jnp.einsum("hd...q,hd...k->...hqk", q, k) / math.sqrt(q.shape[1])
        scores = jnp.where(visible[..., None, :, :], scores, jnp.finfo(scores.dtype).min)
        weights = _drop(keys, softmax(scores), rate, axis=0)
        attended = jnp.einsum("...hqk,hd...k->hd...q", weights, v)
        return attended.reshape(-1, *attended.shape[2:])


class _DecisionTransformer(nn.Module):
    action_dim: int
    embed_dim: int
    num_layers: int
    num_heads: int
    num_timesteps: int

    @nn.compact
    def __call__(self, segment: Segment, keys: jax.Array | None, rate: jax.Array) -> jax.Array:
        timestep = jnp.minimum(segment.timestep, self.num_timesteps - 1)
        embed_timestep = nn.Embed(
            self.num_timesteps, self.embed_dim,
            embedding_init=nn.initializers.normal(1.0), name="embed_timestep",
        )  # fmt: skip
        time = jnp.moveaxis(embed_timestep(timestep), -1, 0)
        tokens = [
            _linear(self.embed_dim, f"embed_{name}", jnp.moveaxis(x, -1, 0)) + time
            for name, x in (
                ("return", segment.return_to_go[..., None]),
                ("observation", segment.observation),
                ("action", segment.action),
            )
        ]
        x = jnp.stack(tokens, axis=-1)  # [W, ..., K, 3]
        x = x.reshape(*x.shape[:-2], -1)  # [W, ..., 3K]
        x = _drop(_folded(keys, self.num_layers), _layer_norm("embed_norm")(x), rate)
        real = jnp.repeat(segment.mask, len(tokens), axis=-1)
        length = real.shape[-1]
        before = jnp.broadcast_to(jnp.tri(length, dtype=bool), (*real.shape, length))
        visible = before & real[..., None, :]  # [..., 3K, 3K]
        for layer in range(self.num_layers):
            last = layer == self.num_layers - 1
            asking = slice(1, None, len(tokens)) if last else slice(None)  # the observations
            block = _Block(self.num_heads, name=f"block_{layer}")
            x = block(x, visible, asking, _folded(keys, layer), rate)
        action = _linear(self.action_dim, "action", _layer_norm("output_norm")(x))
        return jnp.moveaxis(action, 0, -1)


def _layer_norm(name: str) -> LayerNorm:
    return LayerNorm(epsilon=1e-5, name=name)


def _linear(width: int, name: str, x: jax.Array) -> jax.Array:
    """Returns a layer of x [I, ...] that is initialised as torch's, as the authors' are."""
    return Dense(width, *_initializers("torch", len(x), width), name=name)(x)


def _dense(width: int, name: str) -> Dense:
    return Dense(width, kernel_init=nn.initializers.normal(0.02), name=name)


def _drop(keys: jax.Array | None, x: jax.Array, rate: jax.Array, axis: int = 1) -> jax.Array:
    """Returns x with dropout, where there are keys [B]: of the items along an axis of x."""
    return x if keys is None else dropout(keys, x, rate, axis)


def _folded(keys: jax.Array | None, number: int) -> jax.Array | None:
    """Returns keys [B] that are others for each number, where there are any."""
    return None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def decision_transformer(
    action_dim: int, embed_dim: int, num_layers: int, num_heads: int, num_timesteps: int
) -> Network:
    """Returns a causal GPT from a Segment [..., K] to what stands for the action of each step.

    That is [..., K, A], of any size.

    A step is three tokens: return to go, observation, action; all three have the embedding of the
    timestep added, of which there are `num_timesteps` (later ones are the last). The action is
    predicted from the observation's token. `apply` takes the parameters, the segments, and the keys
    [B] and rate of dropout; without keys there is none. A segment has its own key, so what is
    dropped of it does not depend on the others.
    """
    module = _DecisionTransformer(action_dim, embed_dim, num_layers, num_heads, num_timesteps)

    def init(key: jax.Array, segment: Segment) -> Params:
        return module.init(key, segment, None, jnp.zeros(()))["params"]

    def apply(
        params: Params, segment: Segment, keys: jax.Array | None = None, dropout: Any = 0.0
    ) -> jax.Array:
        output = module.apply({"params": params}, segment, keys, jnp.asarray(dropout))
        assert isinstance(output, jax.Array)
        return output

    return Network(init, apply)


def output_dim(params: Params) -> int:
    """Returns the width of the last layer of an `mlp`, read off its parameters."""
    return params["output"]["bias"].shape[-1]
