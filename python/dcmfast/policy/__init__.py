"""dcmfast.policy."""
