"""Faults on demand (``--fault RULE``): what a rule says, and where it is wrong.

A rule is an event, conditions and actions, separated by blanks or commas; text between quotation
marks is one word::

    store every=10 class=CTImageStorage status=A700
    association calling=MODALITY1 rate=5% reject=2/3/2
    store at=data rate=0.01 abort

`EVENTS` is the one table of what goes with what; help, manual page and tests quote it.  The rules
are applied by ``rust/core/src/server/faults.rs``, in the order of the command line.  Of an event
every rule that fires acts: delays add up, and of the actions that end something the first counts.
"""

from __future__ import annotations

from dcmfast.types import UID, AETitle, Record
from dcmfast.uids import uid_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Actions of which an event takes one.
ENDINGS = ("status", "reject", "abort", "close", "truncate")
#: Event → place → actions that can happen there; the first place is meant where none is named.
#: ``data``: the data set's first fragment; ``fragment``: its begin, each fragment and its end;
#: ``response``: in place of the answer or before it; ``next``: behind the answer.
EVENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "association": {
        "response": ("reject", "abort", "close", "truncate", "delay", "slow-read"),
        "next": ("abort", "close", "delay"),
    },
    "echo": {
        "response": ("status", "abort", "close", "truncate", "delay"),
        "next": ("abort", "close", "delay"),
    },
    "store": {
        "response": ("status", "abort", "close", "truncate", "delay", "slow-read"),
        "data": ("abort", "close", "delay"),
        "fragment": ("delay",),
        "next": ("abort", "close", "delay"),
    },
}
#: Words that stand alone.
_BARE = ("abort", "close", "truncate", "reject")
_KEYS = ("at", "every", "rate", "class", "calling", "status", "reject", "delay", "slow-read")
#: Longest delay, in milliseconds: a day.
DELAY_MS_MAX = 86_400_000
_NUMBER_MAX = 2**31 - 1


class FaultRule(Record):
    """One rule, as the engine reads it."""

    #: ``association``, ``echo`` or ``store``.
    event: str
    #: ``response``, ``data``, ``fragment`` or ``next``.
    place: str
    #: Every n-th of the events that the other conditions leave; 0 without this condition.
    every: int = 0
    #: Chance of each of them, of 2**32; None without this condition.
    rate: int | None = None
    #: SOP class of the object, or one that the association proposes; empty for any.
    sop_class: str = ""
    #: Calling AE title; None for any.
    calling: str | None = None
    delay_ms: int = 0
    #: Bytes a second that are read from the peer; 0 as fast as they come.
    slow_read: int = 0
    #: One of `ENDINGS`, or empty.
    ending: str = ""
    #: Of the answer that takes the right one's place; or result, source and reason of a rejection.
    status: int = 0
    rejection: tuple[int, int, int] = (0, 0, 0)
    #: Asked for by an option of its own (``--abort-after``), and told in DCMTK's words.
    is_dial: bool = False


class FaultRuleError(Exception):
    """A rule that cannot be followed; the text says at which character and why."""

    def __init__(self, at: int, word: str, why: str) -> None:
        place = f"character {at + 1}" + (f", {word}" if word else "")
        super().__init__(f"{place}: {why}")


def parse(text: str) -> FaultRule:
    """Read one rule.

    Raises
    ------
    FaultRuleError
        At the first word that cannot be followed.
    """
    words = _words(text)
    if not words:
        raise FaultRuleError(0, "", f"a rule begins with {_listed(EVENTS)}")
    (at, event), *rest = words
    if event not in EVENTS:
        raise FaultRuleError(at, event, f"a rule begins with {_listed(EVENTS)}")
    fields: dict[str, Any] = {"event": event, "place": next(iter(EVENTS[event]))}
    actions: list[tuple[int, str]] = []
    seen: set[str] = set()
    for at, word in rest:
        key, equals, value = word.partition("=")
        if key not in _KEYS and key not in _BARE:
            raise FaultRuleError(at, word, f"expected {_listed((*_KEYS, *_BARE[:-1]))}")
        if key in seen:
            raise FaultRuleError(at, word, f"{key} is there already")
        seen.add(key)
        if equals and key not in _KEYS:
            raise FaultRuleError(at, word, f"{key} takes no value")
        if not value and key not in _BARE:
            raise FaultRuleError(at, word, f"{key} needs a value: {key}=…")
        if any(key in row for row in EVENTS[event].values()):
            actions.append((at, key))
        elif key in ENDINGS or key in ("delay", "slow-read"):
            raise FaultRuleError(at, word, f"not an action of {event}")
        if key in _READERS and (equals or key not in _BARE):
            try:
                fields |= _READERS[key](value, event)
            except ValueError as error:
                raise FaultRuleError(at, word, str(error)) from None
        elif key == "reject":
            fields["rejection"] = (1, 1, 1)
        if key in ENDINGS:
            if fields.get("ending"):
                raise FaultRuleError(at, word, f"not with {fields['ending']}")
            fields["ending"] = key
    if not actions:
        raise FaultRuleError(len(text), "", f"no action: {_listed(_all_actions(event))}")
    place = fields["place"]
    for at, key in actions:
        if key not in EVENTS[event][place]:
            raise FaultRuleError(at, key, f"not at={place}")
    return FaultRule(**fields)


