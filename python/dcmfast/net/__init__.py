"""Associations: what Python starts and stops, and Rust carries."""
