"""What an archive will do: the settings of dcmqrscp and serve, made from what was typed.

Beside ``settings``, whose rules hold here too: the functions take the arguments behind a tool's
name and return its settings, or raise what the tool must say, in DCMTK's words.
"""

from __future__ import annotations

import os

from dcmfast import limits
from dcmfast.config import assoc_cfg, qrscp_cfg
from dcmfast.config.qrscp_cfg import (
    CharacterSetEntry,
    ConfiguredApplication,
    ConfiguredPeer,
    NamedPeers,
    QRConfig,
)
from dcmfast.errors import (
    AssociationConfigurationError,
    CommandLineError,
    ConfigurationError,
    ProfileError,
)
from dcmfast.options.defs.archive import DIRECTORY_DEFAULT
from dcmfast.options.encodings import output_encoding
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import (
    GeneralSettings,
    built,
    faults,
    general,
    host_access,
    number,
    parse,
    refuse_unavailable,
    seconds,
    stands_at,
)
from dcmfast.types import AETitle, OutputEncoding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.config.assoc_cfg import NegotiationProfile
    from dcmfast.config.faults import FaultRule

#: Where a configuration is looked for when none is named: the manual's place, then DCMTK's.
CONFIG_FILES = ("./dcmqrscp.cfg", "/etc/dcmtk/dcmqrscp.cfg")
#: Peers that may wait for their turn with ``-s``.
WAITING_MAX = limits.PENDING_CONNECTIONS_MAX
#: Information models, with the option that disables each.
MODELS = {
    "patient-root": "no_patient_root",
    "study-root": "no_study_root",
    "patient-study": "no_patient_study",
}


class ArchiveSettings(GeneralSettings):
    """What dcmqrscp and serve will do."""

    port: int
    #: Address to listen on; empty for every address of the host.
    bind: str
    #: The file that `config` was read from; empty if there is none.
    config_file: str
    config: QRConfig
    #: User and group to become once the port is open; empty to stay.
    user_name: str
    group_name: str
    #: Index of the application that answers called titles which `config` does not have.
    default_application: int | None
    #: Choice for ``policy.negotiation.accepted_transfer_syntaxes``.
    preference: str
    #: Choice for ``policy.negotiation.proposed_transfer_syntaxes``.
    proposal: str
    #: In place of the two above.
    in_profile: NegotiationProfile | None
    out_profile: NegotiationProfile | None
    #: Information models that are served, of `MODELS`.
    models: tuple[str, ...]
    #: ``title``, ``host``, ``vendor``: what a C-MOVE destination must share with who asks.
    move_targets: tuple[str, ...]
    is_find_required: bool
    is_store_exclusive: bool
    is_get_enabled: bool
    is_shutdown_allowed: bool
    is_find_checked: bool
    is_move_checked: bool
    #: ``dcmtk`` or ``standard``.
    matching: str
    #: Of responses: the configuration's, with what was typed.
    character_set: CharacterSetEntry
    #: The data sets of responses are shown below -v already (``-vv``).
    is_very_verbose: bool
    connection_timeout_s: int | None
    acse_timeout_s: int
    dimse_timeout_s: int | None
    max_pdu_bytes: int
    is_host_looked_up: bool
    is_refusing: bool
    is_rejecting_anonymous: bool
    is_ignoring: bool
    is_uid_padding_allowed: bool
    #: One association at a time (``-s``).
    is_single_process: bool
    is_bit_preserving: bool
    #: How a data set is written unless bits are preserved; None where they always are.
    output_encoding: OutputEncoding | None
    is_meta_written: bool
    durability: str
    duplicate: str
    #: 0 refuses every association.
    associations_max: int
    #: The tool's name in the rules, hosts.allow and hosts.deny; None lets in every host.
    host_access: tuple[str, str, str] | None = None
    #: What fails on purpose, and the seed of its rates.
    faults: tuple[FaultRule, ...] = ()
    fault_seed: int = 1


