"""Neural networks, their optimisation, and distributions: the code that uses flax and optax."""
