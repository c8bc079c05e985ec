"""dcmfast.options.specs."""
