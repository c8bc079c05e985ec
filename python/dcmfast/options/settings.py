"""What will be done: the settings of each tool, made from what was typed.

The only part of the options that looks outside: at directories, profiles and the environment.  Each
function here takes the arguments behind a tool's name and returns its settings, or raises what the
tool must say; wording and exit codes are those of each DCMTK program.

Settings are plain values, for ``net`` to hand to the engine: times in seconds with None for
"without end", sizes in bytes, choices as words.
"""

from __future__ import annotations

import os

from dcmfast.config import assoc_cfg, log_cfg
from dcmfast.errors import (
    AssociationConfigurationError,
    CommandLineError,
    DcmfastError,
    ListenError,
    NotAvailableYet,
    OutputDirectoryError,
    PortPrivilegeError,
    ProfileError,
)
from dcmfast.options import encodings, grammar
from dcmfast.options.option import FrontEnd, leading_number
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.tls_settings import TlsSettings, tls
from dcmfast.types import AETitle, OutputEncoding, PeerAddress, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from dcmfast.config.assoc_cfg import NegotiationProfile
    from dcmfast.config.dictionary import Dictionary
    from dcmfast.config.faults import FaultRule
    from dcmfast.config.log_cfg import LogTable

    Settings = TypeVar("Settings")

#: Longest time that is told apart from "without end", in seconds (68 years).
SECONDS_MAX = 2**31 - 1
#: Largest number that a socket option takes.
_C_INT_MAX = 2**31 - 1
#: Longest prefix of a study's folder; the engine's own bound.
STUDY_PREFIX_BYTES_MAX = 190
#: What DCMTK takes TCP_BUFFER_LENGTH=0 for.
_TCP_BUFFER_BYTES_DEFAULT = 65536
#: Files of access rules (``+ac``): hosts_access(5), and variables that name others.
HOST_ACCESS_FILES = (
    ("DCMFAST_HOSTS_ALLOW", "/etc/hosts.allow"),
    ("DCMFAST_HOSTS_DENY", "/etc/hosts.deny"),
)
#: DCMTK's warning, and the cure.
DCMRECV_WITHOUT_PROFILE = (
    "no configuration file specified, SCP will only support the Verification SOP Class "
    "(--config-file FILE PROFILE names what else is received)"
)


class GeneralSettings(Record):
    """What every tool has."""

    tool: str
    #: ``fatal``, ``error``, ``warn``, ``info``, ``debug``, ``trace`` or ``off``.
    log_level: str
    #: The logger configuration (``-lc``, ``--log-json``); None for lines on stderr.
    log_table: LogTable | None
    #: Presentation contexts are shown at INFO already (``+v``).
    is_verbose_pc: bool
    #: Text for one INFO event that no level filters (``--arguments``); None without that option.
    arguments_line: str | None
    #: Nagle's algorithm off; only ``TCP_NODELAY=0`` in the environment keeps it.
    is_tcp_nodelay: bool
    #: Send and receive buffer of every socket; None leaves them to the system.
    tcp_buffer_bytes: int | None
    #: What ``DCMDICTPATH`` puts in the place of the built-in data dictionary; None for nothing.
    dictionary: Dictionary | None
    #: Texts for WARN events, to be shown before anything else happens.
    warnings: tuple[str, ...]


