"""dcmfast.net."""
