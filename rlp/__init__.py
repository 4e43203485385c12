"""rlp: offline reinforcement learning of whole populations, as one compiled program."""

__version__ = "0.1.0"
