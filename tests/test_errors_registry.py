"""Every error has an exit code and says something; the table names no other."""

from __future__ import annotations

import inspect

import pytest

from dcmfast import errors
from dcmfast.options.specs import all_front_ends

CLASSES = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, errors.DcmfastError)
]
TOOLS = [front_end.tool for front_end in all_front_ends()]

#: Exit codes by tool: DCMTK's manual pages and programs (the classes not named end with 1).
EXPECTED = {
    "storescp": {"StandardStreamsError": 99},
    "dcmrecv": {
        "OutputDirectoryError": 45,
        "ListenError": 64,
        "ProfileError": 66,
        "TlsLayerError": 71,
    },
    "dcmqrscp": {
        "ListenError": 10,
        "ArchiveConfigurationError": 10,
        "ConfigurationError": 10,
    },
    "serve": {},
    "index": {"IndexToolFailure": 2},
    "dcmqridx": {},
    "load": {},
    "record": {},
    "replay": {},
    "show": {},
    "movescu": {
        "PortPrivilegeError": 2,
        "OutputNotWritableError": 40,
        "OutputDirectoryError": 45,
        "ListenError": 60,
        "ConnectionFailed": 61,
        "AssociationRejected": 61,
        "ContextNotAccepted": 66,
        **dict.fromkeys(
            (
                "AssociationAborted",
                "AssociationTimeout",
                "ProtocolError",
                "RemoteProtocolError",
                "LocalProtocolError",
                "QueryFileError",
                "DimseError",
            ),
            69,
        ),
    },
    "findscu": dict.fromkeys(("ConnectionFailed", "AssociationRejected", "ContextNotAccepted"), 2),
    "getscu": {},
    "dcmconv": {},
    "echoscu": dict.fromkeys(
        (
            "AssociationAborted",
            "AssociationTimeout",
            "SecurityFailed",
            "ProtocolError",
            "RemoteProtocolError",
            "LocalProtocolError",
        ),
        70,
    ),
    "storescu": {"AssociationAborted": 10},
    "dcmsend": {
        "NoInputFilesError": 21,
        "InputFileError": 22,
        "NoValidInputFilesError": 23,
        "ReportFileError": 43,
        "ConnectionFailed": 61,
        **dict.fromkeys(
            (
                "UnsentFileError",
                "AssociationAborted",
                "AssociationTimeout",
                "RemoteProtocolError",
            ),
            62,
        ),
        "NothingProposedError": 65,
    },
}


def made(kind: type[errors.DcmfastError]) -> errors.DcmfastError:
    """An error of this class, with whatever it needs."""
    if kind is errors.ArchiveConfigurationError:
        return errors.ArchiveConfigurationError("why", ("because",))
    if issubclass(kind, errors.StartupFailure):
        return kind(("F", "why"))
    if kind is errors.AssociationRejected:
        return errors.AssociationRejected("why", result=1, source=1, reason=1)
    if kind is errors.SecurityFailed:
        return errors.SecurityFailed("why", explanation="because")
    if kind is errors.DimseError:
        return errors.DimseError("why", status=0x0122)
    return kind("why")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda one: one.__name__)
def test_every_error_explains_itself(kind: type[errors.DcmfastError]) -> None:
    assert inspect.getdoc(kind)
    assert "why" in str(made(kind))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("kind", CLASSES, ids=lambda one: one.__name__)
def test_every_error_has_an_exit_code(kind: type[errors.DcmfastError], tool: str) -> None:
    code = made(kind).exit_code_of(tool)
    if kind is not errors.DimseError:
        assert code == EXPECTED[tool].get(kind.__name__, 1)
    assert 1 <= code <= 255


def test_the_table_names_every_tool_and_only_errors() -> None:
    assert list(errors.EXIT_CODES) == TOOLS
    for table in errors.EXIT_CODES.values():
        assert set(table) <= set(CLASSES)


@pytest.mark.parametrize(("status", "code"), [(0xA700, 167), (0xC000, 192), (0x0122, 1), (0x10, 1)])
def test_storescu_ends_with_the_high_byte_of_the_status(status: int, code: int) -> None:
    """DCMTK's storescu does; the others do not."""
    error = errors.DimseError("why", status=status)
    assert error.exit_code_of("storescu") == code
    assert error.exit_code_of("echoscu") == 1


def test_what_an_error_carries() -> None:
    rejected = errors.AssociationRejected("no", result=1, source=2, reason=3)
    assert (rejected.result, rejected.source, rejected.reason) == (1, 2, 3)
    failure = errors.StartupFailure(("E", "a"), ("F", "b"))
    assert (str(failure), failure.lines) == ("a; b", (("E", "a"), ("F", "b")))
    assert str(errors.NotAvailableYet("--fork")) == "--fork is not available yet"
    assert errors.CommandLineError("x", is_silent=True).is_silent
