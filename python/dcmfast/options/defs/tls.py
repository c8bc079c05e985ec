"""Options of Transport Layer Security, PS3.15 Annex B.

They are checked as DCMTK checks them, so that a command line which is wrong there is wrong here.
The acceptors and the requestors have slightly different sets, made by `acceptor` and `requestor`.
"""

from __future__ import annotations

from dcmfast.options.option import Condition, Group, Option, Section, Text, in_force

_ENABLED = in_force("--enable-tls")
_ENABLED_OR_ANONYMOUS = Condition(
    text="--enable-tls or --anonymous-tls", any_of=("--enable-tls", "--anonymous-tls")
)
_SEEDED = in_force("--seed")

#: Order of the checks; the tuples stand where DCMTK looks in another order than its usage text's.
CHECKS: tuple[str | tuple[str, ...], ...] = (
    "tls",
    "key_password",
    "key_format",
    "dh_parameters",
    "seed",
    "write_seed",
    ("--require-peer-cert", "--ignore-peer-cert", "--verify-peer-cert"),
    (
        "--profile-8996",
        "--profile-8996-mod",
        "--profile-bcp195",
        "--profile-bcp195-nd",
        "--profile-bcp195-ex",
        "--profile-basic",
        "--profile-aes",
        "--profile-null",
    ),
    "certificate_files",
    "certificate_directories",
    "crl_files",
    "verify_leaf_crl",
    "verify_all_crl",
    "ciphers",
)
#: The requestors have no DH parameters and no --verify-peer-cert.
REQUESTOR_CHECKS = tuple(
    "peer_authentication" if "--verify-peer-cert" in check else check
    for check in CHECKS
    if check != "dh_parameters"
)
#: What storescp checks besides: the 3.6.8 page's server name indication.
SERVER_NAME_CHECKS = ("expect_server_name", "no_server_name")
#: What the requestors check besides.
REQUEST_CHECKS = ("request_server_name", "no_server_name")
#: What echoscu checks besides.
OFFLINE_CHECKS = ("verify_certificate", "is_root_certificate")


def acceptor(*, server_name: bool = False) -> Group:
    """Return the group of an acceptor; `server_name` adds the 3.6.8 page's indication."""
    return _group(_ENABLED, is_acceptor=True, server_name=server_name, offline=False)


def requestor(*, offline: bool = False) -> Group:
    """Return the group of a requestor; `offline` adds echoscu's certificate checks."""
    return _group(_ENABLED_OR_ANONYMOUS, is_acceptor=False, server_name=False, offline=offline)


#: The requestor's side of the server name; DCMTK has it from 3.6.8 on.
NO_SERVER_NAME = Option(
    field="no_server_name",
    names=("--no-sni",),
    summary="do not use SNI (default)",
    default=True,
    conflicts=(in_force("--request-sni"),),
    source="dcmfast",
)
REQUEST_SERVER_NAME = Option(
    field="request_server_name",
    names=("--request-sni",),
    summary="[s]erver name: string\nrequest server name s (SNI)",
    values=(Text(),),
    needs=(_ENABLED_OR_ANONYMOUS,),
    source="dcmfast",
)


