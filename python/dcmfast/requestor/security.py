"""TLS for Python programs: what the tools' options say, as arguments."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dcmfast.net import tls
from dcmfast.observe.logs import Log
from dcmfast.options.tls_settings import TlsSettings
from dcmfast.types import Record

if TYPE_CHECKING:
    from dcmfast import _rust


class Tls(Record):
    """What a connection is secured with.

    Files are read when an association is requested or a receiver starts; what is wrong with them is
    a `dcmfast.errors.TlsLayerError` there.
    """

    #: Private key and certificate, PEM files; a requestor may go without.
    identity: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None
    #: Opens an encrypted key.
    password: str = ""
    #: Files of trusted certificates, and directories in OpenSSL's layout.
    authorities: tuple[str | os.PathLike[str], ...] = ()
    authority_directories: tuple[str | os.PathLike[str], ...] = ()
    #: Revocation lists; certificates of the peer that stand there are refused.
    revocation_files: tuple[str | os.PathLike[str], ...] = ()
    #: Of PS3.15 Annex B: ``8996``, ``8996-mod``, ``bcp195``, ``bcp195-nd``, ``bcp195-ex``, ``aes``,
    #: ``basic`` or ``null``.
    profile: str = "8996"
    #: ``require`` a certificate of the peer's that an authority signed, ``verify`` it if there is
    #: one, or ``ignore`` it.
    peer_authentication: str = "require"
    #: Of a requestor: the server's name to ask for (SNI).
    server_name: str | None = None

    def context(self, role: str) -> _rust.TlsContext | None:
        """Return the engine's own; `role` is ``requestor`` or ``acceptor``."""
        identity = self.identity
        files = tuple(os.fspath(one) for one in self.revocation_files)
        settings = TlsSettings(
            identity=None if identity is None else (os.fspath(identity[0]), os.fspath(identity[1])),
            password=self.password,
            key_format="pem",
            authority_files=tuple(os.fspath(one) for one in self.authorities),
            authority_directories=tuple(os.fspath(one) for one in self.authority_directories),
            revocation_files=files,
            revocation_check="leaf" if files else "off",
            profile=self.profile,
            ciphers=(),
            dh_parameters=None,
            peer_authentication=self.peer_authentication,
            server_name=self.server_name,
            seed_file=None,
            seed_output=None,
        )
        return tls.context(settings, role=role, log=Log("off"), can_ask=False)
