"""Conservative Q-learning on SAC: CQL(H) of 2006.04779 (equation 4), on 1812.05905.

Public code has several losses named CQL. This is the authors' (aviralkumar2907/CQL, `min_q_version`
3): per critic, logsumexp over uniform actions and the policy's actions at s and s', all scored at s
and weighted by importance, minus Q of the action in the data. Other choices are fields below. All
losses use the parameters from before the update, as in CORL; the authors step alpha first and use
the new one. With `num_actions=0` there is no penalty, and this is SAC. During the first
`bc_updates` the actor clones, as in the authors' code.

The actor need not follow Q alone: with `actor_bc` it stays near the data, as in TD3+BC
(2106.06860). The critics of the light preset are right about the data and wrong outside it, which
is where the authors' actor loss leads the actor.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlp.algos import conservative, sac
from rlp.algos.sac import Head, sample_actions
from rlp.algos.values import (
    bellman_loss,
    lowest,
    q_bound,
    reward_scale,
    scale_rewards,
    soft_clip,
)
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import sample_floored, statistics_of
from rlp.errors import InputError
from rlp.nn import networks, optim
from rlp.nn.distributions import tanh_normal_log_prob
from rlp.types import (
    Limits,
    Metrics,
    Params,
    Phase,
    Sources,
    Spec,
    Statistics,
    Transition,
    markov,
)

SUPPORTS = frozenset({"continuous"})
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of CQL-SAC; the defaults are the authors'.

    They come from d4rl/examples/cql_mujoco_new.py and d4rl/rlkit/torch (networks.py,
    sac/policies.py, sac/cql.py) of aviralkumar2907/CQL (d67dbe9), with the flags that its README
    gives for MuJoCo: no Lagrange multiplier and a weight of 5. It does not normalise observations.
    """

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256, 256)  # widths of the hidden layers
    num_critics: Positive = 2  # critics in the ensemble
    init: networks.Init = "rlkit"  # how weights are drawn
    layer_norm: networks.NormSide = "none"  # in the critics, before or after the activations
    actor_layer_norm: networks.NormSide = "none"  # in the actor (not the authors')
    actor_learning_rate: NonNegativeFloat = 1e-4  # Adam's for the actor and alpha
    critic_learning_rate: NonNegativeFloat = 3e-4  # Adam's for the critics and alpha'
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    actor_tau: Share = 1.0  # Polyak step of the actor that acts (not in the paper); 1: no average
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # span of the data's returns after scaling; 0: unscaled
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)
    # SAC
    alpha: PositiveFloat = 1.0  # temperature of the entropy; its initial value if it is learned
    learn_alpha: bool = True  # learn the temperature: the entropy approaches the target
    alpha_multiplier: NonNegativeFloat = 1.0  # CORL's factor of the learned alpha
    target_entropy: float = -1.0  # per dimension of an action: -1 is -A in all
    backup_entropy: bool = False  # subtract alpha log pi in the backup, as SAC does
    log_std_min: float = -5.0  # clip of the policy's log standard deviation
    log_std_max: float = 2.0  # clip of the policy's log standard deviation
    learn_log_std_scale: bool = False  # CORL's: multiplier and offset of the log std are learned
    log_std_multiplier: NonNegativeFloat = 1.0  # CORL's factor of the network's log std
    log_std_offset: float = 0.0  # CORL's summand of the network's log std (-1 there)
    # CQL
    num_actions: int = 10  # sampled actions of each kind per state (N); 0: no penalty, plain SAC
    num_penalised: int = 0  # states in a batch that get the penalty; 0: all
    cql_weight: NonNegativeFloat = 5.0  # of the penalty (alpha in equation 4; 5 or 10 on MuJoCo)
    cql_temperature: PositiveFloat = 1.0  # T of T logsumexp(Q / T)
    importance_sampling: bool = True  # False: CQL(rho), the data action joins the logsumexp
    max_target_backup: bool = False  # max over N next actions in the backup
    lagrange: bool = False  # learn the weight alpha' so that the weighted gap reaches `target_gap`
    target_gap: float = 10.0  # tau of equation 30; CORL's `cql_target_action_gap` times the weight
    bound_q: bool = False  # clip Q softly to max |r| / (1 - discount) (not the paper's)
    calibrate: bool = False  # Cal-QL: Q of the policy's actions counts as the data's return or more
    clip_gap_min: float = -1e9  # clip of logsumexp - Q, for each state
    clip_gap_max: float = 1e9  # clip of logsumexp - Q, for each state
    bc_updates: int = 40_000  # first updates, in which the actor clones instead of maximising Q
    actor_bc: NonNegativeFloat = 0.0  # weight of cloning against Q (not the authors'; TD3+BC: 0.4)
    q_filter: bool = False  # clone only where Q of the data's action exceeds the policy's


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 12_000,
        "alpha": 0.1,
        "actor_tau": 0.002,
        "hidden_dims": (256, 256),
        "layer_norm": "after",
        "actor_layer_norm": "after",
        "log_std_min": -20.0,
        "actor_learning_rate": 3e-4,
        "critic_learning_rate": 1e-3,
        "discount": 0.98,
        "bc_updates": 0,
        "actor_bc": 0.4,
        "num_actions": 4,
        "num_penalised": 32,
        "cql_weight": 0.5,
        "normalize_reward": True,
        "bound_q": True,
        "clip_gap_min": 0.0,
    },
    "paper": {"normalize": False},
}


