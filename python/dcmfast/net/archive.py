"""Start an archive from settings: dcmqrscp and serve.

The configuration becomes plain tables, which are handed over once beside a receiver's plan.  The
port is opened first, then user and group are changed, then the server opens its storage areas: the
index belongs to whoever serves it.
"""

from __future__ import annotations

import os
import sys

from dcmfast import limits
from dcmfast.errors import ConfigurationError, StorageAreaError
from dcmfast.net import dictionaries
from dcmfast.net.scp import PROMISES, StoppedBySignals, listening, tell_faults
from dcmfast.observe.logs import Log
from dcmfast.policy import access, move, negotiation
from dcmfast.policy.archive import (
    Application,
    ArchiveTables,
    Peer,
    ProposedContexts,
    ResponseCharacterSet,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dcmfast.options.archive_settings import ArchiveSettings

#: How long all names of the configuration together may take to resolve, in seconds.
RESOLVE_S = 2.0
#: Threads that resolve them.
_RESOLVERS = 16


def tables(settings: ArchiveSettings) -> ArchiveTables:
    """Return what the engine serves an archive by; host names are not resolved yet."""
    character_set = settings.character_set
    profile = settings.out_profile
    return ArchiveTables(
        applications=access.applications(settings.config.applications),
        default_application=settings.default_application,
        destinations=move.destinations(settings.config),
        vendors=move.vendors(settings.config),
        is_move_by_title="title" in settings.move_targets,
        is_move_by_host="host" in settings.move_targets,
        is_move_by_vendor="vendor" in settings.move_targets,
        matching=settings.matching,
        is_find_checked=settings.is_find_checked,
        is_move_checked=settings.is_move_checked,
        is_find_required=settings.is_find_required,
        is_store_exclusive=settings.is_store_exclusive,
        is_shutdown_allowed=settings.is_shutdown_allowed,
        response_character_set=ResponseCharacterSet(
            follows_request=not character_set.is_override,
            falls_back=character_set.falls_back,
            character_set=character_set.character_set,
            transliterates=character_set.is_transliterating,
            discards=character_set.is_discarding,
        ),
        proposed_contexts=ProposedContexts(
            transfer_syntaxes=negotiation.move_transfer_syntaxes(settings.proposal),
            profile=None
            if profile is None
            else tuple((one.abstract_syntax, one.transfer_syntaxes) for one in profile.contexts),
        ),
        connection_timeout_s=settings.connection_timeout_s,
    )


def plan(
    settings: ArchiveSettings, archive: ArchiveTables, log: Log | None = None
) -> dict[str, Any]:
    """Return the keyword arguments of ``_rust.Receiver`` for an archive."""
    mode = "bit_preserving" if settings.is_bit_preserving else "normal"
    if settings.is_ignoring:
        mode = "ignore"
    return {
        "tool": settings.tool,
        "port": settings.port,
        "bind": settings.bind or None,
        "log_level": settings.log_level,
        "log": log.events if log is not None else None,
        "verbose_contexts": settings.is_verbose_pc,
        "verbose_responses": settings.is_very_verbose,
        "table": negotiation.archive_table(
            settings.preference,
            models=settings.models,
            is_get_enabled=settings.is_get_enabled,
            is_standard=settings.matching == "standard",
            profile=settings.in_profile,
        ),
        "max_pdu_bytes": settings.max_pdu_bytes,
        "acse_timeout_s": settings.acse_timeout_s,
        "dimse_timeout_s": settings.dimse_timeout_s,
        # dcmqrscp has no option for it; DCMTK's library default holds.
        "socket_timeout_s": limits.SOCKET_TIMEOUT_S_DEFAULT,
        "host_lookup": settings.is_host_looked_up,
        "host_access": settings.host_access,
        "refuse": settings.is_refusing,
        "faults": settings.faults,
        "fault_seed": settings.fault_seed,
        "reject_without_implementation_class_uid": settings.is_rejecting_anonymous,
        "one_at_a_time": settings.is_single_process,
        # One index and one quota for each area: threads serve (DIFFERENCES.md B9).
        "processes": 0,
        "associations_max": settings.associations_max,
        "tcp_no_delay": settings.is_tcp_nodelay,
        "tcp_buffer_bytes": settings.tcp_buffer_bytes,
        "mode": mode,
        "output_encoding": settings.output_encoding.as_dict()
        if settings.output_encoding is not None
        else None,
        "write_file_meta": settings.is_meta_written,
        "durability": settings.durability,
        "duplicate": settings.duplicate,
        "archive": archive,
    }


def run(settings: ArchiveSettings) -> int:
    """Serve as `settings` say until told to stop; return the exit code.

    Raises
    ------
    ListenError
        The port cannot be opened.
    ConfigurationError
        User or group cannot be changed to.
    """
    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    _tell_start(settings, log)
    archive = _located(tables(settings), log)
    receiver = listening(settings, plan(settings, archive, log))
    with StoppedBySignals(receiver):
        change_user(settings.user_name, settings.group_name)
        if settings.tool == "serve":
            _open_or_fail(receiver, archive)
            if log.level not in ("off", "fatal"):
                _tell_what_next(settings, archive, receiver.port)
        else:
            # After that, because the index belongs to whoever serves it.
            for directory, why in receiver.open_areas():
                log.line(
                    "E",
                    f"dcmfast.archive: storage area {directory}: {why}; "
                    "associations with it will be aborted",
                )
        try:
            receiver.run()
        except OSError as error:
            # What an area could not finish; the next start does.
            raise StorageAreaError(("F", str(error))) from None
    return 0


def _open_or_fail(receiver: Any, archive: ArchiveTables) -> None:
    """Open serve's one storage area, and make its directory before if it is not there.

    Raises
    ------
    StorageAreaError
        Another process has it, or the directory cannot be had.
    """
    (directory,) = {one.directory for one in archive.applications}
    try:
        # For its owner alone: these are patients' data.
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageAreaError(
            ("F", f"cannot make the directory {directory}: {error.strerror}")
        ) from None
    for place, why in receiver.open_areas():
        raise StorageAreaError(("F", f"cannot serve {place}: {why}"))


def _tell_what_next(settings: ArchiveSettings, archive: ArchiveTables, port: int) -> None:
    """Say on standard output that the archive is there, and what to type in another terminal.

    The lines work with this package's tools and with DCMTK's.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)
    here = f"{host} {port}"
    study = "-S -k QueryRetrieveLevel=STUDY -k StudyInstanceUID"
    directory = archive.applications[0].directory
    lines = [
        f"Serving {directory} on {settings.bind} port {port}; Ctrl-C stops.",
        "",
        "In another terminal:",
        f"  dcmfast storescu {here} FILE ...",
        f"  findscu {study} -k PatientName -k PatientID {here}",
        f"  getscu {study}=UID {here}",
    ]
    if archive.destinations:
        lines.append(f"  movescu -aem {archive.destinations[0].ae_title} {study}=UID {here}")
    else:
        lines.append("  (movescu needs a destination: --peer TITLE=HOST:PORT)")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def change_user(user_name: str, group_name: str) -> None:
    """Become another user or group, the group first; empty names change nothing.

    Raises
    ------
    ConfigurationError
        There is no such user or group, or no right to become one; in DCMTK's words.
    """
    if group_name:
        import grp

        try:
            group_id = grp.getgrnam(group_name).gr_gid
        except (KeyError, ValueError):
            raise ConfigurationError(("F", f"bad group name {group_name}")) from None
        try:
            os.setgid(group_id)
        except OSError:
            raise ConfigurationError(
                ("F", f"setgid: Unable to set group id to group {group_id}")
            ) from None
    if user_name:
        import pwd

        try:
            user = pwd.getpwnam(user_name)
        except (KeyError, ValueError):
            raise ConfigurationError(("F", f"bad user name {user_name}")) from None
        try:
            if os.geteuid() == 0:
                # DCMTK keeps the groups of whoever started it, root's among them.
                os.initgroups(user_name, os.getgid())
            os.setuid(user.pw_uid)
        except OSError:
            raise ConfigurationError(
                ("F", f"setuid: Unable to set user id to user {user.pw_uid}")
            ) from None


def _located(archive: ArchiveTables, log: Log) -> ArchiveTables:
    """Return the tables with real paths, so that one area is one, and with peers' addresses."""
    hosts = {peer.host for one in archive.applications for peer in one.peers}
    addresses = resolve(hosts, log)

    def located(peer: Peer) -> Peer:
        return peer.replace(addresses=addresses.get(peer.host, ()))

    applications: list[Application] = []
    for one in archive.applications:
        applications.append(
            one.replace(
                directory=os.path.realpath(one.directory),
                peers=tuple(located(peer) for peer in one.peers),
            )
        )
    return archive.replace(applications=tuple(applications))


def resolve(hosts: set[str], log: Log) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each host, of those that are found in time.

    Peers are compared with a table's host names by what reverse lookup tells, as DCMTK does, and by
    these addresses as well.
    """
    if not hosts:
        return {}
    # Imported here: most archives start without, and `socket` takes milliseconds.
    import socket
    import threading
    import time

    waiting = sorted(hosts)
    found: dict[str, tuple[str, ...]] = {}

    def work() -> None:
        while True:
            try:
                host = waiting.pop()
            except IndexError:
                return
            try:
                answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            # Without the scope of a link-local address, which is this host's own name for a link.
            texts = (str(one[4][0]).partition("%")[0] for one in answers)
            found[host] = tuple(dict.fromkeys(texts))

    # Daemons: a resolver that answers nobody must not hold the end of the program either.
    threads = [threading.Thread(target=work, daemon=True) for _ in hosts][:_RESOLVERS]
    for thread in threads:
        thread.start()
    end = time.monotonic() + RESOLVE_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    # A copy: threads that are late may still add to the original.
    in_time = dict(found)
    for host in sorted(hosts - in_time.keys()):
        text = f"host {host} of the configuration has no address"
        log.line("W", text, logger="dcmfast.archive")
    return in_time


def _tell_start(settings: ArchiveSettings, log: Log) -> None:
    """Say below -v which configuration is in force; DCMTK's program says nothing."""
    if settings.arguments_line is not None:
        log.line_at_any_level(settings.arguments_line)
    log.banner()
    dictionaries.use(settings, log)
    for warning in settings.warnings:
        log.line("W", warning)
    tell_faults(settings, log)
    if settings.config_file:
        log.line("I", f"read from {settings.config_file}", logger="dcmfast.config")
    promise = f"{settings.durability}: {PROMISES[settings.durability]}"
    log.line("I", promise, logger="dcmfast.durability")
