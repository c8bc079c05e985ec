"""One row of a table of hostile inputs, and the tests that such a table makes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pytest

from testkit.answers import Answer
from testkit.process import Receiver


@dataclass(frozen=True)
class Case:
    """Bytes to send, and the answers that are right.

    `dcmtk` holds what DCMTK 3.6.7 answers: the same, or, where DIFFERENCES.md rules "better",
    something else. None means that there is nothing to compare: it hangs, or it was not asked.
    """

    name: str
    data: bytes
    ours: Collection[Answer]
    dcmtk: Collection[Answer] | None = None

    def check(self, receiver: Receiver, answer: Answer) -> None:
        """The answer is one of those that are right for this receiver."""
        wanted = self.ours if receiver.is_ours else self.dcmtk
        assert wanted is not None
        assert answer in wanted, f"{answer}, wanted one of {set(wanted)}"


def both(cases: Iterable[Case]) -> list[object]:
    """Parameters (implementation, case): each case for dcmfast, and for DCMTK where it answers."""
    cases = list(cases)
    parameters: list[object] = [pytest.param("dcmfast", c, id=f"dcmfast-{c.name}") for c in cases]
    parameters += [
        pytest.param("dcmtk", c, id=f"dcmtk-{c.name}") for c in cases if c.dcmtk is not None
    ]
    return parameters


BOTH = pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
