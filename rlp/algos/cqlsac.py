"""Conservative Q-learning on SAC: CQL(H) of 2006.04779 (equation 4), on 1812.05905.

"CQL" is several losses in public code. This is the authors' (aviralkumar2907/CQL, `min_q_version`
3): per critic, logsumexp over uniform actions and the policy's actions at s and s', all scored at s
and weighed by importance, minus Q of the action in the data. Each other choice is a field below.
All losses are evaluated with the parameters from before the update, as CORL does; the authors step
alpha first and use the new one. With `num_actions=0` nothing is conservative, and this is SAC.

The actor need not follow Q alone: with `actor_bc` it stays near the data as TD3+BC's (2106.06860)
does. The light preset's critics are right about the data and wrong off it, where the authors' loss
takes the actor.
"""

import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlp.algos.values import bellman_loss, lowest, q_bound, q_limits, scale_rewards, soft_clip
from rlp.config import Discount, NonNegativeFloat, Positive, PositiveFloat, Share, config
from rlp.data.dataset import Dataset, sample_transitions
from rlp.errors import InputError
from rlp.nn import networks, optim
from rlp.nn.distributions import tanh_normal_log_prob, tanh_normal_sample
from rlp.types import Limits, Memory, Metrics, Params, Spec, Transition, no_memory

ALPHA_PRIME_MAX = 1e6
NEEDS_REWARDS: bool = True


@config
class Config:
    """Hyperparameters of CQL-SAC; the defaults are the authors'.

    They are those of d4rl/examples/cql_mujoco_new.py and d4rl/rlkit/torch (networks.py,
    sac/policies.py, sac/cql.py) of aviralkumar2907/CQL (d67dbe9), with the flags that its README
    gives for MuJoCo: no Lagrange multiplier and a weight of 5. Its observations are not normalised.
    """

    num_updates: Positive = 1_000_000  # gradient updates
    batch_size: Positive = 256  # transitions in a batch
    hidden_dims: tuple[Positive, ...] = (256, 256, 256)  # widths of the hidden layers
    num_critics: Positive = 2  # critics in the ensemble
    init: networks.Init = "rlkit"  # how weights are drawn
    layer_norm: networks.NormSide = "none"  # in the critics, before or after the activations
    actor_learning_rate: NonNegativeFloat = 1e-4  # Adam's for the actor and alpha
    critic_learning_rate: NonNegativeFloat = 3e-4  # Adam's for the critics and alpha'
    discount: Discount = 0.99  # gamma
    tau: Share = 0.005  # Polyak step of the target critics
    actor_tau: Share = 1.0  # Polyak step of the actor that acts (not in the paper); 1: no average
    reward_scale: PositiveFloat = 1.0  # factor of the rewards
    return_range: NonNegativeFloat = 0.0  # that the data's returns are to have; 0: as they are
    normalize_reward: bool = False  # rewards in units of the data's mean |r| (not the paper's)
    # SAC
    alpha: PositiveFloat = 1.0  # temperature of the entropy, at the start where it is learned
    learn_alpha: bool = True  # towards the target entropy
    alpha_multiplier: NonNegativeFloat = 1.0  # CORL's factor of the learned alpha
    target_entropy: float = -1.0  # of an action, per dimension: -1 is -A, 0 is 0
    backup_entropy: bool = False  # subtract alpha log pi in the backup, as SAC does
    log_std_min: float = -5.0  # clip of the policy's log standard deviation
    log_std_max: float = 2.0  # clip of the policy's log standard deviation
    learn_log_std_scale: bool = False  # CORL's: multiplier and offset of the log std are learned
    log_std_multiplier: NonNegativeFloat = 1.0  # CORL's factor of the network's log std
    log_std_offset: float = 0.0  # CORL's summand of the network's log std (-1 there)
    # CQL
    num_actions: int = 10  # sampled actions of each kind a state (N); 0: no penalty, plain SAC
    num_penalised: int = 0  # states of a batch that have the penalty; 0: all
    cql_weight: NonNegativeFloat = 5.0  # of the penalty (alpha in equation 4; 5 or 10 on MuJoCo)
    cql_temperature: PositiveFloat = 1.0  # T of T logsumexp(Q / T)
    importance_sampling: bool = True  # False: CQL(rho), the data action joins the logsumexp
    max_target_backup: bool = False  # max over N next actions in the backup
    lagrange: bool = False  # learn the weight alpha' so that the weighted gap is `target_gap`
    target_gap: float = 10.0  # tau of equation 30; CORL's `cql_target_action_gap` times the weight
    bound_q: bool = False  # critics bend to stay within max |r| / (1 - discount) (not the paper's)
    clip_gap_min: float = -1e9  # clip of logsumexp - Q, for each state
    clip_gap_max: float = 1e9  # clip of logsumexp - Q, for each state
    bc_updates: int = 40_000  # first updates, in which the actor clones instead of maximising Q
    actor_bc: NonNegativeFloat = 0.0  # cloning's weight against Q (not the authors'; TD3+BC's: 0.4)


