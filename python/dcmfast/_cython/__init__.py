"""Compiled modules that make and read Python objects; their sources stand in ``cython/``."""