class ReceiverSettings(GeneralSettings):
    """What storescp and dcmrecv will do."""

    port: int
    #: What every connection is secured with; None for plain TCP.
    tls: TlsSettings | None
    ae_title: AETitle
    #: Answer with the called title instead (``-uca``); invisible on the wire, as with DCMTK.
    is_called_title_used: bool
    #: Choice for ``policy.negotiation``; None where nothing is stored without a profile.
    preference: str | None
    is_promiscuous: bool
    profile: NegotiationProfile | None
    acse_timeout_s: int
    dimse_timeout_s: int | None
    socket_timeout_s: int | None
    max_pdu_bytes: int
    is_host_looked_up: bool
    #: Reject every association.
    is_refusing: bool
    #: Reject associations without an implementation class UID.
    is_rejecting_anonymous: bool
    #: Receive and answer, store nothing.
    is_ignoring: bool
    #: Space-padded UIDs are compared without the padding.
    is_uid_padding_allowed: bool
    #: ``threads``; ``single``: one association at a time; ``fork``: a process for each;
    #: ``inetd``: the one on standard input.
    process_model: str
    #: Without a trailing separator; exists and is writable.
    output_directory: str
    is_bit_preserving: bool
    #: How a data set is written unless bits are preserved.
    output_encoding: OutputEncoding | None
    #: File meta information is written; False stores the data set alone (``-F``).
    is_meta_written: bool
    #: ``uid``, ``unique``, ``time``, ``short-unique`` or ``system-time``.
    naming: str
    #: ``none`` or ``series-date``; by study ``study-time``, ``study-uid`` or ``patient-name``.
    subdirectory: str
    #: What the names of studies' folders begin with.
    study_prefix: str
    #: Command lines for the shell, with DCMTK's placeholders; None runs nothing.
    exec_on_reception: str | None
    exec_on_eostudy: str | None
    #: Files of a complete study are given numbers.
    is_renaming_on_eostudy: bool
    #: A study is complete when nothing has come for so long; 0 is a time, None is no such end.
    eostudy_timeout_s: int | None
    #: Commands are waited for.
    is_exec_synchronous: bool
    #: Appended to every name as it is; holds no path separator.
    extension: str
    #: ``none``, ``group`` or ``each``.
    durability: str
    #: ``replace``, ``keep`` or ``reject``.
    duplicate: str
    associations_max: int
    #: The tool's name in the rules, hosts.allow and hosts.deny; None lets in every host.
    host_access: tuple[str, str, str] | None = None
    #: What fails on purpose, and the seed of its rates.
    faults: tuple[FaultRule, ...] = ()
    fault_seed: int = 1


class RequestorSettings(GeneralSettings):
    """What the requestors have in common."""

    peer: PeerAddress
    #: What every connection is secured with; None for plain TCP.
    tls: TlsSettings | None
    ae_title: AETitle
    called_ae_title: AETitle
    connection_timeout_s: int | None
    acse_timeout_s: int
    dimse_timeout_s: int | None
    socket_timeout_s: int | None
    max_pdu_bytes: int
    repeat: int
    #: A-ABORT instead of a release at the end.
    is_aborting: bool


class EchoSettings(RequestorSettings):
    """What echoscu will do."""

    #: How many transfer syntaxes of `policy.negotiation.ECHO_TRANSFER_SYNTAXES` are proposed.
    transfer_syntax_count: int
    context_count: int
    #: The result goes to standard output (``--json``).
    is_json: bool
    #: A certificate to look at instead of calling anybody (``+vc``), and one (``+rc``).
    verified_certificate: str | None
    root_certificate: str | None


# ---- The tools


