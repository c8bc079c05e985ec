"""Association negotiation files: grammar, contents, every error.

`tests/compat/test_profiles.py` holds the same texts against DCMTK's storescp.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmfast import uids
from dcmfast.config import assoc_cfg, byte_order
from dcmfast.config.assoc_cfg import NegotiationProfile, ProfileContext
from dcmfast.errors import AssociationConfigurationError
from testkit.profiles import BASE, ERRORS, GOOD, PLACES

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"


def test_a_small_file() -> None:
    assert assoc_cfg.parse(BASE) == {
        "P": NegotiationProfile(
            name="P",
            contexts=(
                ProfileContext(abstract_syntax=CT, transfer_syntaxes=(IMPLICIT,)),
                ProfileContext(abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
            ),
        )
    }


@pytest.mark.parametrize("name", GOOD)
def test_texts_that_are_as_good(name: str) -> None:
    """Blanks, case, line ends, comments and continuations that change nothing."""
    profile = assoc_cfg.parse(GOOD[name])["P"]
    assert [context.abstract_syntax for context in profile.contexts] == [CT, VERIFICATION]
    assert {context.transfer_syntaxes for context in profile.contexts} == {(IMPLICIT,)}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    text, error = ERRORS[name]
    with pytest.raises(AssociationConfigurationError) as caught:
        assoc_cfg.parse(text)
    assert str(caught.value) == error
    assert caught.value.place == PLACES[name]


def test_places_count_comments_and_line_ends_of_every_kind() -> None:
    text = BASE.replace("[P]", "# one\r# two\r\n[P]").replace("= C\n", "= D\n")
    with pytest.raises(AssociationConfigurationError) as caught:
        assoc_cfg.parse(text)
    assert caught.value.place == "line 12: PresentationContexts = D"


def test_what_is_shown_of_a_line_is_short_and_printable() -> None:
    with pytest.raises(AssociationConfigurationError) as caught:
        assoc_cfg.parse(BASE.replace("LittleEndianImplicit", "\x1b[31m" + "x" * 500))
    assert caught.value.place == f"line 3: TransferSyntax1 = ?[31m{'x' * 57}..."


def written(directory: Path, **files: str) -> str:
    """Write files; return the path of the one called main."""
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return str(directory / "main")


def including(*names: str) -> str:
    entries = "".join(f"File{number} = {name}\n" for number, name in enumerate(names, 1))
    return f"[[Includes]]\n[Common]\n{entries}"


SYNTAXES, REST = BASE.split("[[PresentationContexts]]")
CONTEXTS, PROFILES = REST.split("[[Profiles]]")
CONTEXTS, PROFILES = "[[PresentationContexts]]" + CONTEXTS, "[[Profiles]]" + PROFILES


def test_a_file_may_include_others(tmp_path: Path) -> None:
    """Their sections stand before its own, whatever place the includes have; paths are theirs."""
    path = written(
        tmp_path,
        main=PROFILES + including("sub/contexts", "syntaxes"),
        sub__contexts=CONTEXTS + including("../syntaxes"),
        syntaxes=SYNTAXES,
    )
    assert assoc_cfg.read(path) == assoc_cfg.parse(BASE)


def test_what_is_included_is_told_by_file_and_line(tmp_path: Path) -> None:
    path = written(
        tmp_path, main=including("one") + BASE, one=SYNTAXES.replace("LittleEndian", "Little")
    )
    with pytest.raises(AssociationConfigurationError) as caught:
        assoc_cfg.read(path)
    assert str(caught.value) == "not a valid transfer syntax UID: LittleImplicit"
    assert caught.value.place == f"{tmp_path}/one, line 3: TransferSyntax1 = LittleImplicit"


@pytest.mark.parametrize(
    ("files", "text", "place"),
    [
        (
            {"main": including("main")},
            "configuration file includes itself: {}/main",
            "main, line 3",
        ),
        (
            {"main": including("a"), "a": including("b"), "b": including("a")},
            "configuration file includes itself: {}/a",
            "b, line 3",
        ),
        ({"main": including("no")}, "unable to open configuration file: {}/no", "main, line 3"),
        (
            {
                "main": including(*[f"f{n}" for n in range(assoc_cfg.FILES_MAX)]),
                **{f"f{n}": "" for n in range(assoc_cfg.FILES_MAX)},
            },
            f"more than {assoc_cfg.FILES_MAX} configuration files included",
            f"main, line {assoc_cfg.FILES_MAX + 2}",
        ),
    ],
    ids=["itself", "in a circle", "missing", "too many"],
)
def test_includes_that_cannot_be(
    files: dict[str, str], text: str, place: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **files)
    with pytest.raises(AssociationConfigurationError) as caught:
        assoc_cfg.read(path)
    assert str(caught.value) == text.format(tmp_path)
    assert caught.value.place.startswith(f"{tmp_path}/{place}: File")


def test_roles_and_extended_negotiation() -> None:
    text = BASE.replace(
        "[[Profiles]]",
        "[[SCPSCURoleSelection]]\n[R]\nRole1 = CTImageStorage\\both\n"
        "[[ExtendedNegotiation]]\n[E]\nExtendedNegotiation1 = CTImageStorage\\00fF\n[[Profiles]]",
    )
    text += "SCPSCURoleSelection = r\nExtendedNegotiation = e\n"
    profile = assoc_cfg.parse(text)["P"]
    assert profile.roles == ((CT, "BOTH"),)
    assert profile.extended_negotiation == ((CT, b"\x00\xff"),)


def test_a_gap_in_the_numbers_ends_the_list() -> None:
    text = BASE.replace("PresentationContext2", "PresentationContext3")
    assert len(assoc_cfg.parse(text)["P"].contexts) == 1


def test_an_acceptor_needs_each_abstract_syntax_once() -> None:
    text = BASE.replace("VerificationSOPClass", "CTImageStorage")
    assert not assoc_cfg.parse(text)["P"].is_for_acceptor()
    assert (
        assoc_cfg.parse(text)["P"].repetition == "line 7: PresentationContext2 = CTImageStorage\\U"
    )
    assert assoc_cfg.parse(BASE)["P"].is_for_acceptor()
    assert assoc_cfg.parse(BASE)["P"].repetition == ""


@pytest.mark.parametrize(("order", "first"), [("little", ".1"), ("big", ".2")])
def test_local_byte_order(monkeypatch: pytest.MonkeyPatch, order: str, first: str) -> None:
    """A big-endian host is played by the environment."""
    monkeypatch.setenv(byte_order.VARIABLE, order)
    text = BASE.replace(
        "TransferSyntax1 = LittleEndianImplicit",
        "TransferSyntax1 = LocalEndianExplicit\nTransferSyntax2 = OppositeEndianExplicit",
    )
    (local, opposite) = assoc_cfg.parse(text)["P"].contexts[0].transfer_syntaxes
    assert local == f"1.2.840.10008.1.2{first}"
    assert {local, opposite} == {byte_order.EXPLICIT_LITTLE, byte_order.EXPLICIT_BIG}


def test_what_local_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(byte_order.VARIABLE, raising=False)
    monkeypatch.setattr("sys.byteorder", "big")
    assert byte_order.local_byte_order() == "big"
    monkeypatch.setenv(byte_order.VARIABLE, "middle")
    assert byte_order.local_byte_order() == "big"
    monkeypatch.setenv(byte_order.VARIABLE, "little")
    assert byte_order.local_byte_order() == "little"


def test_our_own_example() -> None:
    """Storage classes of the Default profile are all accepted by storescp without a profile."""
    with resources.as_file(resources.files("dcmfast.config") / "storescp.cfg") as path:
        profiles = assoc_cfg.read(str(path))
    assert set(profiles) == {"DEFAULT", "VERIFY"}
    assert all(profile.is_for_acceptor() for profile in profiles.values())
    names = {context.abstract_syntax for context in profiles["DEFAULT"].contexts}
    assert VERIFICATION in names
    assert names - {VERIFICATION} < set(uids.STORAGE_SOP_CLASSES)
    assert len(names) == assoc_cfg.CONTEXTS_MAX


@pytest.mark.dcmtk
def test_debians_files() -> None:
    """Both are read whole; storescu's lists every class several times and suits no acceptor."""
    receiver = assoc_cfg.read("/etc/dcmtk/storescp.cfg")
    assert set(receiver) == {"DEFAULT", "ALLDICOM"}
    default = {one.abstract_syntax: one for one in receiver["DEFAULT"].contexts}
    assert len(default[CT].transfer_syntaxes) == 21
    assert len(default[VERIFICATION].transfer_syntaxes) == 3
    sender = assoc_cfg.read("/etc/dcmtk/storescu.cfg")
    assert set(sender) == {"DEFAULT"}
    assert not sender["DEFAULT"].is_for_acceptor()


@pytest.mark.parametrize("name", ["missing", ".", "nul\0"])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(AssociationConfigurationError) as caught:
        assoc_cfg.read(path)
    assert str(caught.value) == f"unable to open configuration file: {path}"


def test_a_file_without_end_is_not_read_to_the_end() -> None:
    with pytest.raises(AssociationConfigurationError, match="too large"):
        assoc_cfg.read("/dev/zero")


_FRAGMENTS = ["[[", "]]", "[", "]", "=", "\\", "\n", "\r\n", " ", "\t", "#", "\0", "1", "a", "é"]


@given(st.lists(st.one_of(st.sampled_from(_FRAGMENTS + BASE.split("\n")), st.text(max_size=3))))
def test_any_text_is_read_or_refused(fragments: list[str]) -> None:
    """Nothing but the documented error comes out."""
    try:
        profiles = assoc_cfg.parse("".join(fragments))
    except AssociationConfigurationError:
        return
    assert all(profile.contexts for profile in profiles.values())
