"""Every exception class of dcmfast, and the exit code that each means to each tool.

Two questions decide the class: whose fault, and what must be answered.  An error of the command
line prints DCMTK's four lines; a failure at start-up or on the network prints log lines.  The exit
codes that differ by tool stand in `EXIT_CODES`; everything else ends with the class's own code.

Rust errors become these classes in one file, ``rust/py/src/error.rs``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DcmfastError(Exception):
    """Base of all; never raised itself."""

    #: Exit code where `EXIT_CODES` names no other for the tool.
    exit_code: int = 1

    #: The level in force when the error arose, once the command line has set it.
    log_level: str | None = None

    #: The text of ``--arguments``, if that option had been acted on when the error arose.
    arguments_line: str | None = None

    #: The logger configuration in force when the error arose (``config.log_cfg.LogTable``).
    log_table: Any = None

    #: Standard error must not be written to (``--inetd``): it may be the association.
    is_discarded: bool = False

    def exit_code_of(self, tool: str) -> int:
        """Return the exit code with which `tool` ends on this error."""
        return EXIT_CODES.get(tool, {}).get(type(self), self.exit_code)


class CommandLineError(DcmfastError):
    """The command line cannot be obeyed: unknown option, bad value, conflict.

    The text is DCMTK's, without ``error: ``.  `is_silent` is True when ``-q`` was in force at the
    check, which hides the text but not the exit code.
    """

    def __init__(self, text: str, *, is_silent: bool = False) -> None:
        super().__init__(text)
        self.is_silent = is_silent


class NotAvailableYet(DcmfastError):
    """The option is understood and checked, but what it asks for is not built yet."""

    def __init__(self, option: str) -> None:
        super().__init__(f"{option} is not available yet")
        self.option = option


class StartupFailure(DcmfastError):
    """What the command line asks for is impossible here.

    `lines` are log lines, each a severity letter and a text, in the order in which they appear.
    """

    def __init__(self, *lines: tuple[str, str]) -> None:
        super().__init__("; ".join(text for _, text in lines))
        self.lines = lines


class LogConfigurationError(StartupFailure):
    """The logger configuration breaks its grammar, or a log file cannot be opened."""


class HostAccessError(StartupFailure):
    """An access control file has a rule that cannot be followed."""


class StandardStreamsError(StartupFailure):
    """The standard streams cannot be replaced by the null device (``--inetd``)."""


class OutputDirectoryError(StartupFailure):
    """The output directory is missing, no directory, or not writable."""


class TlsLayerError(StartupFailure):
    """A key, certificate, cipher suite or profile of TLS cannot be used as asked for."""


class OutputNotWritableError(OutputDirectoryError):
    """movescu's output directory is there and cannot be written to, which has a code of its own."""


class ListenError(StartupFailure):
    """The port is in use, needs a privilege, or cannot be opened for another reason."""


class PortPrivilegeError(ListenError):
    """movescu's port for sub-operations needs a privilege, which has a code of its own."""


class ProfileError(StartupFailure):
    """The association negotiation file, or the profile asked for, cannot be used."""


class ArchiveConfigurationError(StartupFailure):
    """The configuration file of an archive breaks its grammar, or asks for what is not there.

    `complaints` are sentences like DCMTK's, which go to stderr without a prefix and at every level;
    the last log line behind them is its closing one, `warnings` are those before it. `last` is that
    closing line where the grammar is good.
    """

    def __init__(
        self,
        path: str,
        complaints: tuple[str, ...],
        warnings: tuple[str, ...] = (),
        *,
        last: str | None = None,
    ) -> None:
        told = (("W", f"dcmfast.config: {warning}") for warning in warnings)
        super().__init__(*told, ("F", last or f"bad config file: {path}"))
        closing = () if last else (f'Reading configuration file "{path}" with errors',)
        self.complaints = (*complaints, *closing)


class ConfigurationError(StartupFailure):
    """The configuration file is missing, or asks for what cannot be had here."""


class StorageAreaError(StartupFailure):
    """A storage area cannot be served: it is in use, or its directory cannot be had."""


class IndexToolFailure(StartupFailure):
    """A tool of an index cannot do what was asked: the area is in use, or the index unusable."""


class InputFileError(StartupFailure):
    """A file to be sent is missing, unreadable or not DICOM, or there is none at all."""


class NoInputFilesError(InputFileError):
    """There is nothing to send, which has a code of its own in dcmsend."""


class NoValidInputFilesError(InputFileError):
    """Nothing of what there is can be sent, which has a code of its own in dcmsend."""


class ReportFileError(StartupFailure):
    """dcmsend's report cannot be written; everything was sent."""


class QueryFileError(DcmfastError):
    """A query file cannot be read, or is none; found out after associating, as with DCMTK."""


class OutputFileError(DcmfastError):
    """A file that a query's responses go to cannot be written."""


class FileConversionError(StartupFailure):
    """A file cannot be written in another encoding: missing, broken, or without a way to it."""


