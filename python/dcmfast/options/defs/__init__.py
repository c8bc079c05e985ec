"""dcmfast.options.defs."""
