"""pynetdicom's negotiation functions as the oracle: any proposal, the same results.

Which contexts are accepted, and with which result, must agree. Among several common transfer
syntaxes pynetdicom takes the requestor's first and DCMTK the acceptor's; there we follow DCMTK
(DCMTK 3.6.7), so the oracle is asked what is common and the order is checked apart.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testkit import pdu
from testkit.cases import BOTH
from testkit.kinds import StorescpOf
from testkit.peer import ScriptedPeer

#: What a plain storescp accepts, most wanted first.
ACCEPTED_SYNTAXES = [pdu.EXPLICIT, pdu.BIG_ENDIAN, pdu.IMPLICIT]
ABSTRACT = [
    pdu.VERIFICATION, pdu.CT, pdu.MR, pdu.SECONDARY_CAPTURE, pdu.STUDY_ROOT_FIND,
    "1.2.840.10008.5.1.4.39.1", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3.4",
]  # fmt: skip
SUPPORTED = {ABSTRACT[n] for n in (0, 1, 2, 3, 6)}
SYNTAXES = [*ACCEPTED_SYNTAXES, pdu.DEFLATED, pdu.JPEG_BASELINE, pdu.RLE, "1.2.3.5"]

CONTEXT = st.tuples(
    st.sampled_from(ABSTRACT),
    st.lists(st.sampled_from(SYNTAXES), min_size=1, max_size=5, unique=True),
)


@BOTH
@given(proposed=st.lists(CONTEXT, min_size=1, max_size=20))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_proposal_gets_pynetdicoms_results(
    implementation: str, storescp_of: StorescpOf, proposed: list[tuple[str, list[str]]]
) -> None:
    """PS3.8 Table 9-18: result 0, 3 or 4 for each context."""
    from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

    requested = []
    for number, (abstract, syntaxes) in enumerate(proposed):
        context = PresentationContext()
        context.context_id = 2 * number + 1
        context.abstract_syntax = abstract
        context.transfer_syntax = syntaxes  # type: ignore[assignment]
        requested.append(context)
    supported = [build_context(uid, ACCEPTED_SYNTAXES) for uid in sorted(SUPPORTED)]
    oracle, _ = negotiate_as_acceptor(requested, supported)
    wanted = {context.context_id: context.result for context in oracle}
    with ScriptedPeer(storescp_of(implementation).port) as peer:
        ac = peer.associate([(2 * n + 1, *context) for n, context in enumerate(proposed)])
        peer.send(pdu.abort())
    assert {number: one.result for number, one in ac.contexts.items()} == wanted
    for number, (_, syntaxes) in enumerate(proposed):
        one = ac.contexts[2 * number + 1]
        if one.result == 0:
            first = next(uid for uid in ACCEPTED_SYNTAXES if uid in syntaxes)
            assert one.transfer_syntax == first


@pytest.mark.parametrize("roles", [(1, 0), (0, 1), (1, 1)], ids=str)
@BOTH
def test_role_selection_is_ignored(
    implementation: str, roles: tuple[int, int], storescp_of: StorescpOf
) -> None:
    """DIFFERENCES.md C15: no role item comes back, and the context is accepted."""
    uid = pdu.CT.encode()
    item = pdu.item(0x54, len(uid).to_bytes(2, "big") + uid + bytes(roles))
    with ScriptedPeer(storescp_of(implementation).port) as peer:
        ac = peer.associate(user=pdu.user_information(extra=item))
        peer.send(pdu.abort())
    assert ac.contexts[3].result == 0
    assert 0x54 not in ac.other_items
