"""Storage areas for Python callers: query, open, verify, rebuild, serve."""
