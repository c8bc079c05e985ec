"""Negotiation tables: the orders of the manual pages, and pynetdicom as a second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from dcmfast import _rust as rust
from dcmfast.config import byte_order
from dcmfast.config.assoc_cfg import NegotiationProfile, ProfileContext
from dcmfast.options.defs import association
from dcmfast.options.specs.storescp import STORESCP
from dcmfast.policy import negotiation
from dcmfast.policy.negotiation import NegotiationTable
from dcmfast.uids import NAMES, STORAGE_SOP_CLASSES, name_of, uid_of

LEI, LEE, BEE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
VERIFICATION = "1.2.840.10008.1.1"
CHOICES = [option.choice for option in STORESCP.options() if option.field == "preference"]


@pytest.fixture(autouse=True)
def little_endian_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(byte_order.VARIABLE, "little")


@pytest.mark.parametrize(
    ("preference", "tails"),
    [
        ("uncompr", "1 2 0"),
        ("little", "1 2 0"),
        ("big", "2 1 0"),
        ("implicit", "0"),
        ("little-1998", "1 0"),
        ("big-1998", "2 0"),
        ("lossless", "4.70 1 2 0"),
        ("jpeg8", "4.50 1 2 0"),
        ("jpeg12", "4.51 1 2 0"),
        ("j2k-lossless", "4.90 1 2 0"),
        ("j2k-lossy", "4.91 1 2 0"),
        ("jls-lossless", "4.80 1 2 0"),
        ("jls-lossy", "4.81 1 2 0"),
        ("mpeg2", "4.100 1 2 0"),
        ("mpeg2-high", "4.101 1 2 0"),
        ("mpeg4", "4.102 1 2 0"),
        ("mpeg4-bd", "4.103 1 2 0"),
        ("mpeg4-2-2d", "4.104 1 2 0"),
        ("mpeg4-2-3d", "4.105 1 2 0"),
        ("mpeg4-2-st", "4.106 1 2 0"),
        ("hevc", "4.107 1 2 0"),
        ("hevc10", "4.108 1 2 0"),
        ("rle", "5 1 2 0"),
        ("deflated", "1.99 1 2 0"),
        (
            "accept-all",
            (
                "4.91 4.90 4.51 4.50 4.70 4.81 4.80 5 4.100 4.100.1 4.101 4.101.1 4.102 4.102.1 "
                "4.103 4.103.1 4.104 4.104.1 4.105 4.105.1 4.106 4.106.1 4.107 4.108 1.99 1 2 0"
            ),
        ),
    ],
)
def test_the_order_of_every_preference(preference: str, tails: str) -> None:
    """DCMTK 3.6.8's storescp, and 1998's for two; 0 stands for implicit VR."""
    expected = tuple(LEI if tail == "0" else f"{LEI}.{tail}" for tail in tails.split())
    assert negotiation.accepted_transfer_syntaxes(preference) == expected


def test_every_choice_of_the_command_line_has_an_order() -> None:
    assert len(CHOICES) == len(set(CHOICES)) == 25
    for choice in CHOICES:
        assert negotiation.accepted_transfer_syntaxes(choice)[-1] == LEI


def test_a_big_endian_host_swaps_only_what_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    little = {choice: negotiation.accepted_transfer_syntaxes(choice) for choice in CHOICES}
    monkeypatch.setenv(byte_order.VARIABLE, "big")
    big = {choice: negotiation.accepted_transfer_syntaxes(choice) for choice in CHOICES}
    assert {choice for choice in CHOICES if big[choice] != little[choice]} == {
        "uncompr",
        "accept-all",
    }
    assert big["uncompr"] == (BEE, LEE, LEI)
    assert big["accept-all"][-3:] == (BEE, LEE, LEI)


@pytest.mark.parametrize(
    ("proposal", "separate", "combined"),
    [
        ("uncompr", ((LEE,), (BEE, LEI)), (LEE, BEE, LEI)),
        ("big", ((BEE,), (LEE, LEI)), (BEE, LEE, LEI)),
        ("implicit", ((LEI,),), (LEI,)),
        ("lossless", ((f"{LEI}.4.70",), (LEE, BEE, LEI)), (f"{LEI}.4.70", LEE, BEE, LEI)),
        ("mpeg2", ((f"{LEI}.4.100",),), (f"{LEI}.4.100",)),
        ("hevc10", ((f"{LEI}.4.108",),), (f"{LEI}.4.108",)),
    ],
)
def test_what_storescu_proposes(
    proposal: str, separate: tuple[tuple[str, ...], ...], combined: tuple[str, ...]
) -> None:
    assert negotiation.proposed_transfer_syntaxes(proposal, combine=False) == separate
    assert negotiation.proposed_transfer_syntaxes(proposal, combine=True) == (combined,)


def test_every_proposal_of_the_command_line_has_syntaxes() -> None:
    for option in association.PROPOSALS:
        assert negotiation.proposed_transfer_syntaxes(option.choice, combine=True)


def test_echoscus_list_has_38_named_syntaxes() -> None:
    syntaxes = negotiation.ECHO_TRANSFER_SYNTAXES
    assert len(syntaxes) == len(set(syntaxes)) == 38
    assert syntaxes[:3] == (LEI, LEE, BEE)
    assert all(name_of(syntax) for syntax in syntaxes)


def test_storescp_accepts_the_pages_classes() -> None:
    """192 of the 3.6.8 page, PageDescriptionStorage of 1998, and Verification."""
    table = negotiation.storage_table("uncompr")
    accepted = {entry[0] for entry in table.entries}
    assert len(accepted) == 194
    assert {VERIFICATION, "1.2.840.10008.5.1.1.50", "1.2.840.10008.5.1.4.1.1.2"} < accepted
    assert uid_of("HangingProtocolStorage") not in accepted
    assert table.promiscuous_list is None
    assert negotiation.storage_table("uncompr", is_promiscuous=True).promiscuous_list == 0


def test_dcmrecv_without_a_profile_accepts_verification_alone() -> None:
    table = negotiation.receiver_table(preference=None, is_promiscuous=False, profile=None)
    assert table.entries == ((VERIFICATION, 0, "", None),)
    assert table.transfer_syntax_lists == ((LEI,),)
    assert "-xf" in table.abstract_syntax_hint


def test_a_profiles_lists_are_shared() -> None:
    profile = NegotiationProfile(
        name="P",
        contexts=(
            ProfileContext(abstract_syntax="1.1", transfer_syntaxes=(LEE, LEI)),
            ProfileContext(abstract_syntax="1.2", transfer_syntaxes=(LEI,)),
            ProfileContext(abstract_syntax="1.3", transfer_syntaxes=(LEE, LEI)),
        ),
        roles=(("1.2", "BOTH"),),
        extended_negotiation=(("1.3", b"\1"),),
    )
    table = negotiation.receiver_table(preference="little", is_promiscuous=True, profile=profile)
    assert table.transfer_syntax_lists == ((LEE, LEI), (LEI,))
    assert table.entries == (
        ("1.1", 0, "", None),
        ("1.2", 1, "BOTH", None),
        ("1.3", 0, "", None),
    )
    assert table.unasked_information == (("1.3", b"\1"),)
    assert table.promiscuous_list is None


def test_tables_that_contradict_themselves_do_not_exist() -> None:
    with pytest.raises(ValueError, match="list is missing"):
        NegotiationTable(entries=(("1.2", 1, "", None),), transfer_syntax_lists=((LEI,),))
    with pytest.raises(ValueError, match="list is missing"):
        NegotiationTable(entries=(), transfer_syntax_lists=(), promiscuous_list=0)
    with pytest.raises(ValueError, match="stands twice"):
        NegotiationTable(entries=(("1.2", 0, "", None),) * 2, transfer_syntax_lists=((LEI,),))


# ---- pynetdicom's opinion

#: A proposed context as the engine takes it: ID, abstract syntax, transfer syntaxes.
Proposed = tuple[int, str, list[str]]
#: A result as the engine gives it: ID, result of PS3.8 Table 9-18, accepted transfer syntax.
Result = tuple[int, int, str | None]

_ABSTRACT = st.sampled_from(
    [VERIFICATION, *STORAGE_SOP_CLASSES[:6], "1.2.840.10008.5.1.4.38.1", "1.2.3.4", "1.2.3.5"]
)
_TRANSFER = st.sampled_from([uid for uid in NAMES if uid.startswith(LEI)])


@st.composite
def proposals(draw: st.DrawFn) -> list[Proposed]:
    count = draw(st.integers(1, 12))
    return [
        (
            2 * number + 1,
            draw(_ABSTRACT),
            draw(st.lists(_TRANSFER, min_size=1, max_size=6, unique=True)),
        )
        for number in range(count)
    ]


def supported(table: NegotiationTable, proposed: list[Proposed]) -> list[PresentationContext]:
    """The table as pynetdicom's list of supported contexts, for these proposals."""
    lists = {uid: table.transfer_syntax_lists[index] for uid, index, _, _ in table.entries}
    if table.promiscuous_list is not None:
        for _, uid, _ in proposed:
            if uid not in lists and name_of(uid) is None:
                lists[uid] = table.transfer_syntax_lists[table.promiscuous_list]
    contexts = []
    for uid, syntaxes in lists.items():
        context = PresentationContext()
        context.abstract_syntax = uid
        context.transfer_syntax = list(syntaxes)
        contexts.append(context)
    return contexts


