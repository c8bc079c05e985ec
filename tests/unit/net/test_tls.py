"""``net.tls``: what a TLS layer is refused for, each with its lines, before anything is started."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path

import pytest

from dcmfast import _rust
from dcmfast.errors import TlsLayerError
from dcmfast.limits import LIMITS
from dcmfast.net import tls
from dcmfast.observe.logs import Log
from dcmfast.options.tls_settings import TlsSettings
from testkit.authority import PASSWORD, Authority, Credentials, Pki


def settings(credentials: Credentials | None, **changes: object) -> TlsSettings:
    made = TlsSettings(
        identity=(
            None if credentials is None else (str(credentials.key), str(credentials.certificate))
        ),
        password=None,
        key_format="pem",
        authority_files=(),
        authority_directories=(),
        revocation_files=(),
        revocation_check="off",
        profile="8996",
        ciphers=(),
        dh_parameters=None,
        peer_authentication="require",
        server_name=None,
        seed_file=None,
        seed_output=None,
    )
    return made.replace(**changes)


def made(what: TlsSettings, *, role: str = "acceptor") -> _rust.TlsContext:
    context = tls.context(what, role=role, log=Log("warn", tool="storescp"))
    assert context is not None
    return context


def refusal(what: TlsSettings) -> list[tuple[str, str]]:
    with pytest.raises(TlsLayerError) as caught:
        made(what)
    return list(caught.value.lines)


def test_plain_tcp_needs_nothing() -> None:
    assert tls.context(None, role="acceptor", log=Log("warn")) is None


def test_key_and_certificate_in_pem_and_der(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    for credentials in (pki.server, pki.server_rsa):
        made(settings(credentials))
        made(settings(credentials.as_der(), key_format="der"))
    made(settings(None), role="requestor")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("which", ["key", "certificate"])
@pytest.mark.parametrize("content", [None, b"", b"no key at all\n", "a directory"])
def test_unusable_files(which: str, content: bytes | str | None, pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    good = pki.server
    bad = Credentials(path, good.certificate) if which == "key" else Credentials(good.key, path)
    lines = refusal(settings(bad))
    condition = {
        "key": f"000b:0004 Unable to load private TLS key from '{path}'",
        "certificate": f"000b:0005 Unable to load certificate from '{path}'",
    }[which]
    letter, text = lines[-1]
    assert letter == "F"
    assert text.startswith(condition)
    if content is None:
        assert lines[0] == ("E", "OpenSSL error 80000002: No such file or directory")


def test_unreadable_key(pki: Pki, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    key = tmp_path / "key"
    key.write_bytes(pki.server.key.read_bytes())
    key.chmod(0)
    lines = refusal(settings(Credentials(key, pki.server.certificate)))
    assert lines[0] == ("E", "OpenSSL error 8000000d: Permission denied")


def test_key_of_somebody_else(pki: Pki) -> None:
    mixed = Credentials(pki.client.key, pki.server.certificate)
    names = f"Private key '{mixed.key}' and certificate '{mixed.certificate}'"
    assert refusal(settings(mixed)) == [("F", f"000b:0006 {names} do not match")]


def test_the_longest_file(pki: Pki, tmp_path: Path) -> None:
    """A certificate with a long comment is read, one byte more is no certificate."""
    path = tmp_path / "long.pem"
    text = pki.server.certificate.read_bytes()
    limit = LIMITS["TLS_FILE_BYTES_MAX"]
    path.write_bytes(text + b"#" * (limit - len(text)))
    credentials = Credentials(pki.server.key, path)
    made(settings(credentials))
    path.write_bytes(path.read_bytes() + b"#")
    assert refusal(settings(credentials))[0] == ("E", "OpenSSL error 8000001b: File too large")


@pytest.mark.parametrize("password", ["wrong", ""])
def test_wrong_password(password: str, pki: Pki) -> None:
    lines = refusal(settings(pki.encrypted, password=password))
    assert [letter for letter, _ in lines] == ["E", "F"]
    assert lines[0][1].startswith("OpenSSL error ")
    assert lines[1][1] == f"000b:0004 Unable to load private TLS key from '{pki.encrypted.key}'"


def test_use_passwd(pki: Pki) -> None:
    made(settings(pki.encrypted, password=PASSWORD))
    # A key that needs none is read all the same.
    made(settings(pki.server, password=PASSWORD))
    made(settings(pki.server, password=""))


def test_std_passwd_asks_on_stdin_without_a_terminal(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real_open = os.open

    def without_terminal(path: str, *arguments: int, **options: int) -> int:
        if path == "/dev/tty":
            raise OSError(6, "No such device or address")
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", without_terminal)
    monkeypatch.setattr(sys, "stdin", StringIO(f"{PASSWORD}\n"))
    made(settings(pki.encrypted))
    assert capsys.readouterr().err == "Enter PEM pass phrase:\n"
    # Under inetd standard input is the peer, whose bytes are no password.
    monkeypatch.setattr(sys, "stdin", StringIO(f"{PASSWORD}\n"))
    with pytest.raises(TlsLayerError, match="no password came"):
        tls.context(settings(pki.encrypted), role="acceptor", log=Log("warn"), can_ask=False)
    # The one question has no answer.
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    assert refusal(settings(pki.encrypted)) == [
        ("F", "the private TLS key is encrypted, and no password came (--use-passwd)")
    ]


def test_unknown_cipher_suite(pki: Pki) -> None:
    ((letter, text),) = refusal(settings(pki.server, ciphers=("TLS_NO_SUCH_SUITE",)))
    assert letter == "F"
    assert text.startswith("0001:0007 Illegal call, perhaps wrong parameters")
    assert "'TLS_NO_SUCH_SUITE'" in text


@pytest.mark.parametrize(
    ("profile", "suite", "why"),
    [
        ("8996", "TLS_RSA_WITH_NULL_SHA", "Unencrypted"),
        ("8996", "TLS_RSA_WITH_AES_128_CBC_SHA", "SHA-1"),
        ("bcp195-nd", "TLS_RSA_WITH_NULL_SHA", "Unencrypted"),
        ("8996-mod", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "Additional"),
    ],
)
def test_cipher_suite_against_the_profile(profile: str, suite: str, why: str, pki: Pki) -> None:
    lines = refusal(settings(pki.server_rsa, profile=profile, ciphers=(suite,)))
    assert [letter for letter, _ in lines] == ["F", "F"]
    assert why in lines[0][1]
    condition = "000b:000a Ciphersuite not allowed in current DICOM security profile"
    assert lines[1][1].startswith(condition)


def test_cipher_suite_with_a_warning(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    made(settings(pki.server_rsa, ciphers=("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",)))
    assert "W: Ciphersuite 'TLS_DHE_RSA_WITH_AES_256_GCM_SHA384' uses ephemeral" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "profile", ["8996", "8996-mod", "bcp195-nd", "bcp195", "bcp195-ex", "aes", "null", "basic"]
)
def test_every_profile(profile: str, pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    """The retired ones too, where the library still can; where it cannot, one line says so."""
    triple_des = "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
    has_triple_des = triple_des in tls.cipher_suites()
    what = settings(pki.server_rsa, profile=profile)
    if profile == "basic" and not has_triple_des:
        ((letter, text),) = refusal(what)
        assert letter == "F"
        assert triple_des in text
        assert "OpenSSL" in text
        return
    made(what)
    warned = f"W: Ciphersuite '{triple_des}' not supported" in capsys.readouterr().err
    assert warned == (profile in ("bcp195", "aes") and not has_triple_des)


@pytest.mark.parametrize("profile", ["8996", "bcp195-nd"])
def test_short_key(profile: str, pki: Pki, tmp_path: Path) -> None:
    """RFC 9325 asks for 2048 bits; the profile made of it insists, its predecessors warn."""
    short = Authority(tmp_path / "short").issue("short", kind="rsa", bits=1024)
    what = settings(short, profile=profile)
    if profile == "8996":
        lines = refusal(what)
        assert "only 1024 bits" in lines[0][1]
        assert lines[-1][1].startswith("000b:0005")
    else:
        assert [letter for letter, _ in made(what).warnings] == ["W"]


def test_trust_that_cannot_be_loaded_is_a_warning(
    pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_file, no_folder = str(tmp_path / "none.pem"), str(tmp_path / "none")
    what = settings(
        pki.server,
        authority_files=(no_file, str(pki.authority.certificate)),
        authority_directories=(no_folder,),
        revocation_files=(no_file, str(pki.revocation_list)),
        revocation_check="leaf",
        dh_parameters=no_file,
    )
    made(what)
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"W: unable to load CRL file '{no_file}', ignoring",
        f"W: unable to load certificate file '{no_file}', ignoring",
        f"W: unable to load certificates from directory '{no_folder}', ignoring",
        f"W: unable to load temporary DH parameter file '{no_file}', ignoring",
    ]


@pytest.mark.parametrize(("bits", "profile"), [(1024, "bcp195"), (1024, "8996"), (2048, "8996")])
def test_dh_parameters(
    bits: int, profile: str, pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from testkit.authority import openssl

    path = tmp_path / "dh.pem"
    if bits == 2048:
        openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048",
                "-out", path)  # fmt: skip
    else:
        path.write_text(_DH_1024)
    made(settings(pki.server_rsa, profile=profile, dh_parameters=str(path)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "3DES" not in line]
    if bits == 2048:
        assert lines == []
    else:
        assert "only 1024 bits" in lines[0]
        assert len(lines) == (2 if profile == "8996" else 1)


#: RFC 2409 §6.2, the second Oakley group.
_DH_1024 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""


def test_seed_is_read_and_written(
    pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = tmp_path / "seed"
    what = settings(pki.server, seed_file=str(seed), seed_output=str(seed))
    log = Log("warn")
    # The first run has no file to read, which is no fault of anybody's.
    made(what)
    tls.write_seed(what, log)
    first = seed.read_bytes()
    assert len(first) == 1024
    assert seed.stat().st_mode & 0o777 == 0o600
    made(what)
    tls.write_seed(what, log)
    assert seed.read_bytes() != first
    elsewhere = tmp_path / "missing" / "seed"
    tls.write_seed(what.replace(seed_output=str(elsewhere)), log)
    assert capsys.readouterr().err == (
        f"W: 000b:0007 Cannot write random seed '{elsewhere}': No such file or directory\n"
    )
    made(what.replace(seed_file=str(elsewhere), seed_output=None))
    assert "cannot read random seed file" in capsys.readouterr().err


def test_verify_cert_and_is_root_cert(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log("fatal")
    trusting = made(
        settings(
            None,
            authority_files=(str(pki.authority.certificate),),
            revocation_files=(str(pki.revocation_list),),
            revocation_check="leaf",
        ),
        role="requestor",
    )
    for credentials, code in (
        (pki.client, 0), (pki.stranger, 22), (pki.expired, 22), (pki.revoked, 22),
    ):  # fmt: skip
        assert tls.tell_verified(str(credentials.certificate), trusting, log) == code
    assert tls.tell_verified("/no/such/file", trusting, log) == 22
    assert tls.tell_verified(str(pki.client.certificate), None, log) == 22
    assert tls.tell_root(str(pki.authority.certificate), None, log) == 0
    assert tls.tell_root(str(pki.client.certificate), None, log) == 22
    assert tls.tell_root("/no/such/file", None, log) == 22
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"Verification of certificate '{pki.client.certificate}' passed."
    assert out[1] == f"Verification of certificate '{pki.stranger.certificate}' failed."
    assert out[-3] == (
        f"Certificate '{pki.authority.certificate}' is a valid, self-signed root CA."
    )
    assert out[-1] == "Certificate '/no/such/file' is not a valid, self-signed root CA."
