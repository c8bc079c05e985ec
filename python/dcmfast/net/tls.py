"""The TLS layer of a tool: files read, a password asked for, the engine's context made.

Everything that can be wrong is found out here, before a port is opened or a peer called: a key that
cannot be read, a wrong password, a certificate of somebody else, an unknown cipher suite.
"""

from __future__ import annotations

import errno
import os
import sys

from dcmfast import _rust
from dcmfast.errors import TlsLayerError
from dcmfast.limits import LIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from dcmfast.observe.logs import Log
    from dcmfast.options.tls_settings import TlsSettings

#: Of DCMTK's own lines about TLS, and of ours.
_DCMTLS = "dcmtk.dcmtls"
_OURS = "dcmfast.tls"

#: What a seed file holds, as OpenSSL writes one.
_SEED_BYTES = 1024
#: OpenSSL numbers the system's errors from here on.
_SYSTEM_ERROR = 0x8000_0000

#: Exit code of echoscu when the answer to a question about a certificate is no.
_NO = 22
#: DCMTK's conditions, completed with the file's name.
_NO_KEY = "000b:0004 Unable to load private TLS key from"
_NO_CERTIFICATE = "000b:0005 Unable to load certificate from"


def cipher_suites() -> list[str]:
    """Return the names of the cipher suites that can be had (``--list-ciphers``)."""
    return _rust.tls_cipher_suites()


def library() -> str:
    """Return the TLS library at work, with its version."""
    return _rust.tls_library()


def context(
    settings: TlsSettings | None, *, role: str, log: Log, can_ask: bool = True
) -> _rust.TlsContext | None:
    """Return what every handshake offers and demands; None for plain TCP.

    Parameters
    ----------
    settings
        What the options ask for.
    role
        ``acceptor`` or ``requestor``.
    log
        Takes the warnings.
    can_ask
        There may be somebody at the terminal; under inetd standard input is the peer.

    Raises
    ------
    TlsLayerError
        TLS cannot be had as it was asked for.
    """
    if settings is None:
        return None
    identity = None
    if settings.identity is not None:
        key, certificate = settings.identity
        identity = (_file(key, _NO_KEY), _file(certificate, _NO_CERTIFICATE))
        _tell_mode(key, log)
    plan: dict[str, Any] = {
        "role": role,
        "identity": identity,
        "password": _bytes(settings.password),
        "key_format": settings.key_format,
        "authority_files": _readable(settings.authority_files, log),
        "authority_directories": _directories(settings.authority_directories, log),
        "revocation_files": list(settings.revocation_files),
        "revocation_check": settings.revocation_check,
        "profile": settings.profile,
        "added_suites": list(settings.ciphers),
        "dh_parameters": _dh_parameters(settings.dh_parameters, log),
        "peer_authentication": settings.peer_authentication,
        "server_name": settings.server_name,
        "seed": _seed(settings, log),
    }
    try:
        try:
            made = _rust.TlsContext(**plan)
        except _rust.TlsPasswordNeeded:
            plan["password"] = _bytes(_ask_for_password() if can_ask else _no_password())
            made = _rust.TlsContext(**plan)
    except _rust.TlsStartError as error:
        raise TlsLayerError(*error.args[0]) from None
    for letter, text in made.warnings:
        log.line(letter, text, logger=_DCMTLS)
    return made


def write_seed(settings: TlsSettings | None, log: Log) -> None:
    """Write a new seed where ``--write-seed`` asks for it; what goes wrong is a warning."""
    if settings is None or settings.seed_output is None:
        return
    name = settings.seed_output
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(_rust.tls_random_bytes(_SEED_BYTES))
    except OSError as error:
        text = f"000b:0007 Cannot write random seed '{name}': {error.strerror or error}"
        log.line("W", text)


def tell_verified(name: str, made: _rust.TlsContext | None, log: Log) -> int:
    """Say on stdout whether a certificate would pass (``--verify-cert``); return the exit code."""
    try:
        # Without TLS there is no authority to ask.
        refusal = "no TLS layer" if made is None else made.refusal_of(_read(name))
    except (OSError, ValueError) as error:
        refusal = getattr(error, "strerror", None) or str(error)
    if refusal is not None:
        log.line("E", f"certificate verification failed: {refusal}", logger=_DCMTLS)
    outcome = "passed" if refusal is None else "failed"
    sys.stdout.write(f"Verification of certificate '{name}' {outcome}.\n")
    return _NO if refusal is not None else 0


