"""``dcmfast <tool> …``: find the tool and hand over."""


def main() -> int:
    """Run the tool named by the first argument."""
    raise SystemExit("not built yet")