def dcmqrscp(front_end: FrontEnd, arguments: list[str]) -> ArchiveSettings | ParsedOptions:
    """Read dcmqrscp's command line and its configuration; `ParsedOptions` for ``--help``."""
    profiles: list[NegotiationProfile] = []

    def read_profiles(path: str, incoming: str, outgoing: str) -> None:
        profiles.extend(_profiles(path, incoming, outgoing))

    # The profiles are read in the middle of the checks, the configuration behind them.
    parsed = parse(front_end, arguments, {"profile": read_profiles})
    if parsed.exclusive:
        return parsed

    def build() -> ArchiveSettings:
        refuse_unavailable(parsed)
        common = general(parsed)
        path, config = _configuration(parsed)
        common["warnings"] += tuple(f"dcmfast.config: {one}" for one in config.warnings)
        if not config.applications:
            why = f"{path} has no AE title in an AETable"
            common["warnings"] += (f"dcmfast.config: {why}: every association will be rejected",)
        max_pdu_bytes = parsed.number("max_pdu_bytes")
        associations_max = parsed.number("associations_max")
        is_single_process = parsed.choice("process_model") == "single"
        if associations_max is None:
            # DCMTK counts children, and so nobody with -s: peers wait for their turn.
            configured = WAITING_MAX if is_single_process else config.max_associations
            associations_max = min(configured, limits.CONFIGURED_ASSOCIATIONS_MAX)
        return ArchiveSettings(
            **common,
            port=parsed.port or config.network_port,
            bind="",
            config_file=path,
            config=config,
            user_name=config.user_name,
            group_name=config.group_name,
            default_application=None,
            preference=parsed.choice("preference"),
            proposal=parsed.choice("proposal"),
            in_profile=profiles[0] if profiles else None,
            out_profile=profiles[1] if profiles else None,
            models=tuple(model for model, field in MODELS.items() if not parsed.flag(field)),
            move_targets=tuple(one for one in parsed.taken("move_targets") if one != "any"),
            is_find_required=parsed.flag("require_find"),
            is_store_exclusive=parsed.flag("no_parallel_store"),
            is_get_enabled=not parsed.flag("disable_get"),
            is_shutdown_allowed=parsed.flag("allow_shutdown"),
            is_find_checked=parsed.choice("check_find") == "yes",
            is_move_checked=parsed.choice("check_move") == "yes",
            matching=parsed.text("matching"),
            character_set=_character_set(parsed, config.character_set),
            is_very_verbose=parsed.flag("verbosity")
            and parsed.choice("verbosity") == "very-verbose",
            connection_timeout_s=seconds(parsed, "connection_timeout_s"),
            acse_timeout_s=seconds(parsed, "acse_timeout_s") or limits.ACSE_TIMEOUT_S_DEFAULT,
            dimse_timeout_s=seconds(parsed, "dimse_timeout_s"),
            max_pdu_bytes=max_pdu_bytes or config.max_pdu_bytes,
            is_host_looked_up=not parsed.flag("disable_host_lookup"),
            is_refusing=parsed.flag("refuse"),
            is_rejecting_anonymous=parsed.flag("reject"),
            is_ignoring=parsed.flag("ignore"),
            is_uid_padding_allowed=parsed.flag("uid_padding"),
            is_single_process=is_single_process,
            is_bit_preserving=parsed.choice("bit_preserving") == "bit-preserving",
            output_encoding=output_encoding(parsed),
            is_meta_written=parsed.choice("file_format") == "file",
            durability=parsed.text("durability"),
            duplicate=parsed.text("duplicate"),
            associations_max=associations_max,
            host_access=host_access(parsed, os.environ),
            faults=faults(parsed),
            fault_seed=number(parsed, "fault_seed"),
        )

    return built(parsed, build)


#: The one application of serve, which answers to every called title.
SERVE_TITLE = "DCMFAST"
#: Largest P-DATA-TF that serve announces: what costs least per object, PS3.8 Annex D.1.
SERVE_MAX_PDU_BYTES = limits.MAX_PDU_BYTES_MAX


