"""The benchmark: speed of training on this machine."""