def _words(text: str) -> list[tuple[int, str]]:
    """Return the words with the places at which they begin; quotation marks hold one together."""
    words: list[tuple[int, str]] = []
    word, begin, quoted_from = "", -1, -1
    for at, character in enumerate(text):
        is_blank = character in " ,\t" and quoted_from < 0
        if begin < 0 and not is_blank:
            begin = at
        if character == '"':
            quoted_from = at if quoted_from < 0 else -1
        elif not is_blank:
            word += character
        elif begin >= 0:
            words.append((begin, word))
            word, begin = "", -1
    if quoted_from >= 0:
        raise FaultRuleError(quoted_from, "", "a quotation mark is missing")
    return [*words, (begin, word)] if begin >= 0 else words


def _listed(words: Any) -> str:
    """Return ``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else str(last)


def _all_actions(event: str) -> list[str]:
    actions = [action for row in EVENTS[event].values() for action in row]
    return list(dict.fromkeys(actions))


# ---- Values; each returns fields of the rule, or raises ValueError with the reason


def _place(value: str, event: str) -> dict[str, Any]:
    if value not in EVENTS[event]:
        raise ValueError(f"{event} has {_listed(EVENTS[event])}")
    return {"place": value}


def _whole(value: str, what: str, maximum: int = _NUMBER_MAX) -> int:
    digits = value.lstrip("0") if value.isascii() and value.isdecimal() else ""
    # 20 digits are more than any bound; Python limits how many it reads.
    if not digits or int(digits[:20]) > maximum:
        raise ValueError(f"{what} is a number from 1 to {maximum}")
    return int(digits)


def _every(value: str, _event: str) -> dict[str, Any]:
    return {"every": _whole(value, "every")}


def _decimal(value: str, what: str) -> float:
    digits = value.replace(".", "", 1)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
        raise ValueError(what)
    return float(value)


def _rate(value: str, _event: str) -> dict[str, Any]:
    what = "a rate is from 0 to 1, or from 0% to 100%"
    number = _decimal(value.removesuffix("%"), what) / (100 if value.endswith("%") else 1)
    if number > 1:
        raise ValueError(what)
    return {"rate": round(number * 2**32)}


def _class(value: str, event: str) -> dict[str, Any]:
    if event == "echo":
        raise ValueError("a C-ECHO is of one class only")
    uid = uid_of(value)
    if uid is None:
        try:
            uid = UID(value)
        except ValueError:
            raise ValueError("neither a UID nor the name of one") from None
    return {"sop_class": uid}


def _calling(value: str, _event: str) -> dict[str, Any]:
    try:
        return {"calling": str(AETitle(value))}
    except ValueError:
        raise ValueError("no AE title") from None


def _hexadecimal(value: str, _event: str) -> dict[str, Any]:
    text = value.lower().removesuffix("h").removeprefix("0x")
    if not 1 <= len(text) <= 4 or set(text) - set("0123456789abcdef"):
        raise ValueError("a status has up to four hexadecimal digits, such as A700")
    if text.zfill(4) in ("ff00", "ff01"):
        raise ValueError("a pending status is none of C-ECHO and C-STORE")
    return {"status": int(text, 16)}


def _reject(value: str, _event: str) -> dict[str, Any]:
    parts = value.split("/")
    numbers = [int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) < 4]
    if len(parts) != 3 or len(numbers) != 3 or max(numbers) > 255:
        raise ValueError("a rejection is RESULT/SOURCE/REASON, such as 2/3/2")
    return {"rejection": tuple(numbers)}


def _delay(value: str, _event: str) -> dict[str, Any]:
    what = f"a delay is in seconds, up to {DELAY_MS_MAX // 1000}"
    delay_ms = round(_decimal(value.removesuffix("s"), what) * 1000)
    if delay_ms > DELAY_MS_MAX:
        raise ValueError(what)
    return {"delay_ms": delay_ms}


def _slow_read(value: str, _event: str) -> dict[str, Any]:
    return {"slow_read": _whole(value, "bytes a second")}


_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "at": _place,
    "every": _every,
    "rate": _rate,
    "class": _class,
    "calling": _calling,
    "status": _hexadecimal,
    "reject": _reject,
    "delay": _delay,
    "slow-read": _slow_read,
}
