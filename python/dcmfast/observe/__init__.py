"""dcmfast.observe."""
