"""What the query and retrieve clients will do: settings made from what was typed.

As `settings`, for the tools that send an identifier: query files and keys, an information model,
and for those that retrieve, how what comes is stored.
"""

from __future__ import annotations

import os

from dcmfast.errors import CommandLineError, OutputDirectoryError, OutputNotWritableError
from dcmfast.options import encodings, settings
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import ReceiverSettings, RequestorSettings
from dcmfast.types import AETitle, OutputEncoding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


#: Sub-associations at once, as many as a receiver's associations without an option.
_SUB_ASSOCIATIONS_MAX = 512


class QuerySettings(RequestorSettings):
    """What every tool that sends an identifier has."""

    #: Query files, in the order typed; one request each, ``--repeat`` times in a row.
    files: tuple[str, ...]
    #: Keys that replace or supplement those of the files, in the order in which they are set.
    keys: tuple[bytes, ...]
    #: Of ``policy.negotiation.QUERY_RETRIEVE_SOP_CLASSES``, or ``worklist``.
    model: str
    #: Choice for ``policy.negotiation.identifier_transfer_syntaxes``.
    proposal: str
    #: VRs that the standard got after 1993 may stand in identifiers; else they become OB.
    has_new_vrs: bool
    #: Of identifiers that are deflated, 0 to 9; None for the usual one.
    deflate_level: int | None
    #: Responses before the last of one request at most; None takes any number.
    responses_max: int | None
    #: They may bring nothing new for so long; None is without end.
    progress_timeout_s: int | None


class MoveSettings(QuerySettings):
    """What movescu will do."""

    destination: AETitle
    #: The storage service for our own sub-operations; None without ``--port``.
    receiver: ReceiverSettings | None
    #: Data sets behind pending responses are read, and not taken for missing.
    is_pending_data_read: bool
    #: Responses after which the request is cancelled; None never does.
    cancel_after: int | None


def movescu(
    front_end: FrontEnd, arguments: list[str], *, check_key: Callable[[str], None]
) -> MoveSettings | ParsedOptions:
    """Read movescu's command line; `ParsedOptions` comes back for ``--help`` and its kind.

    `check_key` raises `CommandLineError` for a key that the dictionary does not know.
    """
    parsed = settings.parse(front_end, arguments, {"keys": check_key})
    if parsed.exclusive:
        return parsed

    def build() -> MoveSettings:
        settings.refuse_unavailable(parsed)
        # Of two keys with one tag the first typed counts (DCMTK's movescu), so it is set last.
        query = _query(parsed, last_key_counts=False)
        title = AETitle.cut(parsed.text("ae_title"))
        destination = AETitle.cut(parsed.text("destination")) if _is_typed(parsed) else title
        return MoveSettings(
            **query,
            destination=destination,
            receiver=_receiver(
                parsed,
                port=int(parsed.values("receiving_port")[0]),
                is_meta_written=parsed.choice("file_format") == "file",
                encoding=encodings.output_encoding(parsed),
            )
            if parsed.choice("receiving_port") == "listen"
            else None,
            is_pending_data_read=parsed.choice("pending_data") == "read",
            cancel_after=parsed.number("cancel_after"),
        )

    return settings.built(parsed, build)


def _is_typed(parsed: ParsedOptions) -> bool:
    return parsed.flag("destination")


class FindSettings(QuerySettings):
    """What findscu will do."""

    #: Responses are told at INFO: None leaves it to the level.
    is_showing: bool | None
    #: Any option of the log was typed.
    is_level_typed: bool
    #: Blanks that pad text are no part of it (``+dc``).
    is_correcting: bool
    #: ``none``, ``file``, ``xml`` or ``xml-single``.
    extraction: str
    #: Where extracted responses go; without a trailing separator.
    output_directory: str
    #: For ``xml-single``.
    extraction_file: str
    #: Responses extracted at most; None has no end.
    extraction_max: int | None
    #: The result goes to stdout as JSON.
    is_json: bool
    #: Responses after which the request is cancelled; None never does.
    cancel_after: int | None


class GetSettings(QuerySettings):
    """What getscu will do."""

    #: Choice for ``policy.negotiation.accepted_transfer_syntaxes``.
    preference: str
    #: How objects are stored; nothing listens.
    receiver: ReceiverSettings


