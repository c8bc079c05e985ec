"""Configuration files and what they mean: read here, decided in ``policy``."""