def storescp(front_end: FrontEnd, arguments: list[str]) -> ReceiverSettings | ParsedOptions:
    """Read storescp's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    profiles: list[NegotiationProfile] = []

    def read_profile(path: str, name: str) -> None:
        profiles.append(_storescp_profile(path, name))

    # storescp reads the file in the middle of its checks.
    parsed = parse(front_end, arguments, {"profile": read_profile})
    if parsed.exclusive:
        return parsed

    def build() -> ReceiverSettings:
        refuse_unavailable(parsed)
        common = general(parsed)
        # Shown before the directory is looked at.
        before = common["dictionary"].lines if common["dictionary"] is not None else ()
        directory = directory_typed(parsed)
        is_ignoring = parsed.flag("ignore")
        if not os.path.isdir(directory):
            raise OutputDirectoryError(*before, ("F", "specified output directory does not exist"))
        if not is_ignoring and not os.access(directory, os.W_OK | os.X_OK):
            raise OutputDirectoryError(
                *before, ("F", "specified output directory is not writeable")
            )
        process_model = "threads"
        if parsed.flag("inetd"):
            process_model = "inetd"
        elif parsed.flag("process_model"):
            process_model = parsed.choice("process_model")
        receiver = _receiver(parsed)
        receiver["faults"] += _dials(parsed)
        return ReceiverSettings(
            **common,
            **receiver,
            is_called_title_used=False,
            preference=parsed.choice("preference"),
            is_promiscuous=parsed.flag("promiscuous"),
            profile=profiles[0] if profiles else None,
            socket_timeout_s=seconds(parsed, "socket_timeout_s"),
            is_refusing=parsed.flag("refuse"),
            is_rejecting_anonymous=parsed.flag("reject"),
            is_ignoring=is_ignoring,
            is_uid_padding_allowed=parsed.flag("uid_padding"),
            process_model=process_model,
            output_directory=directory,
            is_bit_preserving=parsed.choice("bit_preserving") == "bit-preserving",
            output_encoding=encodings.output_encoding(parsed),
            is_meta_written=parsed.choice("file_format") == "file",
            naming="time" if parsed.flag("timenames") else parsed.choice("naming"),
            subdirectory=parsed.choice("sorting") if parsed.flag("sorting") else "none",
            study_prefix=str((*parsed.values("sorting"), "")[0]),
            exec_on_reception=_command(parsed, "exec_on_reception"),
            exec_on_eostudy=_command(parsed, "exec_on_eostudy"),
            is_renaming_on_eostudy=parsed.flag("rename_on_eostudy"),
            eostudy_timeout_s=_time(parsed, "eostudy_timeout_s"),
            is_exec_synchronous=parsed.flag("exec_sync"),
            host_access=host_access(parsed, os.environ),
        )

    return built(parsed, build)


def dcmrecv(front_end: FrontEnd, arguments: list[str]) -> ReceiverSettings | ParsedOptions:
    """Read dcmrecv's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> ReceiverSettings:
        refuse_unavailable(parsed)
        common = general(parsed)
        # These lines are shown before anything can fail.
        before: list[tuple[str, str]] = []
        if common["dictionary"] is not None:
            before += common["dictionary"].lines
        before.append(("I", "configuring service class provider ..."))
        profile = None
        if parsed.flag("profile"):
            path, name = parsed.values("profile")
            profile = _dcmrecv_profile(str(path), str(name), before)
        else:
            before.append(("W", DCMRECV_WITHOUT_PROFILE))
            common["warnings"] += (DCMRECV_WITHOUT_PROFILE,)
        directory = directory_typed(parsed)
        if not os.path.isdir(directory):
            raise OutputDirectoryError(
                *before, ("F", "cannot specify output directory: Directory does not exist")
            )
        if not os.access(directory, os.W_OK | os.X_OK):
            raise OutputDirectoryError(
                *before, ("F", "cannot specify output directory: Directory is not writable")
            )
        mode = parsed.choice("storage_mode")
        return ReceiverSettings(
            **common,
            **_receiver(parsed),
            is_called_title_used=parsed.flag("ae_title") and parsed.choice("ae_title") == "called",
            preference=None,
            is_promiscuous=False,
            profile=profile,
            # dcmrecv has no option for it; DCMTK's library default holds.
            socket_timeout_s=60,
            is_refusing=False,
            is_rejecting_anonymous=False,
            is_ignoring=mode == "ignore",
            is_uid_padding_allowed=False,
            process_model="threads",
            output_directory=directory,
            is_bit_preserving=mode == "bit-preserving",
            output_encoding=encodings.OF_DCMRECV,
            is_meta_written=True,
            naming=parsed.choice("naming"),
            subdirectory=parsed.choice("subdirectory"),
            study_prefix="",
            exec_on_reception=None,
            exec_on_eostudy=None,
            is_renaming_on_eostudy=False,
            eostudy_timeout_s=None,
            is_exec_synchronous=False,
        )

    return built(parsed, build)