def serve(front_end: FrontEnd, arguments: list[str]) -> ArchiveSettings | ParsedOptions:
    """Read serve's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed
    return built(parsed, lambda: _serve(parsed))


def _serve(parsed: ParsedOptions) -> ArchiveSettings:
    bind = _address(parsed.text("bind"))
    peers = tuple(_peer(str(values[0])) for values in parsed.all_values("peers"))
    directory = parsed.parameters[0] if parsed.parameters else DIRECTORY_DEFAULT
    common = general(parsed)
    if not _is_loopback(bind):
        warning = f"whoever can reach {bind} can store and read: there is no access control"
        common["warnings"] += (f"dcmfast.serve: {warning}",)
    return ArchiveSettings(
        **common,
        port=number(parsed, "port_number"),
        bind=bind,
        config_file="",
        config=QRConfig(
            hosts=tuple(NamedPeers(name=one.ae_title, peers=(one,)) for one in peers),
            applications=(
                ConfiguredApplication(
                    ae_title=SERVE_TITLE,
                    storage_area=directory,
                    access="RW",
                    studies_max=None,
                    study_bytes_max=None,
                    peers=None,
                ),
            ),
        ),
        user_name="",
        group_name="",
        default_application=0,
        preference="keep",
        proposal="uncompr",
        in_profile=None,
        out_profile=None,
        models=tuple(MODELS),
        move_targets=(),
        is_find_required=False,
        is_store_exclusive=False,
        is_get_enabled=True,
        is_shutdown_allowed=False,
        is_find_checked=False,
        is_move_checked=False,
        matching=parsed.text("matching"),
        # What a client without a character set of its own gets is UTF-8, which loses nothing.
        character_set=CharacterSetEntry(character_set="ISO_IR 192"),
        is_very_verbose=False,
        # Moves end after the engine's own bound.
        connection_timeout_s=None,
        acse_timeout_s=limits.ACSE_TIMEOUT_S_DEFAULT,
        dimse_timeout_s=None,
        max_pdu_bytes=SERVE_MAX_PDU_BYTES,
        is_host_looked_up=False,
        is_refusing=False,
        is_rejecting_anonymous=False,
        is_ignoring=False,
        is_uid_padding_allowed=True,
        is_single_process=False,
        is_bit_preserving=False,
        # Whoever stores here gets back what was sent.
        output_encoding=None,
        is_meta_written=True,
        durability=parsed.text("durability"),
        duplicate=parsed.text("duplicate"),
        associations_max=number(parsed, "associations_max"),
        faults=faults(parsed),
        fault_seed=number(parsed, "fault_seed"),
    )


def _address(text: str) -> str:
    """Return the address to listen on; a name would not say which of several it means."""
    from ipaddress import ip_address

    try:
        return str(ip_address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        raise CommandLineError(
            f"Invalid value for option --bind ({text}): expected an IP address"
        ) from None


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _peer(text: str) -> ConfiguredPeer:
    """Read ``TITLE=HOST:PORT``."""
    title, _, place = text.partition("=")
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        title = AETitle(title)
        if not (title and host and port.isdecimal() and 1 <= int(port) <= 65535):
            raise ValueError
    except ValueError:
        raise CommandLineError(
            f"Invalid value for option --peer ({text}): expected TITLE=HOST:PORT"
        ) from None
    return ConfiguredPeer(ae_title=title, host=host, port=int(port))


def _configuration(parsed: ParsedOptions) -> tuple[str, QRConfig]:
    """Read the configuration file: its name and what it says."""
    typed = parsed.values("config")
    failures: list[tuple[str, str]] = []
    for path in [str(typed[0])] if typed else CONFIG_FILES:
        try:
            config = qrscp_cfg.read(path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            failures.append(("F", f"cannot access {path}: {why or error}"))
            # Only a file that is not there leaves the choice to the next one.
            if not isinstance(error, FileNotFoundError):
                break
            continue
        return path, config
    raise ConfigurationError(*failures)


def _profiles(path: str, incoming: str, outgoing: str) -> tuple[NegotiationProfile, ...]:
    """Read the profiles for incoming and outgoing associations."""
    try:
        profiles = assoc_cfg.read(path)
    except AssociationConfigurationError as error:
        raise ProfileError(
            ("F", f"cannot read association config file: {error}"), *stands_at("F", error.place)
        ) from None
    found = []
    for name in (incoming, outgoing):
        profile = profiles.get(assoc_cfg.reference(name))
        if profile is None:
            raise ProfileError(("F", f"unknown configuration profile name: {name}"))
        found.append(profile)
    if not found[0].is_for_acceptor():
        raise ProfileError(
            (
                "F",
                (
                    f"profile '{incoming}' is not valid for incoming use, "
                    "duplicate abstract syntaxes found"
                ),
            ),
            *stands_at("F", found[0].repetition),
        )
    return tuple(found)


def _character_set(parsed: ParsedOptions, configured: CharacterSetEntry) -> CharacterSetEntry:
    """Return the configuration's entry, with what was typed in its place."""
    changes: dict[str, bool | str] = {}
    if parsed.flag("response_charset"):
        changes["is_override"] = parsed.choice("response_charset") == "override"
    if parsed.flag("charset"):
        values = parsed.values("charset")
        changes["character_set"] = str(values[0]) if values else parsed.choice("charset")
    if parsed.flag("transliterate"):
        changes["is_transliterating"] = True
    if parsed.flag("discard_illegal"):
        changes["is_discarding"] = True
    return configured.replace(**changes)
