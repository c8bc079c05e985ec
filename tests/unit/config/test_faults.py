"""What a fault rule says, and where it is wrong."""

from __future__ import annotations

import pytest

from dcmfast.config import faults
from dcmfast.config.faults import EVENTS, FaultRule, FaultRuleError

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("store status=A700", {"status": 0xA700, "ending": "status"}),
        ("store status=0xb000", {"status": 0xB000, "ending": "status"}),
        ("store status=0110H", {"status": 0x0110, "ending": "status"}),
        ("store,every=10,abort", {"every": 10, "ending": "abort"}),
        (f"store every={'0' * 30}7 abort", {"every": 7, "ending": "abort"}),
        ("store rate=5% close", {"rate": round(2**32 / 20), "ending": "close"}),
        ("store rate=1 close", {"rate": 2**32, "ending": "close"}),
        ("store rate=0 close", {"rate": 0, "ending": "close"}),
        ("  store   truncate ", {"ending": "truncate"}),
        ("store class=CTImageStorage delay=1.5", {"sop_class": CT, "delay_ms": 1500}),
        (f"store class={CT} delay=2s", {"sop_class": CT, "delay_ms": 2000}),
        ("store slow-read=9600", {"slow_read": 9600}),
        ("store at=data abort", {"place": "data", "ending": "abort"}),
        ("store at=fragment delay=1", {"place": "fragment", "delay_ms": 1000}),
        ("store at=next close delay=1", {"place": "next", "ending": "close", "delay_ms": 1000}),
        ('store "calling=MY SCANNER" abort', {"calling": "MY SCANNER", "ending": "abort"}),
        ('store calling="A, B" abort', {"calling": "A, B", "ending": "abort"}),
        ("echo status=0122", {"event": "echo", "status": 0x0122, "ending": "status"}),
        (
            "association reject",
            {"event": "association", "ending": "reject", "rejection": (1, 1, 1)},
        ),
        (
            "association calling=X reject=2/3/2",
            {"event": "association", "calling": "X", "ending": "reject", "rejection": (2, 3, 2)},
        ),
        ("association class=CTImageStorage slow-read=1",
         {"event": "association", "sop_class": CT, "slow_read": 1}),
    ],
)  # fmt: skip
def test_a_rule(text: str, fields: dict[str, object]) -> None:
    assert faults.parse(text) == FaultRule(**({"event": "store", "place": "response"} | fields))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "character 1: a rule begins with association, echo or store"),
        ("stroe abort", "character 1, stroe: a rule begins with"),
        ("store", "character 6: no action: status, abort,"),
        ("store every=2", "character 14: no action"),
        ("store aborted", "character 7, aborted: expected at, every,"),
        ("store every=0 abort", "character 7, every=0: every is a number from 1"),
        (f"store every={'0' * 19}1{'0' * 10} abort", "character 7, every=0"),
        (f"store every=1{'0' * 5000} abort", "character 7, every=1"),
        ("store every= abort", "character 7, every=: every needs a value"),
        ("store every abort", "character 7, every: every needs a value"),
        ("store every=2 every=3 abort", "character 15, every=3: every is there already"),
        ("store rate=1.1 abort", "character 7, rate=1.1: a rate is from 0 to 1"),
        ("store rate=101% abort", "character 7, rate=101%: a rate"),
        ("store rate=-1 abort", "character 7, rate=-1: a rate"),
        ("store rate=1e3 abort", "character 7, rate=1e3: a rate"),
        ("store abort=1", "character 7, abort=1: abort takes no value"),
        ("store status=G", "character 7, status=G: a status has up to four hexadecimal"),
        ("store status=12345", "character 7, status=12345: a status"),
        ("store status=FF00", "character 7, status=FF00: a pending status"),
        ("store reject", "character 7, reject: not an action of store"),
        ("echo slow-read=5", "character 6, slow-read=5: not an action of echo"),
        ("association status=A700", "character 13, status=A700: not an action of association"),
        ("association reject=1/1", "character 13, reject=1/1: a rejection is"),
        ("association reject=1/1/256", "character 13, reject=1/1/256: a rejection is"),
        ("association at=data abort", "character 13, at=data: association has response or next"),
        ("store abort close", "character 13, close: not with abort"),
        ("store at=data status=A700", "character 15, status: not at=data"),
        ("store at=fragment abort", "character 19, abort: not at=fragment"),
        ("store at=next truncate", "character 15, truncate: not at=next"),
        ("echo class=CTImageStorage abort", "character 6, class=CTImageStorage: a C-ECHO is"),
        ("store class=CT abort", "character 7, class=CT: neither a UID nor"),
        ("store calling=12345678901234567 abort", "character 7, calling=12345678901234567: no AE"),
        ("store delay=86401", "character 7, delay=86401: a delay is in seconds, up to 86400"),
        ("store delay=x", "character 7, delay=x: a delay"),
        ('store calling="A abort', "character 15: a quotation mark is missing"),
    ],
)
def test_what_is_wrong_is_shown_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(FaultRuleError) as caught:
        faults.parse(text)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize("event", EVENTS)
def test_every_entry_of_the_table_is_a_rule(event: str) -> None:
    """And what the table does not have is none."""
    values = {"status": "=A700", "delay": "=1", "slow-read": "=1"}
    every_action = {one for rows in EVENTS.values() for row in rows.values() for one in row}
    every_place = {place for rows in EVENTS.values() for place in rows}
    for place in every_place:
        for action in every_action:
            text = f"{event} at={place} {action}{values.get(action, '')}"
            if action in EVENTS[event].get(place, ()):
                assert faults.parse(text).place == place
            else:
                with pytest.raises(FaultRuleError):
                    faults.parse(text)