class UnsentFileError(DcmfastError):
    """A file turned out to be no object that can be sent, or to have no context: the run ends."""


class NothingProposedError(DcmfastError):
    """For a file nothing may be proposed (``--no-illegal-proposal``), and the run ends."""


class AssociationConfigurationError(DcmfastError):
    """The text of an association negotiation file breaks its grammar.

    The text is DCMTK's.  The tools wrap it into a `ProfileError` with their own wording, and a line
    of ours says where: `place` is file, line and what stands there, or nothing.
    """

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place


class NetworkError(DcmfastError):
    """An association could not be had, or was lost."""


class ConnectionFailed(NetworkError):
    """No transport connection: unknown host, refused, timeout."""


class SecurityFailed(NetworkError):
    """TLS ended the connection, in the handshake or later.

    The text is DCMTK's condition, such as ``000b:0886 TLS error: certificate verify failed``;
    `explanation` says in plain words who refused whom, and why.
    """

    def __init__(self, text: str, *, explanation: str) -> None:
        super().__init__(text)
        self.explanation = explanation


class AssociationRejected(NetworkError):
    """The peer answered A-ASSOCIATE-RJ, PS3.8 §9.3.4."""

    def __init__(self, text: str, *, result: int, source: int, reason: int) -> None:
        super().__init__(text)
        self.result = result
        self.source = source
        self.reason = reason


class ContextNotAccepted(NetworkError):
    """No presentation context that serves the purpose; nothing was sent."""


class UserIdentityRefused(NetworkError):
    """The peer accepted the association and did not answer who asked for it, as it should."""


class AssociationAborted(NetworkError):
    """The peer, or the transport below it, ended the association before its time."""

    #: The peer asked for the release in the middle of our work.
    is_release: bool = False
    #: What it did, in words: ``it closed the connection``.
    ending: str = "it ended the association"


class AssociationTimeout(NetworkError):
    """The peer did not answer within the time allowed."""

    #: What it was waited for, in words, where it was no simple answer.
    why: str = ""


class ProtocolError(NetworkError):
    """PS3.7 or PS3.8 was broken."""


class RemoteProtocolError(ProtocolError):
    """The peer broke PS3.7 or PS3.8; the association was aborted for it."""


class LocalProtocolError(ProtocolError):
    """We were about to break PS3.8; nothing was sent.  Always a bug in dcmfast or its caller."""


class DimseError(NetworkError):
    """The final response carries a failure status, PS3.7 Annex C."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status

    def exit_code_of(self, tool: str) -> int:
        """Return storescu's answer, the status's high byte; the table's for the other tools."""
        if tool == "storescu":
            return self.status >> 8 or 1
        return super().exit_code_of(tool)


#: Exit codes by tool, where they differ from the class's own (reference: DCMTK's manual pages).
EXIT_CODES: dict[str, dict[type[DcmfastError], int]] = {
    "storescp": {StandardStreamsError: 99},
    "dcmrecv": {OutputDirectoryError: 45, ListenError: 64, ProfileError: 66, TlsLayerError: 71},
    "dcmqrscp": {ListenError: 10, ArchiveConfigurationError: 10, ConfigurationError: 10},
    "serve": {},
    # 1 is for findings, and for a command line that cannot be obeyed.
    "index": {IndexToolFailure: 2},
    "dcmqridx": {},
    "load": {},
    "record": {},
    "replay": {},
    "show": {},
    "echoscu": {
        AssociationAborted: 70,
        AssociationTimeout: 70,
        SecurityFailed: 70,
        ProtocolError: 70,
        RemoteProtocolError: 70,
        LocalProtocolError: 70,
    },
    "storescu": {AssociationAborted: 10},
    "dcmsend": {
        NoInputFilesError: 21,
        InputFileError: 22,
        NoValidInputFilesError: 23,
        ReportFileError: 43,
        # Of whatever kind: there was no association, or it was lost.
        ConnectionFailed: 61,
        UnsentFileError: 62,
        AssociationAborted: 62,
        AssociationTimeout: 62,
        RemoteProtocolError: 62,
        NothingProposedError: 65,
    },
    "findscu": {ConnectionFailed: 2, AssociationRejected: 2, ContextNotAccepted: 2},
    "getscu": {},
    "movescu": {
        PortPrivilegeError: 2,
        OutputNotWritableError: 40,
        OutputDirectoryError: 45,
        ListenError: 60,
        ConnectionFailed: 61,
        AssociationRejected: 61,
        # Before the association is there, what `net.query` makes of them.
        AssociationTimeout: 69,
        AssociationAborted: 69,
        ProtocolError: 69,
        RemoteProtocolError: 69,
        LocalProtocolError: 69,
        ContextNotAccepted: 66,
        # DIFFERENCES.md D9: DCMTK ends with 0.
        QueryFileError: 69,
        DimseError: 69,
    },
    "dcmconv": {},
}
