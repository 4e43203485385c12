"""The work that is measured: matched settings, operations of an update, ceilings of a machine."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params
from jax.interpreters import partial_eval

from rlp.algos import ALGOS
from rlp.data.dataset import Dataset, make_dataset, unit_normalizer
from rlp.data.episodes import Episode, EpisodeSet
from rlp.system import devices
from rlp.training import population
from rlp.types import UNKNOWN, Precision, Sources, State, vectors

SPEC = vectors(observation_dim=17, action_dim=6, max_episode_steps=1000)  # HalfCheetah's
NUM_EPISODES = 100
MATMUL_SIZE = 2048
ROUND_SECONDS = 3  # that updates would take one a call; together they take a third of it or more
COPY_SIZE = 2**26  # float32: 268 MB, more than any cache
MATCHED: dict[str, Any] = {"hidden_dims": (256, 256), "batch_size": 256}  # as peers were measured
LANES, SUBLANES = 128, 8  # a TPU's arrays are made of tiles of 8 x 128
OWN: dict[str, dict[str, Any]] = {"cqlsac": {"bc_updates": 0}}  # what only one algorithm has
AS_PUBLISHED = ("dt", "tt")  # measured with their authors' settings


def case(
    algo_name: str, precision: Precision, num_members: int, batch_devices: int
) -> dict[str, Any]:
    """Returns what names a case of rlp in its record."""
    return {
        "algo": algo_name,
        "library": "rlp",
        "precision": precision,
        "members": num_members,
        "batch_devices": batch_devices,
    }


def setting(algo_name: str) -> Any:
    """Returns the hyperparameters that an algorithm is measured with."""
    matched = {} if algo_name in AS_PUBLISHED else MATCHED
    return ALGOS[algo_name].Config(**matched, **OWN.get(algo_name, {}))


def synthetic_data() -> EpisodeSet:
    """Returns 100,000 steps of noise, in episodes of 1,000."""
    rng = np.random.default_rng(0)
    length = SPEC.max_episode_steps
    episodes = [
        Episode(
            observation=rng.standard_normal((length + 1, SPEC.observation_dim), np.float32),
            action=rng.uniform(-1, 1, (length, SPEC.action_dim)).astype(np.float32),
            reward=rng.uniform(0, 1, length).astype(np.float32),
            terminated=False,
        )
        for _ in range(NUM_EPISODES)
    ]
    return EpisodeSet("synthetic", "", episodes)


def on_device(data_set: EpisodeSet) -> Dataset:
    """Returns the data as an update reads it, its observations as they are."""
    return make_dataset(data_set, unit_normalizer(SPEC.observation_dim))


class Training:
    """A population that trains at the measured setting, placed as `rlp.train` places its own."""

    def __init__(
        self,
        algo_name: str,
        num_members: int = 1,
        precision: Precision = "float32",
        batch_devices: int = 0,
    ) -> None:
        self._algo, config, data_set = ALGOS[algo_name], setting(algo_name), synthetic_data()
        devices.split_cpu(num_members, data_set.num_bytes, batch_devices)
        self._placement = devices.placement(num_members, batch_devices)
        self._precision = precision
        dataset = on_device(data_set)
        members = population.init(
            self._algo, [config] * num_members, range(num_members), SPEC, dataset.statistics
        )
        self._configs, self._keys, self._states = devices.place(members, self._placement.members)
        shared = (Sources(dataset), np.int32(0))  # the first update's number
        self._shared = devices.place(shared, self._placement.everywhere)

    def compiled(self, num_updates: int) -> jax.stages.Compiled:
        """Returns the program that makes so many updates."""
        return population.train.lower(
            self._algo,
            SPEC,
            num_updates,
            self._configs,
            self._keys,
            self._states,
            *self._shared,
            placement=self._placement,
            precision=self._precision,
        ).compile()

    def seconds(self, program: jax.stages.Compiled) -> float:
        """Trains on with a program and returns how long it took."""
        start = time.perf_counter()
        self._states, *_ = program(self._configs, self._keys, self._states, *self._shared)
        jax.block_until_ready(self._states)
        return time.perf_counter() - start

    def updates_a_round(self, one_update: jax.stages.Compiled) -> int:
        """Returns how many updates are timed together: at least 2, another program than one.

        They take a second or more, of which, as in training, little goes to the memory of a call:
        of a Decision Transformer it takes the system as long as an update.
        """
        return 1 + math.ceil(ROUND_SECONDS / min(self.seconds(one_update) for _ in range(5)))


class Product(NamedTuple):
    """Sizes of matrix products [batch, rows, inner] x [batch, inner, columns]."""

    batch: int
    rows: int
    inner: int
    columns: int


def needed_flops(product: Product) -> int:
    """Returns the operations of products, a multiply-add as two."""
    return 2 * math.prod(product)


def tpu_flops(product: Product) -> int:
    """Returns those that a TPU makes of whole tiles; which axis has the lanes, XLA chooses."""
    batch, rows, inner, columns = product
    tiled = min(
        _up(rows, SUBLANES) * _up(columns, LANES), _up(rows, LANES) * _up(columns, SUBLANES)
    )
    return 2 * batch * _up(inner, LANES) * tiled


def _up(size: int, multiple: int) -> int:
    """Returns the next multiple."""
    return math.ceil(size / multiple) * multiple


def gflop_per_update(algo_name: str, flops: Callable[[Product], int] = needed_flops) -> float:
    """Returns the operations in the matrix products of one update of one member."""
    algo, config = ALGOS[algo_name], setting(algo_name)
    sources = Sources(on_device(synthetic_data()))

    def update(config: Any, state: State, key: jax.Array, sources: Sources) -> State:
        batch = algo.sample(config, key, state, sources)
        return algo.update(config, state, jnp.int32(0), key, batch)[0]

    key = jax.random.key(0)
    state = jax.eval_shape(lambda key: algo.init(config, key, SPEC, UNKNOWN), key)
    program = jax.make_jaxpr(update)(config, state, key, sources).jaxpr
    needed, _ = partial_eval.dce_jaxpr(program, [True] * len(program.outvars))
    return matmul_flops(needed, flops) / 1e9


def matmul_flops(program: Jaxpr, flops: Callable[[Product], int] = needed_flops) -> int:
    """Returns the operations of a program's matrix products, `flops` of each.

    Those in a scan count as often as it runs, where XLA's cost analysis counts them once; those in
    a branch by half, as TD3's actor moves in every second update.
    """
    total = 0
    for equation in program.eqns:
        if equation.primitive is jax.lax.dot_general_p:
            total += flops(_sizes(equation))
        inner = sum(matmul_flops(each, flops) for each in jaxprs_in_params(equation.params))
        if equation.primitive is jax.lax.cond_p:
            inner //= len(equation.params["branches"])
        total += equation.params.get("length", 1) * inner
    return total


def _sizes(equation: JaxprEqn) -> Product:
    """Returns the sizes of a `dot_general`."""
    (contracted, _), (batched, _) = equation.params["dimension_numbers"]
    left: Any = equation.invars[0].aval
    product: Any = equation.outvars[0].aval
    batch, inner = (math.prod(left.shape[axis] for axis in axes) for axes in (batched, contracted))
    rows = left.size // (batch * inner)
    return Product(batch, rows, inner, product.size // (batch * rows))


def matmul_gflop_per_second(precision: Precision = "float32") -> float:
    """Returns the best of three products of a precision, 2048 squared, that sum in float32."""
    x = jnp.ones((MATMUL_SIZE, MATMUL_SIZE), jnp.bfloat16 if precision == "bf16" else jnp.float32)
    product = partial(_product, precision=population.JAX_PRECISIONS[precision])
    return 2 * MATMUL_SIZE**3 / _best_of_three(product, x) / 1e9


def copy_gigabytes_per_second() -> float:
    """Returns the best of three passes over memory, bytes read and written together."""
    x = jnp.ones(COPY_SIZE)
    return 2 * x.nbytes / _best_of_three(_pass, x) / 1e9


def _best_of_three(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> float:
    """Returns the seconds of the fastest of three calls, compiled before."""
    function(x).block_until_ready()
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        function(x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return best


@partial(jax.jit, static_argnames="precision")
def _product(x: jax.Array, precision: str) -> jax.Array:
    return jnp.dot(x, x, precision=precision, preferred_element_type=jnp.float32)


@jax.jit
def _pass(x: jax.Array) -> jax.Array:
    return x + 1