def echoscu(front_end: FrontEnd, arguments: list[str]) -> EchoSettings | ParsedOptions:
    """Read echoscu's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> EchoSettings:
        refuse_unavailable(parsed)
        return EchoSettings(
            **general(parsed),
            **requestor(parsed),
            transfer_syntax_count=number(parsed, "propose_transfer_syntaxes"),
            context_count=number(parsed, "propose_contexts"),
            is_json=parsed.flag("report_json"),
            verified_certificate=_typed(parsed, "verify_certificate"),
            root_certificate=_typed(parsed, "is_root_certificate"),
        )

    return built(parsed, build)


# ---- What listening can fail with, for ``net``


def cannot_listen(tool: str, port: int, reason: str, *, is_privilege: bool) -> ListenError:
    """Return the error of a port that cannot be opened.

    `reason` is the system's text, such as ``Address already in use``; `is_privilege` is True when
    the port needs a privilege that the process has not.
    """
    if tool == "dcmrecv":
        if is_privilege:
            return ListenError(
                ("E", f"No privileges to open this network port ({port})"),
                ("F", f"cannot start SCP and listen on port {port}: Insufficient port privileges"),
            )
        return ListenError(
            (
                "F",
                f"cannot start SCP and listen on port {port}: TCP Initialization Error: {reason}",
            ),
        )
    if tool == "serve":
        cure = "a port above 1023 needs no privilege" if is_privilege else "choose one"
        return ListenError(("F", f"cannot listen on port {port}: {reason}; {cure}: --port N"))
    if tool == "movescu":
        if is_privilege:
            return PortPrivilegeError(
                ("F", f"cannot listen on port {port}, insufficient privileges")
            )
        return ListenError(
            ("F", f"cannot create network: 0006:031c TCP Initialization Error: {reason}")
        )
    if is_privilege:
        return ListenError(("F", f"cannot listen on port {port}, insufficient privileges"))
    if tool != "storescp":
        return ListenError(
            ("F", f"cannot initialize network: 0006:031c TCP Initialization Error: {reason}")
        )
    return ListenError(
        ("E", f"cannot create network: 0006:031c TCP Initialization Error: {reason}")
    )


# ---- Parts


def parse(
    front_end: FrontEnd, arguments: list[str], reached: Mapping[str, Callable[..., str | None]]
) -> ParsedOptions:
    """Read the command line, with the checks of values that need more than their form."""
    tables: list[LogTable] = []
    is_json: list[bool] = []

    def read_log_config(path: str) -> str:
        text = log_cfg.complaint(path)
        if text is not None:
            raise CommandLineError(text)
        tables.append(log_cfg.read(path, front_end.tool, os.environ))
        return tables[0].level_of(f"dcmtk.apps.{front_end.tool}")

    def log_table(level: str) -> LogTable | None:
        return log_cfg.json_table(level) if is_json else tables[0] if tables else None

    def check_extension(extension: str) -> None:
        # DCMTK finds out when the first object comes; it then cannot store anything at all.
        if "/" in extension or "\0" in extension:
            raise CommandLineError(
                f"Invalid value for option --filename-extension (path separator: {extension})"
            )

    def check_prefix(prefix: str = "") -> None:
        # DCMTK finds out when the first object comes, or leaves the output directory.
        above = prefix.split("/")[:-1]
        is_bad = any(part in ("", ".", "..") for part in above) or "\0" in prefix
        if is_bad or len(os.fsencode(prefix)) > STUDY_PREFIX_BYTES_MAX:
            raise CommandLineError(f"Invalid value for the prefix of subdirectories ({prefix})")

    def check_title(title: str = "") -> None:
        try:
            AETitle.cut(title)
        except ValueError:
            raise CommandLineError(f"Invalid value for AE title ({title!r})") from None

    try:
        parsed = grammar.parse(
            front_end,
            arguments,
            reached={
                "log_config": read_log_config,
                "log_json": lambda: is_json.append(True),
                "extension": check_extension,
                "sorting": check_prefix,
                "ae_title": check_title,
                "called_ae_title": check_title,
                **reached,
            },
        )
    except DcmfastError as error:
        if _is_for_inetd(front_end, arguments):
            error.is_discarded = True
        error.log_table = log_table(error.log_level or grammar.DEFAULT_LOG_LEVEL)
        raise
    return parsed.replace(log_table=log_table(parsed.log_level))


def _is_for_inetd(front_end: FrontEnd, arguments: list[str]) -> bool:
    """Return True if what goes to standard error may reach a peer, whatever else is wrong."""
    names = {
        name for one in front_end.options() if one.field == "inetd" for name in one.names
    }.intersection(arguments)
    # File type "socket"; the module `stat` is not needed for one number.
    return bool(names) and os.fstat(2).st_mode & 0o170000 == 0o140000


def built(parsed: ParsedOptions, build: Callable[[], Settings]) -> Settings:
    """Return what `build` returns; its errors learn how they are to be reported."""
    try:
        return build()
    except DcmfastError as error:
        error.log_level = parsed.log_level
        error.log_table = parsed.log_table
        error.arguments_line = parsed.arguments_line
        error.is_discarded = "inetd" in parsed.chosen
        raise


def refuse_unavailable(parsed: ParsedOptions) -> None:
    """Refuse options that are still to come; every check of the command line has passed."""
    if parsed.unavailable:
        raise NotAvailableYet(parsed.unavailable[0])


def read(
    front_end: FrontEnd, arguments: list[str], build: Callable[[ParsedOptions], Settings]
) -> Settings | ParsedOptions:
    """Return what `build` makes of a command line that nothing but its options' checks looks at.

    `ParsedOptions` comes back for ``--help`` and its kind.
    """
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def checked() -> Settings:
        refuse_unavailable(parsed)
        return build(parsed)

    return built(parsed, checked)


def general(parsed: ParsedOptions) -> dict[str, Any]:
    """Return the fields of `GeneralSettings`."""
    warnings: list[str] = []
    is_nodelay, buffer_bytes = tcp_environment(os.environ, warnings)
    return {
        "tool": parsed.front_end.tool,
        "log_level": parsed.log_level,
        "log_table": parsed.log_table,
        "is_verbose_pc": has(parsed, "verbose_pc") and parsed.flag("verbose_pc"),
        "arguments_line": parsed.arguments_line,
        "is_tcp_nodelay": is_nodelay,
        "tcp_buffer_bytes": buffer_bytes,
        "dictionary": dictionary(os.environ),
        "warnings": tuple(warnings),
    }


def _receiver(parsed: ParsedOptions) -> dict[str, Any]:
    return {
        # Checked, but with --inetd, which needs none.
        "port": parsed.port or 0,
        "tls": tls(parsed),
        "ae_title": AETitle.cut(parsed.text("ae_title")),
        "acse_timeout_s": seconds(parsed, "acse_timeout_s"),
        "dimse_timeout_s": seconds(parsed, "dimse_timeout_s"),
        "max_pdu_bytes": number(parsed, "max_pdu_bytes"),
        "is_host_looked_up": not parsed.flag("disable_host_lookup"),
        "extension": parsed.text("extension"),
        "durability": parsed.text("durability"),
        "duplicate": parsed.text("duplicate"),
        "associations_max": number(parsed, "associations_max"),
        "faults": faults(parsed),
        "fault_seed": number(parsed, "fault_seed"),
    }


def _command(parsed: ParsedOptions, field: str) -> str | None:
    return str(parsed.values(field)[0]) if parsed.flag(field) else None


def _time(parsed: ParsedOptions, field: str) -> int | None:
    """Return a time of which 0 is one, too."""
    typed = parsed.number(field)
    return None if typed is None else min(typed, SECONDS_MAX)


#: Takes the place of a peer where none is asked for.
_NOBODY = PeerAddress(host="", port=1)


def requestor(parsed: ParsedOptions) -> dict[str, Any]:
    """Return the fields of `RequestorSettings` that `general` does not give."""
    # Without a port an option stands alone (+vc): nobody is called.
    peer = (
        _NOBODY if parsed.port is None else PeerAddress(host=parsed.parameters[0], port=parsed.port)
    )
    return {
        "peer": peer,
        "tls": tls(parsed),
        "ae_title": AETitle.cut(parsed.text("ae_title")),
        "called_ae_title": AETitle.cut(parsed.text("called_ae_title")),
        "connection_timeout_s": seconds(parsed, "connection_timeout_s"),
        "acse_timeout_s": seconds(parsed, "acse_timeout_s"),
        "dimse_timeout_s": seconds(parsed, "dimse_timeout_s"),
        # DCMTK's retrieving tools have no option for it, and wait without end.
        "socket_timeout_s": seconds(parsed, "socket_timeout_s")
        if has(parsed, "socket_timeout_s")
        else None,
        "max_pdu_bytes": number(parsed, "max_pdu_bytes"),
        # dcmsend has neither.
        "repeat": number(parsed, "repeat") if has(parsed, "repeat") else 1,
        "is_aborting": has(parsed, "abort") and parsed.flag("abort"),
    }


def _typed(parsed: ParsedOptions, field: str) -> str | None:
    values = parsed.values(field)
    return str(values[0]) if values else None


def has(parsed: ParsedOptions, field: str) -> bool:
    """Return True if the tool has options of this field."""
    return any(option.field == field for option in parsed.front_end.options())


def number(parsed: ParsedOptions, field: str) -> int:
    """Return a number that has a default."""
    typed = parsed.number(field)
    assert typed is not None, f"{field} has a default"
    return min(typed, SECONDS_MAX)


def seconds(parsed: ParsedOptions, field: str) -> int | None:
    """Return a time; 0 and -1 mean without end, where the option takes them, and so does None."""
    typed = parsed.number(field)
    return None if typed is None or typed <= 0 else min(typed, SECONDS_MAX)


def directory_typed(parsed: ParsedOptions) -> str:
    """Return the output directory without trailing separators; an empty one is the current."""
    typed = parsed.text("output_directory")
    return typed.rstrip("/") or ("/" if typed else ".")


def stands_at(letter: str, place: str) -> tuple[tuple[str, str], ...]:
    """Return the log line that says where the fault of the line before it stands, if that is known.

    A line of its own, because scripts know DCMTK's by heart.
    """
    return ((letter, f"dcmfast.config: {place}"),) if place else ()


def _storescp_profile(path: str, name: str) -> NegotiationProfile:
    try:
        profiles = assoc_cfg.read(path)
    except AssociationConfigurationError as error:
        raise ProfileError(
            ("F", f"cannot read config file: {error}"), *stands_at("F", error.place)
        ) from None
    key = assoc_cfg.reference(name)
    profile = profiles.get(key)
    if profile is None:
        raise ProfileError(("F", f"unknown configuration profile name: {key}"))
    if not profile.is_for_acceptor():
        raise ProfileError(
            (
                "F",
                f"profile '{key}' is not valid for SCP use, duplicate abstract syntaxes found",
            ),
            *stands_at("F", profile.repetition),
        )
    return profile


def _dcmrecv_profile(path: str, name: str, before: list[tuple[str, str]]) -> NegotiationProfile:
    last = "cannot load association configuration: "
    if not path or not name:
        why = "Illegal parameter" if path else "Invalid filename"
        raise ProfileError(*before, ("F", f"{last}{why}"))
    try:
        profiles = assoc_cfg.read(path)
    except AssociationConfigurationError as error:
        raise ProfileError(
            *before,
            ("E", f"Unable to parse association configuration file: {path}: {error}"),
            *stands_at("E", error.place),
            ("F", f"{last}{error}"),
        ) from None
    profile = profiles.get(assoc_cfg.reference(name))
    if profile is not None and profile.is_for_acceptor():
        return profile
    if profile is None:
        why = (
            f'No association profile named "{name}" in association configuration, '
            "did you forget to add presentation contexts?"
        )
    else:
        why = f'The association profile named "{name}" is not a valid SCP association profile'
    raise ProfileError(
        *before,
        ("E", why),
        *stands_at("E", "" if profile is None else profile.repetition),
        ("F", f"{last}Invalid or non-existing SCP Association Profile"),
    )


def dictionary(environment: Mapping[str, str]) -> Dictionary | None:
    """Return the data dictionary that the environment names; None for the built-in one."""
    paths = environment.get("DCMDICTPATH")
    if not paths:
        return None
    # Imported here: most run without.
    from dcmfast.config import dictionary as files

    return files.read(paths)


def faults(parsed: ParsedOptions) -> tuple[FaultRule, ...]:
    """Return what ``--fault`` asks for, and storescp's own options of that kind behind it."""
    rules = []
    if parsed.flag("faults"):
        # Not needed by anybody else on the way to listening.
        from dcmfast.config.faults import FaultRuleError
        from dcmfast.config.faults import parse as parse_rule

        for (text,) in parsed.all_values("faults"):
            try:
                rules.append(parse_rule(str(text)))
            except FaultRuleError as error:
                raise CommandLineError(
                    f"Invalid value for option --fault ({text}): {error}"
                ) from None
    return tuple(rules)


