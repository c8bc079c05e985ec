"""dcmfast.options."""
