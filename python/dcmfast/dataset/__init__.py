"""dcmfast.dataset."""
