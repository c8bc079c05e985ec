"""Associations that we request: what the engine reports, as the error that knows its exit code."""

from __future__ import annotations

import pytest

from dcmfast import _rust, errors
from dcmfast.net import association


@pytest.mark.parametrize(
    ("engines", "ours"),
    [
        (_rust.ConnectError("refused"), errors.ConnectionFailed),
        (_rust.AssociationRejected(1, 1, 7, "a", "b", "c"), errors.AssociationRejected),
        (_rust.TlsFailed("000b:0886 x", "why"), errors.SecurityFailed),
        (_rust.TimedOut("late"), errors.AssociationTimeout),
        (_rust.PeerAborted("gone", "it did so"), errors.AssociationAborted),
        (_rust.PeerReleased("released", "it did so"), errors.AssociationAborted),
        (_rust.ProtocolError("odd"), errors.RemoteProtocolError),
        (_rust.LocalProtocolError("no context"), errors.LocalProtocolError),
    ],
    ids=lambda one: getattr(one, "__name__", type(one).__name__),
)
def test_every_failure_of_the_engine_has_its_class(
    engines: _rust.AssociationError, ours: type[errors.NetworkError]
) -> None:
    assert type(association.translated(engines)) is ours


def test_no_failure_of_the_engine_is_forgotten() -> None:
    """A new class of `_rust` must be decided on here: the fallback blames the peer."""
    kinds = {
        one
        for one in vars(_rust).values()
        if isinstance(one, type) and issubclass(one, _rust.AssociationError)
    }
    decided = {
        _rust.AssociationError, _rust.ConnectError, _rust.AssociationRejected, _rust.TimedOut,
        _rust.PeerAborted, _rust.PeerReleased, _rust.ProtocolError, _rust.LocalProtocolError,
        _rust.TlsFailed,
    }  # fmt: skip
    assert kinds == decided
