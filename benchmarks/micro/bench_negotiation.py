"""Compiling the acceptor's negotiation table: once per process, on the way to listening.

Evaluating it happens in Rust, per association; ``rust/core/benches/`` measures that.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dcmfast.config import assoc_cfg
from dcmfast.policy import negotiation
from dcmfast.uids import STORAGE_SOP_CLASSES

#: A profile as sites write them: every storage SOP class, three uncompressed transfer syntaxes.
_PROFILE = "\n".join(
    [
        "[[TransferSyntaxes]]",
        "[Uncompressed]",
        "TransferSyntax1 = 1.2.840.10008.1.2.1",
        "TransferSyntax2 = 1.2.840.10008.1.2.2",
        "TransferSyntax3 = 1.2.840.10008.1.2",
        "[[PresentationContexts]]",
        "[Storage]",
        *(
            f"PresentationContext{number} = {uid}\\Uncompressed"
            for number, uid in enumerate(list(STORAGE_SOP_CLASSES)[:120], start=1)
        ),
        "[[Profiles]]",
        "[Default]",
        "PresentationContexts = Storage",
        "",
    ]
)


@pytest.mark.parametrize("preference", ["uncompr", "accept-all"])
def test_table_of_a_preference(benchmark: BenchmarkFixture, preference: str) -> None:
    """Every storage SOP class of the manual with the transfer syntaxes of one option."""
    table = benchmark(
        negotiation.receiver_table, preference=preference, is_promiscuous=False, profile=None
    )
    assert len(table.entries) > len(STORAGE_SOP_CLASSES) - 1


def test_table_of_a_profile(benchmark: BenchmarkFixture) -> None:
    """Reading a profile's text and compiling it."""

    def compiled() -> negotiation.NegotiationTable:
        profile = assoc_cfg.parse(_PROFILE)["DEFAULT"]
        return negotiation.profile_table(profile)

    assert len(benchmark(compiled).entries) == min(120, len(STORAGE_SOP_CLASSES))
