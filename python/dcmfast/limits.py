"""Every bound on what a peer may make the engine hold, wait for or count.

The constants of ``rust/core/src/limits.rs``, where each stands with its reason, under the same
names and in the unit that the name ends in; quoted by tests and help, never repeated.
"""

from __future__ import annotations

from dcmfast._rust import limits_table

LIMITS: dict[str, int] = limits_table()


def __getattr__(name: str) -> int:
    """Return a bound by its name, such as ``MAX_PDU_BYTES_MAX``."""
    try:
        return LIMITS[name]
    except KeyError:
        raise AttributeError(name) from None