def pynetdicoms(table: NegotiationTable, proposed: list[Proposed]) -> list[Result]:
    requested = []
    for context_id, uid, syntaxes in proposed:
        context = PresentationContext()
        context.context_id = context_id
        context.abstract_syntax = uid
        context.transfer_syntax = syntaxes
        requested.append(context)
    results, _ = negotiate_as_acceptor(requested, supported(table, proposed))
    return [
        (one.context_id, one.result, one.transfer_syntax[0] if one.result == 0 else None)
        for one in results
    ]


@given(proposals(), st.sampled_from(CHOICES), st.booleans())
def test_the_engine_agrees_with_pynetdicom(
    proposed: list[Proposed], preference: str, is_promiscuous: bool
) -> None:
    """The engine, the table and an independent implementation give the same results."""
    table = negotiation.storage_table(preference, is_promiscuous=is_promiscuous)
    ours = rust.negotiate(table, proposed)
    assert sorted(ours) == sorted(pynetdicoms(table, proposed))


def by_the_rule(table: NegotiationTable, proposed: list[Proposed]) -> list[Result]:
    """The rule in a few lines of Python: our order decides (DCMTK 3.6.7)."""
    lists = {uid: index for uid, index, _, _ in table.entries}
    results: list[Result] = []
    for context_id, uid, syntaxes in proposed:
        index = lists.get(uid)
        if index is None and name_of(uid) is None:
            index = table.promiscuous_list
        if index is None:
            results.append((context_id, 3, None))
            continue
        first = next((one for one in table.transfer_syntax_lists[index] if one in syntaxes), None)
        results.append((context_id, 4 if first is None else 0, first))
    return results


