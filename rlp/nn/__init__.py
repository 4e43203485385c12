"""Neural networks, their optimisation, and distributions: what knows flax and optax."""
