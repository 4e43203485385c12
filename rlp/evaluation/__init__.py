"""Policies and the episodes that they play."""
