"""The version of rlp, which runs record."""

__version__ = "0.1.0"