class State(NamedTuple):
    """The training state."""

    actor: Params
    average_actor: Params  # the one that acts
    critic: Params  # [E]
    target_critic: Params  # [E]
    log_alpha: jax.Array
    log_alpha_prime: jax.Array
    actor_opt: Any
    critic_opt: Any
    alpha_opt: Any
    alpha_prime_opt: Any


class Batch(NamedTuple):
    """The data of one update."""

    transition: Transition  # [B]
    bound: jax.Array  # [], on any |Q|
    floor: jax.Array  # [B], a lower bound on the return of the data's own policy from there


class Noise(NamedTuple):
    """All random numbers of one update: standard normal, except the uniform actions."""

    policy: jax.Array  # [B, A]
    backup: jax.Array  # [B, A], or [B, N, A] with max_target_backup
    uniform: jax.Array  # [P, N, A] in [-1, 1], of the P penalised states
    current: jax.Array  # [P, N, A]
    next: jax.Array  # [P, N, A]


def init(config: Config, key: jax.Array, spec: Spec, statistics: Statistics) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if a setting needs sampled actions and there are none, or if the actor would
            clone until the end.
    """
    del statistics
    if config.bc_updates >= config.num_updates:
        raise InputError(
            f"--bc_updates={config.bc_updates}: Q would never move the actor in "
            f"--num_updates={config.num_updates}; give fewer, or 0 for none"
        )
    for name in ("max_target_backup", "lagrange"):
        if getattr(config, name) and not config.num_actions:
            raise InputError(f"--{name}: needs sampled actions; give --num_actions")
    actor_key, critic_key = jax.random.split(key)
    observation, action = jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim)
    actor = {
        "mlp": _mlp(config, 2 * spec.action_dim).init(actor_key, observation),
        "log_std_multiplier": jnp.asarray(config.log_std_multiplier),
        "log_std_offset": jnp.asarray(config.log_std_offset),
    }
    critic = _critics(config).init(critic_key, observation, action)
    log_alpha, log_alpha_prime = sac.log_of(config.alpha), jnp.zeros(())
    actor_tx, critic_tx = sac.optimizers(config)
    return State(
        actor=actor,
        average_actor=actor,
        critic=critic,
        target_critic=critic,
        log_alpha=log_alpha,
        log_alpha_prime=log_alpha_prime,
        actor_opt=actor_tx.init(actor),
        critic_opt=critic_tx.init(critic),
        alpha_opt=actor_tx.init(log_alpha),
        alpha_prime_opt=critic_tx.init(log_alpha_prime),
    )


def sample(config: Config, key: jax.Array, state: State, sources: Sources) -> Batch:
    """Returns a batch of transitions with their `floor`, and the bound on Q."""
    del state
    statistics = statistics_of(sources)
    batch, floor = sample_floored(sources, key, config.batch_size)
    return Batch(
        transition=scale_rewards(config, statistics, batch),
        bound=q_bound(config, statistics),
        floor=reward_scale(config, statistics) * floor,
    )


def clone(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Batch
) -> tuple[State, Metrics]:
    """Returns the state after one of the first updates, in which the actor clones."""
    del step
    return _update(config, state, batch, _noise(config, key, batch), clones=True)


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Batch
) -> tuple[State, Metrics]:
    """Returns the state after one update of actor, critics, targets, alpha and alpha'."""
    del step
    return _update(config, state, batch, _noise(config, key, batch))