@given(proposals(), st.sampled_from(CHOICES), st.booleans())
def test_the_table_says_what_pynetdicom_does(
    proposed: list[Proposed], preference: str, is_promiscuous: bool
) -> None:
    """The table read by its rule; the engine's own test is the one above."""
    table = negotiation.storage_table(preference, is_promiscuous=is_promiscuous)
    assert sorted(by_the_rule(table, proposed)) == sorted(pynetdicoms(table, proposed))


# ---- An archive

FIND_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
ALL_MODELS = tuple(negotiation.QUERY_RETRIEVE_SOP_CLASSES)


def archive(**changes: object) -> NegotiationTable:
    values: dict[str, object] = {
        "preference": "uncompr",
        "models": ALL_MODELS,
        "is_get_enabled": True,
        "is_standard": False,
    }
    return negotiation.archive_table(**(values | changes))  # type: ignore[arg-type]


def test_the_query_retrieve_classes_are_the_standards() -> None:
    """By DCMTK's names, which say model and operation."""
    prefixes = {
        "patient-root": "PatientRoot",
        "study-root": "StudyRoot",
        "patient-study": "PatientStudyOnly",
    }
    for model, operations in negotiation.QUERY_RETRIEVE_SOP_CLASSES.items():
        for operation, uid in operations.items():
            name = name_of(uid)
            assert name is not None
            assert operation.upper() in name
            assert prefixes[model] in name