def tell_root(name: str, settings: TlsSettings | None, log: Log) -> int:
    """Say on stdout whether a certificate is its own authority; return the exit code."""
    key_format = "pem" if settings is None else settings.key_format
    try:
        is_root = _rust.tls_is_root_certificate(_read(name), key_format)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        log.line("E", f"Cannot read certificate file '{name}': {why}", logger=_DCMTLS)
        is_root = False
    answer = "is" if is_root else "is not"
    sys.stdout.write(f"Certificate '{name}' {answer} a valid, self-signed root CA.\n")
    return 0 if is_root else _NO


def _bytes(password: str | None) -> bytes | None:
    # As it stood on the command line, whatever its encoding.
    return None if password is None else os.fsencode(password)


def _read(name: str) -> bytes:
    """Return what is in a file.

    Raises
    ------
    OSError
        It cannot be read, or is no file of that kind by its length.
    """
    limit = LIMITS["TLS_FILE_BYTES_MAX"]
    with open(name, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
    return data


def _file(name: str, condition: str) -> tuple[str, bytes]:
    try:
        return name, _read(name)
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None) or errno.EINVAL
        code = f"{_SYSTEM_ERROR | number:08x}"
        raise TlsLayerError(
            ("E", f"OpenSSL error {code}: {os.strerror(number)}"), ("F", f"{condition} '{name}'")
        ) from None


def _tell_mode(key: str, log: Log) -> None:
    mode = os.stat(key).st_mode & 0o777
    if mode & 0o007:
        text = f"private key file '{key}' is open to every user of this host (mode {mode:03o})"
        log.line("I", text, logger=_OURS)


def _readable(names: tuple[str, ...], log: Log) -> list[str]:
    """Return the files of authorities; the engine reads them, and warns of those it cannot."""
    if not names:
        text = "no authority is trusted (--add-cert-file, --add-cert-dir)"
        log.line("I", text, logger=_OURS)
    return list(names)


def _directories(names: tuple[str, ...], log: Log) -> list[str]:
    usable = []
    for name in names:
        # OpenSSL looks into it handshake by handshake, and says nothing when it cannot.
        if os.path.isdir(name) and os.access(name, os.R_OK | os.X_OK):
            usable.append(name)
        else:
            text = f"unable to load certificates from directory '{name}', ignoring"
            log.line("W", text, logger=_DCMTLS)
    return usable


def _dh_parameters(name: str | None, log: Log) -> tuple[str, bytes] | None:
    if name is None:
        return None
    try:
        return name, _read(name)
    except (OSError, ValueError):
        text = f"unable to load temporary DH parameter file '{name}', ignoring"
        log.line("W", text, logger=_DCMTLS)
        return None


def _seed(settings: TlsSettings, log: Log) -> bytes | None:
    name = settings.seed_file
    if name is None:
        return None
    try:
        return _read(name)
    except (OSError, ValueError) as error:
        # The first run of a tool that writes its seed back has none to read.
        is_first = isinstance(error, FileNotFoundError) and settings.seed_output is not None
        why = getattr(error, "strerror", None) or str(error)
        text = f"cannot read random seed file '{name}': {why}, using the system's"
        log.line("I" if is_first else "W", text, logger=_OURS)
        return None


def _ask_for_password() -> str:
    """Return the password of the private key, asked for on the terminal, else on stdin.

    Raises
    ------
    TlsLayerError
        There is nobody to ask.
    """
    prompt = "Enter PEM pass phrase:"
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline() if sys.stdin is not None else ""
        # What is said next stands at the beginning of a line, as with DCMTK.
        sys.stderr.write("\n")
        return line.rstrip("\n") if line else _no_password()
    os.close(terminal)
    from getpass import getpass

    try:
        return getpass(prompt)
    except EOFError:
        return _no_password()


def _no_password() -> NoReturn:
    raise TlsLayerError(
        ("F", "the private TLS key is encrypted, and no password came (--use-passwd)")
    ) from None