def _group(secured: Condition, *, is_acceptor: bool, server_name: bool, offline: bool) -> Group:
    def option(
        field: str,
        names: tuple[str, ...],
        summary: str,
        *,
        choice: str = "",
        is_default: bool = False,
        has_value: bool = False,
        repeatable: bool = False,
        conflicts: tuple[Condition, ...] = (),
        needs: tuple[Condition, ...] = (secured,),
        blamed: str = "",
        source: str = "DCMTK",
    ) -> Option:
        return Option(
            field=field,
            names=names,
            summary=summary,
            choice=choice,
            default=True if is_default else None,
            values=(Text(),) if has_value else (),
            repeatable=repeatable,
            conflicts=conflicts,
            needs=needs,
            blamed=blamed,
            source=source,
        )

    transport = [
        Option(
            field="tls",
            names=("--disable-tls", "-tls"),
            summary="use normal TCP/IP connection (default)",
            choice="none",
            default=True,
        ),
        Option(
            field="tls",
            names=("--enable-tls", "+tls"),
            summary="[p]rivate key file, [c]ertificate file: string\n"
            "use authenticated secure TLS connection",
            choice="authenticated",
            values=(Text(), Text()),
        ),
    ]
    if not is_acceptor:
        transport.append(
            Option(
                field="tls",
                names=("--anonymous-tls", "+tla"),
                summary="use secure TLS connection without certificate",
                choice="anonymous",
            )
        )
    password = (
        option(
            "key_password",
            ("--std-passwd", "+ps"),
            "prompt user to type password on stdin (default)",
            choice="prompt",
            is_default=True,
            needs=(_ENABLED,),
        ),
        option(
            "key_password",
            ("--use-passwd", "+pw"),
            "[p]assword: string\nuse specified password",
            choice="given",
            has_value=True,
            needs=(_ENABLED,),
        ),
        option(
            "key_password",
            ("--null-passwd", "-pw"),
            "use empty string as password",
            choice="empty",
            needs=(_ENABLED,),
        ),
    )
    formats = (
        option(
            "key_format",
            ("--pem-keys", "-pem"),
            "read keys and certificates as PEM file (default)",
            choice="pem",
            is_default=True,
        ),
        option(
            "key_format",
            ("--der-keys", "-der"),
            "read keys and certificates as DER file",
            choice="der",
        ),
    )
    authorities = (
        option(
            "certificate_files",
            ("--add-cert-file", "+cf"),
            "[f]ilename: string\nadd certificate file to list of certificates",
            has_value=True,
            repeatable=True,
        ),
        option(
            "certificate_directories",
            ("--add-cert-dir", "+cd"),
            "[d]irectory: string\nadd certificates in d to list of certificates",
            has_value=True,
            repeatable=True,
        ),
        option(
            "crl_files",
            ("--add-crl-file", "+crl"),
            "[f]ilename: string\nadd certificate revocation list file\n(implies --enable-crl-vfy)",
            has_value=True,
            repeatable=True,
        ),
        option("verify_leaf_crl", ("--enable-crl-vfy", "+crv"), "enable leaf CRL verification"),
        option(
            "verify_all_crl",
            ("--enable-crl-all", "+cra"),
            "enable full chain CRL verification",
            conflicts=(in_force("--enable-crl-vfy"),),
        ),
    )
    page = "DCMTK 3.6.8"
    profiles = (
        option(
            "tls_profile",
            ("--profile-8996", "+pg"),
            "BCP 195 RFC 8996 TLS Profile (default)",
            choice="8996",
            is_default=True,
            source=page,
        ),
        option(
            "tls_profile",
            ("--profile-8996-mod", "+pm"),
            "Modified BCP 195 RFC 8996 TLS Profile",
            choice="8996-mod",
            source=page,
        ),
        option(
            "tls_profile",
            ("--profile-bcp195-nd", "+py"),
            "Non-downgrading BCP 195 TLS Profile (retired)",
            choice="bcp195-nd",
        ),
        option(
            "tls_profile",
            ("--profile-bcp195", "+px"),
            "BCP 195 TLS Profile (retired)",
            choice="bcp195",
        ),
        option(
            "tls_profile",
            ("--profile-bcp195-ex", "+pz"),
            "Extended BCP 195 TLS Profile (retired)",
            choice="bcp195-ex",
        ),
        option(
            "tls_profile",
            ("--profile-basic", "+pb"),
            "Basic TLS Secure Transport Connection Profile\n(retired)",
            choice="basic",
            source=page,
        ),
        option(
            "tls_profile",
            ("--profile-aes", "+pa"),
            "AES TLS Secure Transport Connection Profile\n(retired)",
            choice="aes",
            # DCMTK's message names the wrong option; scripts may match it.
            blamed="--profile-basic",
        ),
        option(
            "tls_profile",
            ("--profile-null", "+pn"),
            "Authenticated unencrypted communication\n(retired, was used in IHE ATNA)",
            choice="null",
        ),
    )
    ciphers = [
        Option(
            field="list_ciphers",
            names=("--list-ciphers", "+cc"),
            summary="show list of supported TLS ciphersuites and exit",
            exclusive=True,
        ),
        option(
            "ciphers",
            ("--cipher", "+cs"),
            "[c]iphersuite name: string\n"
            "add ciphersuite to list of negotiated suites\n"
            "(not with --profile-bcp195-ex)",
            has_value=True,
            repeatable=True,
            conflicts=(in_force("--profile-bcp195-ex"),),
        ),
    ]
    if is_acceptor:
        ciphers.append(
            option(
                "dh_parameters",
                ("--dhparam", "+dp"),
                "[f]ilename: string\nread DH parameters for DH/DSS ciphersuites",
                has_value=True,
            )
        )
    seeds = (
        option(
            "seed",
            ("--seed", "+rs"),
            "[f]ilename: string\nseed random generator with contents of f",
            has_value=True,
        ),
        option(
            "write_seed",
            ("--write-seed", "+ws"),
            "write back modified seed (only with --seed)",
            choice="same",
            needs=(secured, _SEEDED),
        ),
        option(
            "write_seed",
            ("--write-seed-file", "+wf"),
            "[f]ilename: string (only with --seed)\nwrite modified seed to file f",
            choice="file",
            has_value=True,
            needs=(secured, _SEEDED),
        ),
    )
    authentication = [
        option(
            "peer_authentication",
            ("--require-peer-cert", "-rc"),
            "verify peer certificate, fail if absent (default)",
            choice="require",
            is_default=True,
        ),
        option(
            "peer_authentication",
            ("--ignore-peer-cert", "-ic"),
            "don't verify peer certificate",
            choice="ignore",
        ),
    ]
    if is_acceptor:
        authentication.insert(
            1,
            option(
                "peer_authentication",
                ("--verify-peer-cert", "-vc"),
                "verify peer certificate if present",
                choice="verify",
            ),
        )
    sections = [
        Section(title="transport protocol stack", options=tuple(transport)),
        Section(title="private key password (only with --enable-tls)", options=password),
        Section(title="key and certificate file format", options=formats),
        Section(title="certification authority", options=authorities),
        Section(title="security profile", options=profiles),
        Section(title="ciphersuite", options=tuple(ciphers)),
        Section(title="pseudo random generator", options=seeds),
        Section(title="peer authentication", options=tuple(authentication)),
    ]
    if server_name:
        sections.insert(
            6,
            Section(
                title="server name indication",
                options=(
                    option(
                        "no_server_name",
                        ("--no-sni",),
                        "do not use SNI (default)",
                        conflicts=(in_force("--expect-sni"),),
                        needs=(),
                        is_default=True,
                        source=page,
                    ),
                    option(
                        "expect_server_name",
                        ("--expect-sni",),
                        "[s]erver name: string\nexpect requests for server name s",
                        has_value=True,
                        needs=(),
                        source=page,
                    ),
                ),
            ),
        )
    if offline:
        sections.append(
            Section(
                title="offline certificate verification",
                options=(
                    option(
                        "verify_certificate",
                        ("--verify-cert", "+vc"),
                        "[f]ilename: string\nverify certificate against CA settings",
                        has_value=True,
                        needs=(),
                    ).replace(stands_alone=True),
                    option(
                        "is_root_certificate",
                        ("--is-root-cert", "+rc"),
                        "[f]ilename: string\ncheck if certificate is self-signed root CA",
                        has_value=True,
                        needs=(),
                    ).replace(stands_alone=True),
                ),
            )
        )
    return Group(title="transport layer security (TLS) options", sections=tuple(sections))