PRESETS: dict[str, dict[str, Any]] = {
    "light": {  # a good policy within minutes on two CPU cores
        "num_updates": 12_000,
        "alpha": 0.1,
        "actor_tau": 0.002,
        "hidden_dims": (256, 256),
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
    """What training carries."""

    actor: Params
    average_actor: Params  # which acts
    critic: Params  # [E]
    target_critic: Params  # [E]
    log_alpha: jax.Array
    log_alpha_prime: jax.Array
    actor_opt: Any
    critic_opt: Any
    alpha_opt: Any
    alpha_prime_opt: Any


class Batch(NamedTuple):
    """What an update learns from."""

    transition: Transition  # [B]
    bound: jax.Array  # [], on any Q


class Noise(NamedTuple):
    """All randomness of one update: standard normal, but for the uniform actions."""

    policy: jax.Array  # [B, A]
    backup: jax.Array  # [B, A], or [B, N, A] with max_target_backup
    uniform: jax.Array  # [P, N, A] in [-1, 1], of the P penalised states
    current: jax.Array  # [P, N, A]
    next: jax.Array  # [P, N, A]


def sample(config: Config, key: jax.Array, dataset: Dataset) -> Batch:
    """Returns a batch of transitions, and the bound that the data set on Q."""
    batch = sample_transitions(dataset, key, config.batch_size)
    return Batch(scale_rewards(config, dataset, batch), q_bound(config, dataset))


def init(config: Config, key: jax.Array, spec: Spec) -> State:
    """Returns the state before the first update.

    Raises:
        InputError: if what is asked for needs sampled actions, and there are none, or if the actor
            would clone to the end.
    """
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
    smallest = jnp.finfo(jnp.float32).tiny  # an alpha of 0 has no finite logarithm
    log_alpha, log_alpha_prime = jnp.log(jnp.maximum(config.alpha, smallest)), jnp.zeros(())
    actor_tx, critic_tx = (
        optim.adam(config.actor_learning_rate),
        optim.adam(config.critic_learning_rate),
    )
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


def update(
    config: Config, state: State, step: jax.Array, key: jax.Array, batch: Batch
) -> tuple[State, Metrics]:
    """Returns the state after one update of actor, critics, targets, alpha and alpha'."""
    shape = batch.transition.action.shape
    many = (shape[0], config.num_actions, shape[1])
    penalised = (min(config.num_penalised or shape[0], shape[0]), *many[1:])
    keys = jax.random.split(key, 5)
    noise = Noise(
        policy=jax.random.normal(keys[0], shape),
        backup=jax.random.normal(keys[1], many if config.max_target_backup else shape),
        uniform=jax.random.uniform(keys[2], penalised, minval=-1.0),
        current=jax.random.normal(keys[3], penalised),
        next=jax.random.normal(keys[4], penalised),
    )
    return _update(config, state, step, batch, noise)


def _update(
    config: Config, state: State, step: jax.Array, batch: Batch, noise: Noise
) -> tuple[State, Metrics]:
    transition = batch.transition
    actor_tx, critic_tx = (
        optim.adam(config.actor_learning_rate),
        optim.adam(config.critic_learning_rate),
    )
    alpha = config.alpha_multiplier * jnp.exp(state.log_alpha)
    alpha_prime = _alpha_prime(state.log_alpha_prime)
    backup = _backup(config, state, alpha, batch, noise.backup)
    actor_grads, actor_metrics = optim.grad(
        lambda actor, part, *noise: _actor_loss(
            actor, config, state.critic, alpha, step, Batch(part, batch.bound), *noise
        ),
        state.actor, transition, noise.policy,
        whole=True,
    )  # fmt: skip
    critic_grads, critic_metrics = optim.grad(
        lambda critic, part, *backup: _critic_loss(
            critic, config, Batch(part, batch.bound), *backup
        ),
        state.critic, transition, backup,
    )  # fmt: skip
    metrics = {**actor_metrics, **critic_metrics, "alpha": alpha}
    if config.num_actions:
        penalty_grads, gap = _penalty_grad(config, state, alpha_prime, batch, noise)
        critic_grads = jax.tree.map(jnp.add, critic_grads, penalty_grads)
        metrics["gap"] = jnp.mean(gap)
        if config.lagrange:
            loss, grad = jax.value_and_grad(_alpha_prime_loss)(state.log_alpha_prime, config, gap)
            log_alpha_prime, alpha_prime_opt = optim.step(
                critic_tx, grad, state.alpha_prime_opt, state.log_alpha_prime
            )
            state = state._replace(log_alpha_prime=log_alpha_prime, alpha_prime_opt=alpha_prime_opt)
            metrics |= {"alpha_prime": alpha_prime, "alpha_prime_loss": loss}
    actor, actor_opt = optim.step(actor_tx, actor_grads, state.actor_opt, state.actor)
    critic, critic_opt = optim.step(critic_tx, critic_grads, state.critic_opt, state.critic)
    state = state._replace(
        actor=actor,
        average_actor=optim.polyak(actor, state.average_actor, config.actor_tau),
        actor_opt=actor_opt,
        critic=critic,
        critic_opt=critic_opt,
        target_critic=optim.polyak(critic, state.target_critic, config.tau),
    )
    if config.learn_alpha:
        target = config.target_entropy * transition.action.shape[-1]
        loss, grad = jax.value_and_grad(_alpha_loss)(
            state.log_alpha, actor_metrics["log_prob"], target
        )
        log_alpha, alpha_opt = optim.step(actor_tx, grad, state.alpha_opt, state.log_alpha)
        state = state._replace(log_alpha=log_alpha, alpha_opt=alpha_opt)
        metrics["alpha_loss"] = loss
    return state, metrics


def _backup(
    config: Config, state: State, alpha: jax.Array, batch: Batch, noise: jax.Array
) -> jax.Array:
    """Returns r + gamma Q(s', a') [B], min over the target critics, max over the next actions."""
    transition, bound = batch
    size, action_dim = transition.action.shape
    following = transition.next_observation
    action, log_prob = _sample(config, state.actor, following, noise.reshape(size, -1, action_dim))
    q = jnp.min(_q(config, state.target_critic, bound, following, action), axis=0)  # [B, N]
    best = jnp.argmax(q, axis=1, keepdims=True)
    next_q = jnp.take_along_axis(q, best, axis=1)[:, 0]
    if config.backup_entropy:
        next_q -= alpha * jnp.take_along_axis(log_prob, best, axis=1)[:, 0]
    return transition.reward + config.discount * transition.discount * next_q


def _critic_loss(
    critic: Params, config: Config, batch: Batch, backup: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Returns the squared Bellman error, the sum over the critics."""
    observation, action = batch.transition.observation, batch.transition.action[:, None]
    q = _q(config, critic, batch.bound, observation, action)[..., 0]  # [E, B]
    loss, metrics = bellman_loss(q, backup)
    return loss, {**metrics, "backup": jnp.mean(backup)}


def _penalty_grad(
    config: Config, state: State, alpha_prime: jax.Array, batch: Batch, noise: Noise
) -> tuple[Params, jax.Array]:
    """Returns the penalty's gradient and the mean gap of each critic [E], of the first P states."""
    penalised = jax.tree.map(lambda x: x[: len(noise.uniform)], batch.transition)
    actions, log_probs = _sampled_actions(config, state.actor, penalised, noise)
    grads, metrics = optim.grad(
        lambda critic, *part: _penalty_loss(critic, config, alpha_prime, batch.bound, *part),
        state.critic, penalised, actions, log_probs,
        rows=1 + actions.shape[1],
    )  # fmt: skip
    return grads, metrics["gap"]


def _sampled_actions(
    config: Config, actor: Params, batch: Transition, noise: Noise
) -> tuple[jax.Array, jax.Array]:
    """Returns uniform actions and the policy's at s and s' [B, 3N, A], and their log-densities."""
    current, current_log_prob = _sample(config, actor, batch.observation, noise.current)
    following, following_log_prob = _sample(config, actor, batch.next_observation, noise.next)
    action_dim = batch.action.shape[-1]
    uniform_log_prob = jnp.full_like(current_log_prob, -action_dim * math.log(2))
    actions = jnp.concatenate([noise.uniform, current, following], axis=1)
    return actions, jnp.concatenate(
        [uniform_log_prob, current_log_prob, following_log_prob], axis=1
    )


def _penalty_loss(
    critic: Params,
    config: Config,
    alpha_prime: jax.Array,
    bound: jax.Array,
    batch: Transition,
    actions: jax.Array,
    log_probs: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns the penalty, the sum over the critics, and the gap of each [E]."""
    scored = jnp.concatenate([batch.action[:, None], actions], axis=1)  # [B, 1 + 3N, A]
    q = _q(config, critic, bound, batch.observation, scored)  # [E, B, 1 + 3N]
    gap = jnp.mean(_gap(config, q[..., 0], q[..., 1:], log_probs), axis=1)  # [E]
    return jnp.sum(_penalty(config, alpha_prime, gap)), {"gap": gap}


def _gap(config: Config, q_data: jax.Array, q: jax.Array, log_probs: jax.Array) -> jax.Array:
    """Returns T logsumexp(Q / T) - Q(s, a) of each state, [E, B].

    Args:
        config: the setting.
        q_data: [E, B], of the actions in the data.
        q: [E, B, 3N], of the sampled actions.
        log_probs: [B, 3N], their log-densities: no gradient flows through them.
    """
    chex.assert_rank([q_data, q, log_probs], [2, 3, 2])
    if config.importance_sampling:
        q = q - log_probs[None]
    else:
        q = jnp.concatenate([q_data[..., None], q], axis=-1)
    soft_max = config.cql_temperature * jax.nn.logsumexp(q / config.cql_temperature, axis=-1)
    return jnp.clip(soft_max - q_data, config.clip_gap_min, config.clip_gap_max)


def _penalty(config: Config, alpha_prime: jax.Array, gap: jax.Array) -> jax.Array:
    if config.lagrange:
        return alpha_prime * (config.cql_weight * gap - config.target_gap)
    return config.cql_weight * gap


def _alpha_prime(log_alpha_prime: jax.Array) -> jax.Array:
    return jnp.clip(jnp.exp(log_alpha_prime), 0, ALPHA_PRIME_MAX)


def _alpha_prime_loss(log_alpha_prime: jax.Array, config: Config, gap: jax.Array) -> jax.Array:
    return -jnp.mean(_penalty(config, _alpha_prime(log_alpha_prime), gap))


def _actor_loss(
    actor: Params,
    config: Config,
    critic: Params,
    alpha: jax.Array,
    step: jax.Array,
    batch: Batch,
    noise: jax.Array,
) -> tuple[jax.Array, Metrics]:
    """Returns alpha log pi - min Q; in the first `bc_updates`, minus the data's log-likelihood.

    With `actor_bc` the squared distance to the data's action is added, in units of mean |Q|: as
    TD3+BC's loss (2106.06860, equation 5) times mean |Q| / 2.5 where it is 1 / 2.5.
    """
    observation = batch.transition.observation
    action, log_prob = _sample(config, actor, observation, noise[:, None])  # [B, 1, ...]
    objective = lowest(_q(config, critic, batch.bound, observation, action))
    if config.bc_updates:
        head = _head(config, actor, observation)
        likelihood = tanh_normal_log_prob(*head, batch.transition.action)
        objective = jnp.where(step < config.bc_updates, likelihood[:, None], objective)
    error = jnp.mean(jnp.square(action[:, 0] - batch.transition.action))
    cloning = config.actor_bc * optim.mean_of_all(jnp.abs(objective)) * error
    loss = jnp.mean(alpha * log_prob - objective) + cloning
    return loss, {"actor_loss": loss, "log_prob": jnp.mean(log_prob), "error": error}


def _alpha_loss(log_alpha: jax.Array, log_prob: jax.Array, target_entropy: jax.Array) -> jax.Array:
    return -log_alpha * (log_prob + target_entropy)


def _critics(config: Config) -> networks.Network:
    return networks.critics(config.hidden_dims, config.num_critics, config.init, config.layer_norm)


def _q(
    config: Config, critic: Params, bound: jax.Array, observation: jax.Array, action: jax.Array
) -> jax.Array:
    """Returns Q [E, B, N] of N actions [B, N, A] in each state [B, O]."""
    shape = (*action.shape[:2], observation.shape[-1])  # [B, N, O]
    q = _critics(config).apply(critic, jnp.broadcast_to(observation[:, None], shape), action)
    return soft_clip(q, bound) if config.bound_q else q


def _head(config: Config, actor: Params, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean (before the tanh) and log standard deviation, [..., A] each."""
    network = _mlp(config, networks.output_dim(actor["mlp"]))
    mean, raw = jnp.split(network.apply(actor["mlp"], observation), 2, axis=-1)
    scale = actor["log_std_multiplier"], actor["log_std_offset"]
    multiplier, offset = scale if config.learn_log_std_scale else jax.lax.stop_gradient(scale)
    return mean, jnp.clip(multiplier * raw + offset, config.log_std_min, config.log_std_max)


def _mlp(config: Config, output_dim: int) -> networks.Network:
    return networks.mlp(config.hidden_dims, output_dim, config.init)


def _sample(
    config: Config, actor: Params, observation: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns N actions in each state, [B, N, A] as the noise, and their log-densities [B, N]."""
    mean, log_std = _head(config, actor, observation)
    mean, log_std = (jnp.broadcast_to(x[:, None], noise.shape) for x in (mean, log_std))
    return tanh_normal_sample(mean, log_std, noise)


def limits(config: Config, dataset: Dataset) -> Limits:
    """Returns the bounds on Q and its backup.

    With `backup_entropy` a backup adds alpha times the policy's entropy: of actions in [-1, 1]
    that is at most log 2 a dimension, and about that of the narrowest normal at least. A learned
    alpha counts as at the start: while the entropy is above its target, it only falls. The penalty
    of CQL lowers Q of actions outside the data, and by the backup all others, without end
    (theorem 3.1): where it has weight there is no low limit.
    """
    dim = dataset.action.shape[-1]
    alpha = config.alpha_multiplier * config.alpha if config.backup_entropy else 0.0
    narrowest = config.log_std_min + 0.5 * math.log(2 * math.pi * math.e)
    found = q_limits(config, dataset, alpha * dim * narrowest, alpha * dim * math.log(2))
    if not config.num_actions:
        return found
    return {
        name: (jnp.where(config.cql_weight > 0, -jnp.inf, low), high)
        for name, (low, high) in found.items()
    }


def actor(config: Config, state: State) -> Params:
    """Returns the averaged actor's parameters: the actor's own where `actor_tau` is 1."""
    del config
    return state.average_actor


init_memory = no_memory


def act(
    config: Config,
    params: Params,
    memory: Memory,
    observation: jax.Array,
    reward: jax.Array,
    key: jax.Array,
    temperature: jax.Array,
) -> tuple[jax.Array, Memory]:
    """Returns an action [A]."""
    del reward
    chex.assert_rank(observation, 1)
    mean, log_std = _head(config, params, observation)
    action, _ = tanh_normal_sample(mean, log_std, temperature * jax.random.normal(key, mean.shape))
    return action, memory
