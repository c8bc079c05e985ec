"""How long a peer may keep a request open by responses before its last (``net.query.Patience``)."""

from __future__ import annotations

import pytest

from dcmfast import limits
from dcmfast.errors import AssociationTimeout, RemoteProtocolError
from dcmfast.net import query
from dcmfast.types import Record


class Bounds(Record):
    dimse_timeout_s: int | None = None
    progress_timeout_s: int | None = None
    responses_max: int | None = None


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(query, "monotonic", made)
    return made


def defaults() -> Bounds:
    return Bounds(
        progress_timeout_s=limits.PENDING_PROGRESS_S, responses_max=limits.PENDING_RESPONSES_MAX
    )


def test_as_many_as_bring_something_new() -> None:
    """PENDING_RESPONSES_MAX of them, and not one more; a good peer's million is no fault."""
    patience = query.Patience(defaults())
    for number in range(limits.PENDING_RESPONSES_MAX):
        patience.came(number)
    with pytest.raises(RemoteProtocolError, match=r"more than 1000000 .*--max-responses"):
        patience.came("one more")


def test_a_wait_for_objects_in_which_none_comes(clock: Clock) -> None:
    """Of a C-GET without responses: bytes of an object are news, and the same number is none."""
    patience = query.Patience(Bounds(progress_timeout_s=10))
    for received in (0, 5, 9):
        patience.waited(received)
        clock.now += 9
    patience.waited(9)
    clock.now += 1
    with pytest.raises(RemoteProtocolError, match=r"requests for 10 s .*--progress-timeout"):
        patience.waited(9)
    endless = query.Patience(Bounds())
    clock.now += 1e6
    endless.waited(0)


@pytest.mark.parametrize("news", [None, b"the same", (1, 1, 0, 0)])
def test_responses_in_a_row_without_news(news: object) -> None:
    """PENDING_WITHOUT_NEWS_MAX: news begins it anew, and --max-responses 0 lifts it."""
    patience = query.Patience(defaults())
    patience.came("news")
    for _ in range(2):
        for _ in range(limits.PENDING_WITHOUT_NEWS_MAX - 1):
            patience.came("news")
        patience.came("other")
        patience.came("news")
    patience.came(news)
    first = 0 if news is None else 1
    for _ in range(limits.PENDING_WITHOUT_NEWS_MAX - 2 + first):
        patience.came(news)
    with pytest.raises(RemoteProtocolError, match=r"65536 responses in a row"):
        patience.came(news)
    lifted = query.Patience(Bounds())
    for _ in range(limits.PENDING_WITHOUT_NEWS_MAX + 1):
        lifted.came(news)


def test_an_hour_without_news(clock: Clock) -> None:
    """PENDING_PROGRESS_S: a peer that only says that it lives; news begins it anew."""
    patience = query.Patience(defaults())
    for count in range(3):
        patience.came(count)
        clock.now += limits.PENDING_PROGRESS_S - 1
        patience.came(count)
    clock.now += 1
    with pytest.raises(RemoteProtocolError, match=r"for 3600 s .*--progress-timeout"):
        patience.came(2)
    without_end = query.Patience(Bounds(dimse_timeout_s=1))
    without_end.came(1)
    clock.now += 1_000_000
    without_end.came(1)


@pytest.mark.parametrize(
    ("bounds", "seconds", "option"),
    [
        (Bounds(dimse_timeout_s=5, progress_timeout_s=3600), 5, "--dimse-timeout"),
        (Bounds(dimse_timeout_s=5), 5, "--dimse-timeout"),
        (Bounds(dimse_timeout_s=50, progress_timeout_s=7), 7, "--progress-timeout"),
        (Bounds(progress_timeout_s=7), 7, "--progress-timeout"),
    ],
)
def test_of_a_find_they_are_silence(
    bounds: Bounds, seconds: int, option: str, clock: Clock
) -> None:
    patience = query.Patience(bounds, is_find=True)
    patience.came(b"match")
    clock.now += seconds - 1
    patience.came(b"match")
    clock.now += 1
    with pytest.raises(RemoteProtocolError, match=rf"for {seconds} s .*{option}"):
        patience.came(b"match")


def test_a_c_cancel_is_obeyed_within_the_dimse_timeout(clock: Clock) -> None:
    patience = query.Patience(Bounds(dimse_timeout_s=5))
    patience.check()
    patience.begin()
    clock.now += 4.9
    patience.check()
    clock.now += 0.1
    with pytest.raises(AssociationTimeout) as caught:
        patience.check()
    assert "--dimse-timeout" in caught.value.why
