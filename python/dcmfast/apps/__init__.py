"""The front ends: one module per tool, each options → settings → run."""