def _dials(parsed: ParsedOptions) -> tuple[FaultRule, ...]:
    """Return what ``--sleep-after`` and its kind ask for, as rules."""
    asked_for: list[dict[str, Any]] = []
    for field, place in (("sleep_during_s", "fragment"), ("sleep_after_s", "next")):
        if number(parsed, field):
            asked_for.append({"place": place, "delay_ms": number(parsed, field) * 1000})
    for field, place in (("abort_during", "data"), ("abort_after", "response")):
        if parsed.flag(field):
            asked_for.append({"place": place, "ending": "abort"})
    if not asked_for:
        return ()
    from dcmfast.config.faults import FaultRule

    return tuple(FaultRule(event="store", is_dial=True, **fields) for fields in asked_for)


def host_access(
    parsed: ParsedOptions, environment: Mapping[str, str]
) -> tuple[str, str, str] | None:
    """Return the tool's name in the rules of ``+ac``, and the files that hold them."""
    if parsed.choice("access_control") != "tcp-wrapper":
        return None
    allow, deny = (environment.get(name) or path for name, path in HOST_ACCESS_FILES)
    return (parsed.front_end.tool, allow, deny)


def tcp_environment(environment: Mapping[str, str], warnings: list[str]) -> tuple[bool, int | None]:
    """Read TCP_NODELAY and TCP_BUFFER_LENGTH; what cannot be read is a warning and ignored.

    Returns
    -------
    is_nodelay
        False only if the environment asks for Nagle's algorithm with 0.  DCMTK leaves it on by
        default, which costs 44 ms per object.
    buffer_bytes
        Size of the sockets' buffers; None leaves them to the system.
    """

    def number(name: str) -> int | None:
        text = environment.get(name)
        if text is None:
            return None
        found = leading_number(text)
        if found is None:
            warnings.append(f"DUL: cannot parse environment variable {name}={text}")
            return None
        return max(-_C_INT_MAX, min(found, _C_INT_MAX))

    nodelay = number("TCP_NODELAY")
    buffer_bytes = number("TCP_BUFFER_LENGTH")
    if buffer_bytes is not None and buffer_bytes <= 0:
        buffer_bytes = _TCP_BUFFER_BYTES_DEFAULT
    return nodelay != 0, buffer_bytes
