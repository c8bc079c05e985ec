"""dcmfast.apps."""
