"""The archives under comparison: dcmfast's, DCMTK's dcmqrscp, Orthanc, pynetdicom's qrscp.

What each has promised when it says 0000H stands in its name:

``none``
    The kernel has the bytes; a power cut may take them.
``files synced``
    Orthanc as installed: each file is synced, neither its directory nor the index (SQLite with a
    write-ahead log and ``SYNCHRONOUS=NORMAL``).
``group``
    dcmfast's default: object and index entry are found after a power cut.

Each keeps its objects in ``area`` below the run's directory and takes a move destination
``BENCHMOVE`` on loopback.  Nobody checks titles or hosts.  DCMTK's dcmqrscp and dcmfast's get the
same configuration file.  DCMTK and Orthanc, which is built on it, run with ``TCP_NODELAY=1``.
Orthanc runs without its HTTP server, its plugins and MD5 sums, with as many threads for
associations as the largest workload has; that it keeps the instance that came first
(``OverwriteInstances``) costs nothing here, as no instance comes twice.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys

from peers import Peer, Places, dcmtk

#: Called title; dcmqrscp refuses any other.
TITLE = "BENCH"
#: Where C-MOVE sends to: on loopback, at the port of `Places`.
DESTINATION = "BENCHMOVE"
#: As the load generator calls itself.
_SENDER = "LOAD"

#: DCMTK's library reads it, in Orthanc too; without it both answer after 44 ms.
_NO_DELAY = {"TCP_NODELAY": "1"}

#: DCMTK's own upper bounds for studies and bytes of a study.
_QUOTA = "(500, 1024mb)"

_CONFIG = "{directory}/dcmqrscp.cfg"


def _configure_dcmqrscp(places: Places) -> None:
    """Write what dcmqrscp(1) describes; the area must be there before the start."""
    area = places.directory / "area"
    area.mkdir(exist_ok=True)
    text = f"""\
NetworkTCPPort  = {places.port}
MaxPDUSize      = 16384
MaxAssociations = 64
HostTable BEGIN
bench = ({DESTINATION}, localhost, {places.move_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
{TITLE} {area} RW {_QUOTA} ANY
AETable END
"""
    (places.directory / "dcmqrscp.cfg").write_text(text, encoding="ascii")


#: Start of every command line of ours.
DCMFAST_COMMAND = (sys.executable, "-m", "dcmfast")


def _dcmfast(durability: str) -> Peer:
    return Peer(
        f"dcmfast dcmqrscp ({durability})",
        "dcmfast",
        (
            *(*DCMFAST_COMMAND, "dcmqrscp", "-c", _CONFIG),
            *("--durability", durability, "{port}"),
        ),
        configure=_configure_dcmqrscp,
        title=TITLE,
    )


DCMFAST_NONE = _dcmfast("none")
DCMFAST_GROUP = _dcmfast("group")
DCMFAST_EACH = _dcmfast("each")
#: The same archive with the standard's matching, and no quota.
DCMFAST_SERVE = Peer(
    "dcmfast serve (none)",
    "dcmfast",
    (
        *(*DCMFAST_COMMAND, "serve", "{directory}/area"),
        *("--port", "{port}", "--durability", "none"),
    ),
    title=TITLE,
)

DCMTK = Peer(
    "DCMTK dcmqrscp (none)",
    "dcmtk",
    (dcmtk.path_of("dcmqrscp") or "no-dcmtk-dcmqrscp", "-c", _CONFIG, "{port}"),
    _NO_DELAY,
    configure=_configure_dcmqrscp,
    title=TITLE,
    # Its child processes meet at the index: some parallel stores are refused ("database error",
    # C000H), and some that were acknowledged are not found.
    loses_some=True,
)


@functools.cache
def orthanc_path() -> str | None:
    """Find Orthanc; Debian puts it where users' search paths do not lead."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


@functools.cache
def orthanc_version() -> str | None:
    """Version of the installed Orthanc, such as ``1.10.1``; None without one."""
    if (path := orthanc_path()) is None:
        return None
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"Orthanc (\S+)", done.stdout)
    return found.group(1) if found else None


def _configure_orthanc(places: Places, *, sync: bool) -> None:
    area = str(places.directory / "area")
    loopback = [DESTINATION, "127.0.0.1", places.move_port]
    configuration = {
        "StorageDirectory": area,
        "IndexDirectory": area,
        "SyncStorageArea": sync,
        "StoreMD5ForAttachments": False,
        "Plugins": [],
        "HttpServerEnabled": False,
        "DicomAet": TITLE,
        "DicomPort": places.port,
        "DicomCheckCalledAet": False,
        "DicomCheckModalityHost": False,
        # Each association of the largest workload is served at once; four would be the default.
        "DicomThreadsCount": 16,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {
            "destination": loopback,
            "sender": [_SENDER, "127.0.0.1", places.move_port],
        },
    }
    (places.directory / "orthanc.json").write_text(json.dumps(configuration), encoding="ascii")


def _orthanc(durability: str, *, sync: bool) -> Peer:
    return Peer(
        f"Orthanc ({durability})",
        "orthanc",
        (orthanc_path() or "no-orthanc", "{directory}/orthanc.json"),
        _NO_DELAY,
        configure=functools.partial(_configure_orthanc, sync=sync),
        title=TITLE,
    )


ORTHANC_NONE = _orthanc("none", sync=False)
ORTHANC_SYNCED = _orthanc("files synced", sync=True)


def _configure_qrscp(places: Places) -> None:
    area = places.directory / "area"
    area.mkdir(exist_ok=True)
    text = f"""\
[DEFAULT]
    ae_title: {TITLE}
    port: {places.port}
    max_pdu: 16384
    acse_timeout: 30
    dimse_timeout: 30
    network_timeout: 300
    bind_address: 127.0.0.1
    instance_location: {area}
    database_location: {places.directory / "instances.sqlite"}
    log_identifier: False
[{DESTINATION}]
    address: 127.0.0.1
    port: {places.move_port}
"""
    (places.directory / "qrscp.ini").write_text(text, encoding="ascii")


QRSCP = Peer(
    "pynetdicom qrscp (none)",
    "pynetdicom",
    (sys.executable, "-m", "pynetdicom", "qrscp", "-q", "-c", "{directory}/qrscp.ini"),
    configure=_configure_qrscp,
    title=TITLE,
)
