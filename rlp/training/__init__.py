"""The compiled program of a population, and the loops around it."""
