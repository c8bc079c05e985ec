"""PS3.8 Table 9-10, all 13 states × 19 events: exact action and next state.

The table below was typed from the standard, by rows of events, independently of the one in
``rust/core/src/ul/state_table.rs``. pynetdicom's own transition table is the second opinion.
"""

from __future__ import annotations

import re

import pytest

STATES = [f"Sta{number}" for number in range(1, 14)]
EVENTS = [f"Evt{number}" for number in range(1, 20)]

#: Action → the state after it; two where the action decides (Tables 9-6 to 9-9).
NEXT = {
    "AE-1": "Sta4", "AE-2": "Sta5", "AE-3": "Sta6", "AE-4": "Sta1", "AE-5": "Sta2",
    "AE-6": "Sta3 Sta13", "AE-7": "Sta6", "AE-8": "Sta13",
    "DT-1": "Sta6", "DT-2": "Sta6",
    "AR-1": "Sta7", "AR-2": "Sta8", "AR-3": "Sta1", "AR-4": "Sta13", "AR-5": "Sta1",
    "AR-6": "Sta7", "AR-7": "Sta8", "AR-8": "Sta9 Sta10", "AR-9": "Sta11", "AR-10": "Sta12",
    "AA-1": "Sta13", "AA-2": "Sta1", "AA-3": "Sta1", "AA-4": "Sta1", "AA-5": "Sta1",
    "AA-6": "Sta13", "AA-7": "Sta13", "AA-8": "Sta13",
}  # fmt: skip

#: One row for each event, one column for each state from Sta1 to Sta13; a dash is an empty cell.
TABLE_9_10 = """
Evt1   AE-1 -    -    -    -    -    -    -    -    -    -    -    -
Evt2   -    -    -    AE-2 -    -    -    -    -    -    -    -    -
Evt3   -    AA-1 AA-8 -    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt4   -    AA-1 AA-8 -    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt5   AE-5 -    -    -    -    -    -    -    -    -    -    -    -
Evt6   -    AE-6 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-7
Evt7   -    -    AE-7 -    -    -    -    -    -    -    -    -    -
Evt8   -    -    AE-8 -    -    -    -    -    -    -    -    -    -
Evt9   -    -    -    -    -    DT-1 -    AR-7 -    -    -    -    -
Evt10  -    AA-1 AA-8 -    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt11  -    -    -    -    -    AR-1 -    -    -    -    -    -    -
Evt12  -    AA-1 AA-8 -    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-6
Evt13  -    AA-1 AA-8 -    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3 AA-8 AA-6
Evt14  -    -    -    -    -    -    -    AR-4 AR-9 -    -    AR-4 -
Evt15  -    -    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1 -
Evt16  -    AA-2 AA-3 -    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-3 AA-2
Evt17  -    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AR-5
Evt18  -    AA-2 -    -    -    -    -    -    -    -    -    -    AA-2
Evt19  -    AA-1 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-8 AA-7
"""


def standard_cells() -> dict[tuple[str, str], tuple[str, ...]]:
    """(state, event) → (action, next states…)."""
    cells = {}
    for row in TABLE_9_10.strip().splitlines():
        event, *actions = row.split()
        assert len(actions) == len(STATES), event
        for state, action in zip(STATES, actions, strict=True):
            if action != "-":
                cells[state, event] = (action, *NEXT[action].split())
    return cells


def our_cells() -> dict[tuple[str, str], tuple[str, ...]]:
    """The compiled table in the same form."""
    from dcmfast import _rust

    return {
        (state, event): (action, *re.findall(r"Sta\d+", following))
        for state, event, action, following in _rust.state_table()
    }


def test_pynetdicom_reads_the_standard_as_we_do() -> None:
    """Before it judges anything: the typed table equals another project's."""
    from pynetdicom.fsm import TRANSITION_TABLE

    theirs = {(state, event): action for (event, state), action in TRANSITION_TABLE.items()}
    typed = {cell: values[0] for cell, values in standard_cells().items()}
    assert typed == {cell: action.replace("_", "-") for cell, action in theirs.items()}


@pytest.mark.parametrize("state", STATES)
def test_every_cell_of_a_state(state: str) -> None:
    """Action and next state of each event, empty cells included."""
    ours, standard = our_cells(), standard_cells()
    for event in EVENTS:
        assert ours.get((state, event)) == standard.get((state, event)), (state, event)


def test_there_is_nothing_beside_the_table() -> None:
    """No cell for a state or event that the standard does not know."""
    assert set(our_cells()) == set(standard_cells())