def test_an_archive_accepts_every_class_that_dcmtk_accepts() -> None:
    accepted = {entry[0] for entry in archive().entries}
    queries = {
        uid
        for operations in negotiation.QUERY_RETRIEVE_SOP_CLASSES.values()
        for uid in operations.values()
    }
    assert accepted == {VERIFICATION, *queries, *STORAGE_SOP_CLASSES}
    assert len(queries) == 9
    # DCMTK 3.6.7 has 186 of them, its 3.6.8 pages seven more.
    assert len(STORAGE_SOP_CLASSES) == 193


def test_models_and_get_can_be_left_out() -> None:
    table = archive(models=("study-root",), is_get_enabled=False)
    queries = [entry[0] for entry in table.entries if ".5.1.4.1.2." in entry[0]]
    assert queries == [FIND_STUDY_ROOT, "1.2.840.10008.5.1.4.1.2.2.2"]


@pytest.mark.parametrize(("is_get_enabled", "role"), [(True, "BOTH"), (False, "")])
def test_roles_matter_to_get_alone(is_get_enabled: bool, role: str) -> None:
    roles = {entry[2] for entry in archive(is_get_enabled=is_get_enabled).entries[10:]}
    assert roles == {role}


@pytest.mark.parametrize(
    ("preference", "tails"),
    [
        ("uncompr", "1 2 0"),
        ("big", "2 1 0"),
        ("implicit", "0"),
        ("lossless", "1 2 0"),
        ("deflated", "1.99 1 2 0"),
    ],
)
def test_identifiers_are_never_compressed(preference: str, tails: str) -> None:
    table = archive(preference=preference)
    (entry,) = (one for one in table.entries if one[0] == FIND_STUDY_ROOT)
    expected = tuple(LEI if tail == "0" else f"{LEI}.{tail}" for tail in tails.split())
    assert table.transfer_syntax_lists[entry[1]] == expected


def test_extended_negotiation_is_answered_with_the_standards_rules_alone() -> None:
    """PS3.4 C.5.1.1: relational queries and combined date-time are what matching knows."""
    assert all(entry[3] is None for entry in archive().entries)
    told = {entry[0]: entry[3] for entry in archive(is_standard=True).entries if entry[3]}
    assert told[FIND_STUDY_ROOT] == b"\x01\x01\x00\x00"
    assert len(told) == 9


def test_a_profile_takes_the_place_of_the_storage_classes() -> None:
    ct = "1.2.840.10008.5.1.4.1.1.2"
    profile = NegotiationProfile(
        name="P",
        contexts=(
            ProfileContext(abstract_syntax=ct, transfer_syntaxes=(BEE,)),
            ProfileContext(abstract_syntax=FIND_STUDY_ROOT, transfer_syntaxes=(BEE,)),
        ),
        roles=((ct, "SCP"),),
        extended_negotiation=((ct, b"\1"), (FIND_STUDY_ROOT, b"\2")),
    )
    table = archive(profile=profile)
    assert (table.role_refusal, table.unasked_information) == (3, ((ct, b"\1"),))
    entries = {entry[0]: entry for entry in table.entries}
    assert len(entries) == 1 + 9 + 1
    assert table.transfer_syntax_lists[entries[ct][1]] == (BEE,)
    assert entries[ct][2] == "SCP"
    # The archive's own services do not come from the profile.
    assert table.transfer_syntax_lists[entries[FIND_STUDY_ROOT][1]] == (LEE, BEE, LEI)


def test_keeping_everything_never_makes_a_peer_compress() -> None:
    keep = negotiation.accepted_transfer_syntaxes("keep")
    assert set(keep) == set(negotiation.accepted_transfer_syntaxes("accept-all"))
    assert keep[:3] == (LEE, BEE, LEI)
    lossy = "1.2.840.10008.1.2.4.50"
    assert keep.index("1.2.840.10008.1.2.4.90") < keep.index(lossy)
    assert len(set(keep)) == len(keep)


@pytest.mark.parametrize(
    ("proposal", "tails"),
    [("uncompr", "1 2 0"), ("big", "2 1 0"), ("implicit", "0"), ("lossless", "4.70 1 2 0"),
     ("mpeg2", "4.100"), ("deflated", "1.99 1 2 0")],
)  # fmt: skip
def test_what_is_proposed_to_a_destination(proposal: str, tails: str) -> None:
    expected = tuple(LEI if tail == "0" else f"{LEI}.{tail}" for tail in tails.split())
    assert negotiation.move_transfer_syntaxes(proposal) == expected
