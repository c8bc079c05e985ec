"""Whether two data sets are the same in everything that a user of pydicom can see.

``Dataset.__eq__`` compares values only. Here also: the order of elements, which of them are still
raw and all nine fields of those, classes of values and of what they remember, offsets, encodings,
items, file meta information, and where the data set came from.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

#: Constructors that pydicom makes anew for each MultiValue: local functions and bound methods.
UNCOMPARABLE_CONSTRUCTORS = {"get_valtype", "_PersonNameConstructor", "_convert"}


@functools.cache
def bundled_files() -> list[Path]:
    """Every file that the installed pydicom brings along, DICOM or not; nothing is downloaded."""
    root = Path(pydicom.__file__).parent / "data"
    return sorted(
        Path(folder) / name
        for folder, _, names in os.walk(root)
        for name in names
        if not name.endswith(".pyc")
    )


@functools.cache
def bundled_file(name: str) -> Path:
    """The first bundled file of that name."""
    return next(path for path in bundled_files() if path.name == name)


@dataclass(frozen=True)
class Outcome:
    """What a call returned or raised, and the warnings it gave."""

    value: Any
    error: tuple[type[BaseException], str] | None
    warnings: list[tuple[type[Warning], str]]


def outcome_of(call: Callable[[], Any]) -> Outcome:
    """Call and keep everything."""
    value, error = None, None
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = call()
        except Exception as raised:
            # Where a recursion ends, and so its last words, depends on how deep the caller was.
            words = "" if isinstance(raised, RecursionError) else str(raised)
            error = (type(raised), words)
    given = [
        (warning.category, str(warning.message))
        for warning in caught
        if warning.category is not ResourceWarning
    ]
    return Outcome(value, error, given)


def touch(data_set: pydicom.Dataset) -> None:
    """Look at every value, at any depth."""
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                touch(item)
        else:
            assert element.value is element.value


def assert_same(ours: pydicom.Dataset, theirs: pydicom.Dataset, where: str = "") -> None:
    """Assert that nothing tells `ours` from `theirs` but its class, which is a subclass."""
    assert isinstance(ours, type(theirs)), where
    assert list(map(int, ours._dict)) == list(map(int, theirs._dict)), where
    our_attributes, their_attributes = dict(ours.__dict__), dict(theirs.__dict__)
    for name in ("_dict", "file_meta", "buffer"):
        our_attributes.pop(name, None)
        their_attributes.pop(name, None)
    assert list(our_attributes) == list(their_attributes), where
    assert our_attributes == their_attributes, where
    for tag, element in theirs._dict.items():
        _assert_same_element(ours._dict[tag], element, f"{where}/{tag}")
    if "file_meta" in theirs.__dict__:
        assert_same(ours.file_meta, theirs.file_meta, f"{where}/file_meta")


def _assert_same_element(ours: Any, theirs: Any, where: str) -> None:
    assert type(ours) is type(theirs), where
    if isinstance(theirs, RawDataElement):
        assert tuple(ours) == tuple(theirs), where
        assert list(map(type, ours)) == list(map(type, theirs)), where
        return
    our_attributes, their_attributes = dict(ours.__dict__), dict(theirs.__dict__)
    assert list(our_attributes) == list(their_attributes), where
    _assert_same_value(our_attributes.pop("_value"), their_attributes.pop("_value"), where)
    assert our_attributes == their_attributes, where
    assert type(ours.VR) is type(theirs.VR), where


def _assert_same_value(ours: Any, theirs: Any, where: str) -> None:
    assert type(ours) is type(theirs), where
    if isinstance(theirs, Sequence):
        # An empty sequence has no such attribute.
        wanted = getattr(theirs, "is_undefined_length", "missing")
        assert getattr(ours, "is_undefined_length", "missing") == wanted, where
        assert len(ours) == len(theirs), where
        for number, (our_item, their_item) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(our_item, their_item, f"{where}[{number}]")
    elif isinstance(theirs, MultiValue | list):
        assert len(ours) == len(theirs), where
        if isinstance(theirs, MultiValue):
            constructor = getattr(theirs._constructor, "__name__", "")
            if constructor not in UNCOMPARABLE_CONSTRUCTORS:
                assert ours._constructor is theirs._constructor, where
        for our_part, their_part in zip(ours, theirs, strict=True):
            _assert_same_value(our_part, their_part, where)
    else:
        assert repr(ours) == repr(theirs), where
        if not hasattr(theirs, "__array__"):  # numpy's, whose equality is an array again
            assert ours == theirs or ours != ours, where  # NaN is equal to nothing
        if hasattr(theirs, "__dict__"):
            assert list(ours.__dict__.items()) == list(theirs.__dict__.items()), where