PHASES = (
    Phase("clone", sample, clone, lambda config: config.bc_updates),
    Phase("policy", sample, update),
)


def _noise(config: Config, key: jax.Array, batch: Batch) -> Noise:
    shape = batch.transition.action.shape
    many = (shape[0], config.num_actions, shape[1])
    penalised = (min(config.num_penalised or shape[0], shape[0]), *many[1:])
    keys = jax.random.split(key, 5)
    return Noise(
        policy=jax.random.normal(keys[0], shape),
        backup=jax.random.normal(keys[1], many if config.max_target_backup else shape),
        uniform=jax.random.uniform(keys[2], penalised, minval=-1.0),
        current=jax.random.normal(keys[3], penalised),
        next=jax.random.normal(keys[4], penalised),
    )


def _update(
    config: Config, state: State, batch: Batch, noise: Noise, clones: bool = False
) -> tuple[State, Metrics]:
    transition = batch.transition
    alpha = config.alpha_multiplier * jnp.exp(state.log_alpha)
    alpha_prime = conservative.multiplier(state.log_alpha_prime)
    target = _backup(config, state, alpha, batch, noise.backup)
    actor_grads, actor_metrics = optim.grad(
        lambda actor, *part: _actor_loss(
            actor, config, state.critic, alpha, clones, batch.bound, *part
        ),
        state.actor, transition, noise.policy,
        whole=True,
    )  # fmt: skip
    critic_grads, critic_metrics = optim.grad(
        lambda critic, *part: _critic_loss(critic, config, batch.bound, *part),
        state.critic, transition, target,
    )  # fmt: skip
    metrics = {**actor_metrics, **critic_metrics, "alpha": alpha}
    if config.num_actions:
        penalty_grads, gap = _penalty_grad(config, state, alpha_prime, batch, noise)
        critic_grads = jax.tree.map(jnp.add, critic_grads, penalty_grads)
        state, penalty_metrics = conservative.step_multiplier(config, state, alpha_prime, gap)
        metrics |= {"gap": jnp.mean(gap), **penalty_metrics}
    state = sac.step_networks(config, state, actor_grads, critic_grads)
    average_actor = optim.polyak(state.actor, state.average_actor, config.actor_tau)
    state = state._replace(average_actor=average_actor)
    state, alpha_metrics = sac.step_alpha(
        config, state, actor_metrics["log_prob"], transition.action.shape[-1]
    )
    return state, {**metrics, **alpha_metrics}


def _backup(
    config: Config, state: State, alpha: jax.Array, batch: Batch, noise: jax.Array
) -> jax.Array:
    """Returns r + gamma Q(s', a') [B], min over the target critics, max over the next actions."""
    transition, bound = batch.transition, batch.bound
    size, action_dim = transition.action.shape
    following = transition.next_observation
    action, log_prob = sample_actions(
        _head(config, state.actor, following), noise.reshape(size, -1, action_dim)
    )
    next_q = _q(config, state.target_critic, bound, following, action)
    return sac.backup(config, alpha, transition, next_q, log_prob)


