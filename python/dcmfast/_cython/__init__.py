"""dcmfast._cython."""
