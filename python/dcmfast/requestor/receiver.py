"""A storage service beside a Python program: where the objects of a C-MOVE arrive.

The engine receives and stores in its own threads, as ``dcmfast storescp`` does; Python is asked for
nothing meanwhile.  What comes over a C-GET is stored by the same rules.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from dcmfast.net import scp
from dcmfast.options.settings import ReceiverSettings
from dcmfast.types import AETitle, Closing

if TYPE_CHECKING:
    from dcmfast import _rust
    from dcmfast.requestor.security import Tls

#: How long what is in hand may take when a receiver is closed, in seconds.
_FINISH_S = 10
#: As a receiver's without an option.
_ASSOCIATIONS_MAX = 512


def storing(directory: str | os.PathLike[str], **changes: Any) -> ReceiverSettings:
    """Return settings that store what comes in `directory`, every byte as it was sent."""
    fields: dict[str, Any] = {
        "tool": "storescp",
        "log_level": "off",
        "log_table": None,
        "is_verbose_pc": False,
        "arguments_line": None,
        "is_tcp_nodelay": True,
        "tcp_buffer_bytes": None,
        "dictionary": None,
        "warnings": (),
        "port": 0,
        "tls": None,
        "ae_title": AETitle("DCMFAST"),
        "is_called_title_used": False,
        "preference": "keep",
        "is_promiscuous": False,
        "profile": None,
        "acse_timeout_s": 30,
        "dimse_timeout_s": None,
        "socket_timeout_s": 60,
        "max_pdu_bytes": 131_072,
        "is_host_looked_up": False,
        "is_refusing": False,
        "is_rejecting_anonymous": False,
        "is_ignoring": False,
        "is_uid_padding_allowed": False,
        "process_model": "threads",
        "output_directory": os.fspath(directory),
        "is_bit_preserving": False,
        "output_encoding": None,
        "is_meta_written": True,
        "naming": "uid",
        "subdirectory": "none",
        "study_prefix": "",
        "exec_on_reception": None,
        "exec_on_eostudy": None,
        "is_renaming_on_eostudy": False,
        "eostudy_timeout_s": None,
        "is_exec_synchronous": False,
        "extension": "",
        "durability": "none",
        "duplicate": "replace",
        "associations_max": _ASSOCIATIONS_MAX,
    }
    return ReceiverSettings(**{**fields, **changes})


class StorageReceiver(Closing):
    """A storage service in this process; it listens when this object exists.

    Objects become files named by their SOP Instance UID, with DCMTK's prefix, whole or not at all.

    Parameters
    ----------
    directory
        Where they go; it has to exist.
    port
        Where it listens; 0 takes a port that is free, and `port` says which.
    ae_title
        Its own title.  Whatever title a peer calls is accepted, as by DCMTK's receivers.
    durability
        ``none``, ``group`` or ``each``, as the option of ``dcmfast storescp``.
    duplicate
        ``replace``, ``keep`` or ``reject`` another object of the same SOP Instance UID.
    associations_max
        Peers at once.
    acse_timeout_s, dimse_timeout_s
        As the options of ``dcmfast storescp``.
    tls
        None for plain TCP.

    Raises
    ------
    OSError
        `directory` cannot be used.
    ListenError
        `port` cannot be opened.
    TlsLayerError
        A file of `tls` cannot be used.

    Examples
    --------
    >>> with dcmfast.StorageReceiver("in", 11113, ae_title="ME") as receiver:
    ...     with dcmfast.Association("pacs", 104, ae_title="ME") as association:
    ...         association.move("STUDY", StudyInstanceUID=uid, destination="ME").result()
    ...     print(receiver.stored)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        port: int = 0,
        *,
        ae_title: str = "DCMFAST",
        durability: str = "none",
        duplicate: str = "replace",
        associations_max: int = _ASSOCIATIONS_MAX,
        acse_timeout_s: int = 30,
        dimse_timeout_s: int | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.directory = os.fspath(directory)
        # The engine's complaint would be taken for the port's.
        os.scandir(self.directory).close()
        self.ae_title = AETitle(ae_title)
        settings = storing(
            directory,
            port=port,
            ae_title=self.ae_title,
            durability=durability,
            duplicate=duplicate,
            associations_max=associations_max,
            acse_timeout_s=acse_timeout_s,
            dimse_timeout_s=dimse_timeout_s,
        )
        security = None if tls is None else tls.context("acceptor")
        plan = {**scp.plan(settings), "tls": security}
        self._receiver: _rust.Receiver | None = scp.listening(settings, plan)
        self._receiver.start()
        #: Where it listens.
        self.port: int = self._receiver.port
        self._last: dict[str, int] = {}

    def counters(self) -> dict[str, int]:
        """Return the engine's numbers: ``stored``, ``refused``, ``associations`` and others."""
        if self._receiver is not None:
            self._last = self._receiver.counters()
        return self._last

    @property
    def stored(self) -> int:
        """Objects that were stored."""
        return self.counters()["stored"]

    def close(self) -> None:
        """Stop: what is in hand is finished, for ten seconds at most."""
        if self._receiver is not None:
            try:
                self._receiver.finish(_FINISH_S)
            finally:
                # Who is interrupted waits for nobody, and it is closed all the same.
                self.counters()
                self._receiver = None

    def __del__(self) -> None:
        # Not there when `__init__` failed.
        receiver: _rust.Receiver | None = getattr(self, "_receiver", None)
        if receiver is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            receiver.finish(0)

    def __repr__(self) -> str:
        return f"<StorageReceiver {self.ae_title} on port {self.port} into {self.directory!r}>"
