"""What TLS will offer and demand, made from what was typed (PS3.15 Annex B).

Nothing is read here: keys and certificates are ``net``'s business, so that a password is asked for
once everything else is known to be right.
"""

from __future__ import annotations

from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.options.parsed import ParsedOptions


class TlsSettings(Record):
    """What a connection must be secured with."""

    #: Private key and certificate; None for a requestor that stays anonymous (``+tla``).
    identity: tuple[str, str] | None
    #: Opens an encrypted key; None asks the user for it.
    password: str | None
    #: ``pem`` or ``der``.
    key_format: str
    #: Files and directories of trusted certificates.
    authority_files: tuple[str, ...]
    authority_directories: tuple[str, ...]
    #: Revocation lists, and whose revocation is looked up: ``off``, ``leaf`` or ``chain``.
    revocation_files: tuple[str, ...]
    revocation_check: str
    #: The profile in force, by its `choice`.
    profile: str
    #: Cipher suites added to it.
    ciphers: tuple[str, ...]
    #: Diffie-Hellman parameters in PEM; None for those built in.
    dh_parameters: str | None
    #: ``require``, ``verify`` or ``ignore``.
    peer_authentication: str
    #: The name that an acceptor goes by, or a requestor asks for; None without any.
    server_name: str | None
    #: Stirred into the random generator; None for the system's seed alone.
    seed_file: str | None
    #: Where a new seed is written.
    seed_output: str | None


def tls(parsed: ParsedOptions) -> TlsSettings | None:
    """Return what the TLS options ask for; None for plain TCP, and for tools without them."""
    if not _has(parsed, "tls"):
        return None
    transport = parsed.choice("tls")
    if transport == "none":
        return None
    key, certificate = parsed.values("tls") or ("", "")
    password = {"prompt": None, "empty": ""}.get(parsed.choice("key_password"))
    if parsed.choice("key_password") == "given":
        password = str(parsed.values("key_password")[0])
    revocation_files = _all(parsed, "crl_files")
    revocation_check = "leaf" if revocation_files or parsed.flag("verify_leaf_crl") else "off"
    # load has a seed of another kind, and none for the generator.
    has_seed = _has(parsed, "write_seed")
    seed_file = _only(parsed, "seed") if has_seed else None
    seed_output = None
    if has_seed and parsed.flag("write_seed"):
        typed = parsed.values("write_seed")
        seed_output = str(typed[0]) if typed else seed_file
    return TlsSettings(
        identity=(str(key), str(certificate)) if transport == "authenticated" else None,
        password=password,
        key_format=parsed.choice("key_format"),
        authority_files=_all(parsed, "certificate_files"),
        authority_directories=_all(parsed, "certificate_directories"),
        revocation_files=revocation_files,
        revocation_check="chain" if parsed.flag("verify_all_crl") else revocation_check,
        profile=parsed.choice("tls_profile"),
        ciphers=_all(parsed, "ciphers"),
        dh_parameters=_only(parsed, "dh_parameters"),
        peer_authentication=parsed.choice("peer_authentication"),
        server_name=_only(parsed, "expect_server_name") or _only(parsed, "request_server_name"),
        seed_file=seed_file,
        seed_output=seed_output,
    )


def _has(parsed: ParsedOptions, field: str) -> bool:
    return any(option.field == field for option in parsed.front_end.options())


def _only(parsed: ParsedOptions, field: str) -> str | None:
    """Return the one value typed; None without, and where the tool has no such option."""
    values = parsed.values(field) if _has(parsed, field) else ()
    return str(values[0]) if values else None


def _all(parsed: ParsedOptions, field: str) -> tuple[str, ...]:
    return tuple(str(values[0]) for values in parsed.all_values(field))