def findscu(
    front_end: FrontEnd, arguments: list[str], *, check_key: Callable[[str], None]
) -> FindSettings | ParsedOptions:
    """Read findscu's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = settings.parse(front_end, arguments, {"keys": check_key})
    if parsed.exclusive:
        return parsed

    def build() -> FindSettings:
        settings.refuse_unavailable(parsed)
        query = _query(parsed, last_key_counts=True)
        extraction = parsed.choice("extraction") if parsed.flag("extraction") else "none"
        directory = settings.directory_typed(parsed)
        if extraction != "none":
            _check_directory(directory)
        is_typed = parsed.flag("shown_responses")
        values = parsed.values("extraction")
        return FindSettings(
            **query,
            is_showing=parsed.choice("shown_responses") == "show" if is_typed else None,
            is_level_typed=any(
                parsed.flag(field) for field in ("verbosity", "log_level", "log_config", "log_json")
            ),
            is_correcting=parsed.choice("data_correction") == "enable",
            extraction=extraction,
            output_directory=directory,
            extraction_file=str(values[0]) if values else "",
            extraction_max=parsed.number("limit_output"),
            is_json=parsed.flag("json"),
            cancel_after=parsed.number("cancel_after"),
        )

    return settings.built(parsed, build)


def getscu(
    front_end: FrontEnd, arguments: list[str], *, check_key: Callable[[str], None]
) -> GetSettings | ParsedOptions:
    """Read getscu's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = settings.parse(front_end, arguments, {"keys": check_key})
    if parsed.exclusive:
        return parsed

    def build() -> GetSettings:
        settings.refuse_unavailable(parsed)
        query = _query(parsed, last_key_counts=True)
        return GetSettings(
            **query,
            preference=parsed.choice("preference"),
            receiver=_receiver(
                parsed,
                port=1,
                is_meta_written=True,
                encoding=encodings.OF_GETSCU,
                # DCMTK's: what goes to disk directly has no prefix in its name.
                naming="bare-uid" if parsed.choice("bit_preserving") == "bit-preserving" else "uid",
            ),
        )

    return settings.built(parsed, build)


# ---- Parts


def _check_directory(directory: str) -> None:
    if not os.path.isdir(directory):
        raise OutputDirectoryError(("F", "specified output directory does not exist"))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OutputNotWritableError(("F", "specified output directory is not writeable"))


def _query(parsed: ParsedOptions, *, last_key_counts: bool) -> dict[str, Any]:
    """Return the fields of `QuerySettings`."""
    files = parsed.parameters[2:]
    typed = [os.fsencode(str(values[0])) for values in parsed.all_values("keys")]
    if not files and not typed:
        raise _refused(parsed, "either query file or override keys (or both) must be specified")
    for file in files:
        if not os.access(file, os.R_OK):
            raise _refused(parsed, f"cannot access file: {file}")
    return {
        **settings.general(parsed),
        **settings.requestor(parsed),
        "files": files,
        "keys": tuple(typed if last_key_counts else reversed(typed)),
        "model": parsed.choice("model"),
        "proposal": parsed.choice("proposal"),
        "has_new_vrs": not settings.has(parsed, "new_vr") or parsed.choice("new_vr") == "enable",
        "deflate_level": parsed.number("compression_level")
        if settings.has(parsed, "compression_level") and parsed.flag("compression_level")
        else None,
        "responses_max": parsed.number("responses_max") or None,
        "progress_timeout_s": settings.seconds(parsed, "progress_timeout_s"),
    }


def _refused(parsed: ParsedOptions, text: str) -> CommandLineError:
    return CommandLineError(text, is_silent=parsed.log_level in ("fatal", "off"))


def _receiver(
    parsed: ParsedOptions,
    *,
    port: int,
    is_meta_written: bool,
    encoding: OutputEncoding,
    naming: str = "uid",
) -> ReceiverSettings:
    """Return how objects that come are stored, as storescp's settings say it."""
    directory = settings.directory_typed(parsed)
    is_ignoring = parsed.flag("ignore")
    if not is_ignoring or settings.has(parsed, "receiving_port"):
        _check_directory(directory)
    return ReceiverSettings(
        **settings.general(parsed),
        port=port,
        tls=None,
        ae_title=AETitle.cut(parsed.text("ae_title")),
        is_called_title_used=False,
        preference=parsed.choice("preference"),
        is_promiscuous=False,
        profile=None,
        acse_timeout_s=settings.number(parsed, "acse_timeout_s"),
        dimse_timeout_s=settings.seconds(parsed, "dimse_timeout_s"),
        # An association idles while the peer looks for its next object.
        socket_timeout_s=None,
        max_pdu_bytes=settings.number(parsed, "max_pdu_bytes"),
        is_host_looked_up=False,
        is_refusing=False,
        is_rejecting_anonymous=False,
        is_ignoring=is_ignoring,
        is_uid_padding_allowed=settings.has(parsed, "uid_padding") and parsed.flag("uid_padding"),
        process_model="threads",
        output_directory=directory if not is_ignoring else ".",
        is_bit_preserving=parsed.choice("bit_preserving") == "bit-preserving",
        output_encoding=encoding,
        is_meta_written=is_meta_written,
        naming=naming,
        subdirectory="none",
        study_prefix="",
        exec_on_reception=None,
        exec_on_eostudy=None,
        is_renaming_on_eostudy=False,
        eostudy_timeout_s=None,
        is_exec_synchronous=False,
        extension="",
        durability=parsed.text("durability"),
        duplicate=parsed.text("duplicate"),
        associations_max=_SUB_ASSOCIATIONS_MAX,
        host_access=settings.host_access(parsed, os.environ)
        if settings.has(parsed, "access_control")
        else None,
    )