def _critic_loss(
    critic: Params, config: Config, bound: jax.Array, batch: Transition, target: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, summed over the critics."""
    q = _q(config, critic, bound, batch.observation, batch.action[:, None])[..., 0]  # [E, B]
    loss, metrics = bellman_loss(q, target)
    return loss, {**metrics, "backup": jnp.mean(target)}


def _penalty_grad(
    config: Config, state: State, alpha_prime: jax.Array, batch: Batch, noise: Noise
) -> tuple[Params, jax.Array]:
    """Returns the penalty's gradient and each critic's mean gap [E], for the first P states."""
    penalised, floor = jax.tree.map(
        lambda x: x[: len(noise.uniform)], (batch.transition, batch.floor)
    )
    states = penalised.observation, penalised.next_observation
    actions, log_probs = conservative.sampled_actions(
        noise.uniform,
        [_head(config, state.actor, each) for each in states],
        [noise.current, noise.next],
    )
    grads, metrics = optim.grad(
        lambda critic, *part: _penalty_loss(critic, config, alpha_prime, batch.bound, *part),
        state.critic, penalised, floor, actions, log_probs,
        rows=1 + actions.shape[1],
    )  # fmt: skip
    return grads, metrics["gap"]


def _penalty_loss(
    critic: Params,
    config: Config,
    alpha_prime: jax.Array,
    bound: jax.Array,
    batch: Transition,
    floor: jax.Array,
    actions: jax.Array,
    log_probs: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns the penalty, summed over the critics, and the gap of each [E].

    With `calibrate` the penalty does not lower Q of the policy's actions below the return of the
    data's policy (2303.05479, equation 5.1).
    """
    scored = jnp.concatenate([batch.action[:, None], actions], axis=1)  # [B, 1 + 3N, A]
    q = _q(config, critic, bound, batch.observation, scored)  # [E, B, 1 + 3N]
    if config.calibrate:
        is_policy = jnp.arange(q.shape[-1]) > config.num_actions
        q = jnp.maximum(q, jnp.where(is_policy[None, None], floor[None, :, None], -jnp.inf))
    gap = jnp.mean(conservative.gap(config, q[..., 0], q[..., 1:], log_probs), axis=1)  # [E]
    return jnp.sum(conservative.penalty(config, alpha_prime, gap)), {"gap": gap}


def _actor_loss(
    actor: Params,
    config: Config,
    critic: Params,
    alpha: jax.Array,
    clones: bool,
    bound: jax.Array,
    batch: Transition,
    noise: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns alpha log pi - min Q, or alpha log pi - the data's log-likelihood while cloning.

    `actor_bc` adds the squared distance to the data's action in units of mean |Q|. With 1 / 2.5 it
    is TD3+BC's loss (2106.06860, equation 5) times mean |Q| / 2.5. With `q_filter` only those
    actions of the data count that Q prefers to the policy's (1709.10089, equation 5).
    """
    head = _head(config, actor, batch.observation)
    action, log_prob = sample_actions(head, noise[:, None])
    if clones:
        objective = tanh_normal_log_prob(*head, batch.action)[:, None]
    else:
        objective = lowest(_q(config, critic, bound, batch.observation, action))
    squared = jnp.square(action[:, 0] - batch.action)  # [B, A]
    if config.q_filter:
        of_data = lowest(_q(config, critic, bound, batch.observation, batch.action[:, None]))
        squared *= jax.lax.stop_gradient(of_data > objective)  # [B, 1]
    error = jnp.mean(squared)
    cloning = config.actor_bc * optim.mean_of_all(jnp.abs(objective)) * error
    loss = jnp.mean(alpha * log_prob - objective) + cloning
    return loss, {"actor_loss": loss, "log_prob": jnp.mean(log_prob), "error": error}


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, config.num_critics, config.init, config.layer_norm)


def _q(
    config: Config, critic: Params, bound: jax.Array, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B, N] for N actions [B, N, A] in each state [B, O]."""
    q = sac.q_values(_critics(config), critic, observation, action)
    return soft_clip(q, bound) if config.bound_q else q


def q_of(
    config: Config, state: State, statistics: Statistics, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B] of the critics, see `rlp.types.Algo`."""
    bound = q_bound(config, statistics)
    return _q(config, state.critic, bound, observation, action[:, None])[..., 0]


def _head(config: Config, actor: Params, observation: jax.Array) -> Head:
    network = _mlp(config, networks.output_dim(actor["mlp"]))
    mean, raw = jnp.split(network.apply(actor["mlp"], observation), 2, axis=-1)
    scale = actor["log_std_multiplier"], actor["log_std_offset"]
    multiplier, offset = scale if config.learn_log_std_scale else jax.lax.stop_gradient(scale)
    return mean, jnp.clip(multiplier * raw + offset, config.log_std_min, config.log_std_max)


def _mlp(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, output_dim, config.init, config.actor_layer_norm)


def returns_discount(config: Config) -> float | None:
    """Returns the discount of `floor` in its batches; None if they need none."""
    return float(config.discount) if config.calibrate else None


def limits(config: Config, spec: Spec, statistics: Statistics) -> Limits:
    """Returns SAC's bounds on Q and its backup; with a penalty there is no lower bound."""
    found = sac.limits(config, spec, statistics)
    return conservative.open_below(config, found) if config.num_actions else found


def actor(config: Config, state: State) -> Params:
    """Returns the averaged actor's parameters; with `actor_tau` 1 they are the actor's own."""
    del config
    return state.average_actor


def _act(
    config: Config, params: Params, observation: jax.Array, key: jax.Array, temperature: jax.Array
) -> jax.Array:
    """Returns an action [A]."""
    return sac.act(_head(config, params, observation), key, temperature)


policy = markov(_act)
