"""What the prey of BotEvade sees: the polygon of `cellworld_game/torch/visibility.py`, in float32.

The package sends rays to every corner of a wall and past it on both sides, 0.001 radians off. It
joins the points that they hit with straight lines. So the polygon ends at the walls, except for
slivers at the corners where walls end: there it ends at the line from the corner to the surface
behind. Rounding decides on which side of the corner the sliver is, because the ray to the corner
may miss the wall that ends there. Here each point is tested against the walls and the sliver of one
corner. For a point in the slivers of several corners, the package may give another result.

Vectors are pairs (x, y) of arrays.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlp.envs import cellworld_resources as resources

SLIVER = 1e-3  # radians at which rays pass a corner
PI = np.float32(np.pi)
FAR = 1e6  # reach of a ray that hits nothing, in distances to the point
NUMBER_BITS = 255  # mask of the bits that hold the number of a corner

Vector = tuple[jax.Array, jax.Array]


class Walls(NamedTuple):
    """The sides S of walls; each starts at a corner where another ends."""

    starts: jax.Array  # [2, S]
    ends: jax.Array  # [2, S]
    previous: jax.Array  # [S] int32, the side that ends where each starts
    corners: jax.Array  # [S, 3, 2] start of the previous side, start and end of this one


def make(walls: resources.Walls) -> Walls:
    """Returns walls as arrays on the device."""
    starts, ends = walls.vertices[walls.sides].transpose(1, 0, 2)  # [S, 2]
    by_end = {end: number for number, end in enumerate(walls.sides[:, 1])}
    previous = np.array([by_end[start] for start in walls.sides[:, 0]])
    corners = np.stack([starts[previous], starts, ends], axis=1)
    starts, ends, corners = (jnp.asarray(each, jnp.float32) for each in (starts, ends, corners))
    return Walls(starts.T, ends.T, jnp.asarray(previous, jnp.int32), corners)


def is_in_view(walls: Walls, eye: jax.Array, points: jax.Array) -> jax.Array:
    """Returns which points [N, 2] are in the polygon visible from an eye [2], [N] bool."""
    point = _pair(points - eye[None])
    ray = (point[0][:, None], point[1][:, None])  # [N, 1]
    start, end = (_pair((each - eye[:, None]).T[None]) for each in (walls.starts, walls.ends))
    number = _nearest_corner(start, ray)
    before, corner, after = map(_pair, jnp.moveaxis(walls.corners[number] - eye[None, None], 1, 0))
    angle = _cross(corner, point) / _dot(corner, point) / SLIVER  # past the corner, in slivers
    wall_side = jnp.sign(_cross(corner, after))
    is_edge = _cross(corner, before) * wall_side > 0  # both sides are on one side of the ray
    is_in_sliver = is_edge & (jnp.abs(angle) < 1)
    is_behind_wall = angle * wall_side > 0
    is_wall_hit = _rounding(corner) * wall_side <= 0  # whether the ray to the corner hits it
    is_open = is_in_sliver & is_behind_wall & ~is_wall_hit
    sides = jnp.arange(len(walls.previous), dtype=jnp.int32)[None]
    is_own = (sides == number[:, None]) | (sides == walls.previous[number][:, None])
    reach = _reach(start, end, ray, is_open[:, None] & is_own)
    closeness = jnp.sqrt(_dot(point, point) / _dot(corner, corner))
    share = jnp.where(is_open, 1 - jnp.abs(angle), jnp.abs(angle))  # along the line from the corner
    line = (1 - share) * closeness + share / reach  # above 1: the line is in front of the point
    is_hidden = (is_open | (is_in_sliver & ~is_behind_wall & is_wall_hit)) & (line >= 1)
    return (reach > 1) & ~is_hidden


def _nearest_corner(start: Vector, ray: Vector) -> jax.Array:
    """Returns the side [N] whose start [1, S] each ray passes most closely, before the ray's end.

    The last bits of the compared values hold the numbers of the sides.
    """
    distance = jnp.sqrt(_dot(start, start))
    angle = jnp.abs(_cross(ray, start)) / distance  # times the length of the ray
    is_before = (_dot(ray, start) > 0) & (distance < jnp.sqrt(_dot(ray, ray)))
    numbers = jnp.arange(start[0].shape[1], dtype=jnp.int32)[None]
    bits = jax.lax.bitcast_convert_type(jnp.where(is_before, angle, 1), jnp.int32)
    return jnp.min(bits & ~NUMBER_BITS | numbers, axis=1) & NUMBER_BITS


def _reach(start: Vector, end: Vector, ray: Vector, passes: jax.Array) -> jax.Array:
    """Returns where each ray [N, 1] first hits a side, [N], 1 at its end; skips sides `passes`."""
    begins, ends = _cross(ray, start), _cross(ray, end)  # the sign is the side of the ray
    is_crossed = (begins * ends <= 0) & ~passes
    reach = jnp.where(is_crossed, _cross(start, end) / (ends - begins), FAR)
    return jnp.min(jnp.where(reach > 0, reach, FAR), axis=1)


def _rounding(corner: Vector) -> jax.Array:
    """Returns the signs [N] of the rounding errors in the package's angles of rays to corners."""
    x, y = (each.astype(float) for each in corner)  # float64 if it is enabled
    angle = jnp.arctan2(y, x).astype(jnp.float32)
    turned = angle + PI
    return jnp.sign(jnp.where(turned >= 2 * PI, turned - 2 * PI, turned) - PI - angle)


def _pair(vectors: jax.Array) -> Vector:
    return vectors[..., 0], vectors[..., 1]


def _cross(a: Vector, b: Vector) -> jax.Array:
    return a[0] * b[1] - a[1] * b[0]


def _dot(a: Vector, b: Vector) -> jax.Array:
    return a[0] * b[0] + a[1] * b[1]
