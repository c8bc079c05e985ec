"""Associations for Python programs, requested by us: echo, store, find, get and move."""
