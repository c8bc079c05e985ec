"""Command lines: options, grammar, settings, and the texts that are made from them."""
