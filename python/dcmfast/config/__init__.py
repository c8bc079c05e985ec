"""dcmfast.config."""
