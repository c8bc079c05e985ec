"""TLS of the tools: who is let in and who is not, what is said about it, and that nobody waits.

Peers are Python's own TLS, driven by hand, and our requestors; DCMTK's stand in
``tests/compat/test_tls_against_dcmtk.py``.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from dcmfast import _rust, limits
from testkit import pdu
from testkit.authority import PASSWORD, Credentials, Pki
from testkit.checks import assert_only
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, command, run_tool
from testkit.scripted_scp import Conversation, ScriptedServer
from vectors import make


def client_context(
    pki: Pki, credentials: Credentials | None, *, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(pki.authority.certificate)
    if credentials is not None:
        context.load_cert_chain(credentials.certificate, credentials.key)
    if version is not None:
        # Old versions need weaker hashes than today's least.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


def secure(
    receiver: Receiver,
    context: ssl.SSLContext,
    *,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> ScriptedPeer:
    peer = ScriptedPeer(receiver.port)
    peer.socket = context.wrap_socket(peer.socket, server_hostname=name, session=session)
    return peer


def assert_echoes(peer: ScriptedPeer) -> None:
    with peer:
        peer.associate()
        peer.echo()
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)


def assert_refused(peer_socket: socket.socket) -> None:
    """However the two versions of the protocol tell it: no association, and the end."""
    with peer_socket, suppress(ssl.SSLError, ConnectionError):
        peer_socket.sendall(pdu.associate_rq())
        assert peer_socket.recv(16) == b""


@pytest.fixture(scope="module")
def receiver(shared_scp: StartReceiver, pki: Pki) -> Receiver:
    """A storescp that requires certificates of our authority, revoked ones refused."""
    return shared_scp(
        "storescp", *pki.server.tls, *pki.authority.trusted, "+crl", str(pki.revocation_list),
        "-v", "--acse-timeout", "5",
    )  # fmt: skip


# ---- Who is let in


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_the_default_profile(
    version: ssl.TLSVersion, receiver: Receiver, pki: Pki
) -> None:
    with secure(receiver, client_context(pki, pki.client, version=version)) as peer:
        peer.associate()
        peer.echo()
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
    name = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    receiver.stderr.wait_for(
        rf"I: dcmfast.tls: peer 127\.0\.0\.1:\d+: {name}, TLS_\w+; the peer has certificate "
        r"'CN=client' issued by 'CN=Test authority'"
    )


def echoed_session(receiver: Receiver, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """The session of an association with one C-ECHO."""
    with secure(receiver, context) as peer:
        peer.associate()
        peer.echo()
        assert isinstance(peer.socket, ssl.SSLSocket)
        session = peer.socket.session
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
    return session


def assert_resumes(
    receiver: Receiver, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> None:
    again = secure(receiver, context, session=session)
    assert isinstance(again.socket, ssl.SSLSocket)
    assert again.socket.session_reused
    assert_echoes(again)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(version: ssl.TLSVersion, receiver: Receiver, pki: Pki) -> None:
    context = client_context(pki, pki.client, version=version)
    assert_resumes(receiver, context, echoed_session(receiver, context))
    receiver.stderr.wait_for(r"dcmfast\.tls: .*, resumed; the peer has certificate 'CN=client'")


@pytest.mark.parametrize("profile", ["bcp195-ex", "8996"])
def test_our_requestors_resume(
    profile: str, receiver: Receiver, running_scp: StartReceiver, pki: Pki
) -> None:
    """Of TLS 1.2 and 1.3; another peer, and one that has forgotten, get the whole handshake."""
    other = running_scp("storescp", *pki.server.tls, *pki.authority.trusted)
    context = _rust.TlsContext(
        role="requestor",
        identity=tuple(
            (str(path), path.read_bytes()) for path in (pki.client.key, pki.client.certificate)
        ),
        password=None, key_format="pem", authority_files=[str(pki.authority.certificate)],
        authority_directories=[], revocation_files=[], revocation_check="off", profile=profile,
        added_suites=[], dh_parameters=None, peer_authentication="require", server_name=None,
        seed=None,
    )  # fmt: skip
    resumed = []
    for port in (receiver.port, receiver.port, other.port, receiver.port, other.port):
        link = _rust.Association(
            "127.0.0.1", port, calling="A", called="B", max_pdu_bytes=16384, tls=context,
            contexts=[("1.2.840.10008.1.1", ["1.2.840.10008.1.2"])],
        )  # fmt: skip
        assert link.echo(1) == 0
        assert link.secured is not None
        resumed.append(", resumed;" in link.secured)
        link.release()
    assert resumed == [False, True, False, True, True]


def test_objects_arrive_whole(receiver: Receiver, pki: Pki, tmp_path: Path) -> None:
    """Small ones and one of many records, by our own storescu."""
    made = [make.ct(number) for number in (1, 2)]
    made.append(make.ct(3, rows=1200, columns=1200))
    files = []
    for number, one in enumerate(made):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(make.part10(one))
    done = run_tool(
        "dcmfast", "storescu",
        [*pki.client.tls, *pki.authority.trusted, "127.0.0.1", str(receiver.port), *files],
    )  # fmt: skip
    assert (done.code, done.stderr) == (0, "")
    assert_only(receiver, {f"CT.{one.sop_instance_uid}" for one in made})
    for path in receiver.files():
        sent = next(one for one in made if one.sop_instance_uid in path.name)
        assert split_part10(path.read_bytes())[1] == sent.data_set
        path.unlink()


def test_a_byte_at_a_time(receiver: Receiver, pki: Pki) -> None:
    """Records and handshake messages may be cut anywhere."""
    context = client_context(pki, pki.client)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def drip() -> None:
            for byte in outgoing.read():
                peer.sendall(bytes([byte]))

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                drip()
                incoming.write(peer.recv(65536))
        drip()
        tls.write(pdu.associate_rq())
        drip()
        answer = b""
        while not answer:
            try:
                answer = tls.read(1)
            except ssl.SSLWantReadError:
                incoming.write(peer.recv(65536))
        assert answer[0] == pdu.ASSOCIATE_AC


# ---- Who is not, and what is said


@pytest.mark.parametrize(
    ("which", "why"),
    [
        ("none", r"it sent no certificate, and one is required \(--require-peer-cert\)"),
        ("expired", r"its certificate 'CN=expired client' .* 2020 GMT is refused: .* has expired"),
        ("revoked", r"its certificate 'CN=revoked client' .* is refused: certificate revoked"),
        ("stranger", r"its certificate 'CN=stranger' issued by 'CN=Other authority'.* is refused"),
    ],
)  # fmt: skip
def test_refused_certificates(which: str, why: str, receiver: Receiver, pki: Pki) -> None:
    credentials = {
        "none": None, "expired": pki.expired, "revoked": pki.revoked, "stranger": pki.stranger,
    }[which]  # fmt: skip
    try:
        peer = secure(receiver, client_context(pki, credentials))
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        # TLS 1.3: the refusal comes after the client's own handshake is done.
        assert_refused(peer.socket)
    receiver.stderr.wait_for(rf"E: dcmfast\.tls: peer 127\.0\.0\.1:\d+: {why}")
    receiver.stderr.wait_for(r"E: Receiving Association failed: 000b:0[0-9a-f]{3} TLS error: ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(version: ssl.TLSVersion, receiver: Receiver, pki: Pki) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure(receiver, client_context(pki, pki.client, version=version))
    name = {ssl.TLSVersion.TLSv1: "TLS 1.0", ssl.TLSVersion.TLSv1_1: "TLS 1.1"}[version]
    receiver.stderr.wait_for(
        rf"E: dcmfast\.tls: peer .*: it offers {name} at most; the BCP 195 RFC 8996 TLS Profile "
        "needs TLS 1.2"
    )


def test_no_suite_in_common(receiver: Receiver, pki: Pki) -> None:
    context = client_context(pki, pki.client, version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        secure(receiver, context)
    receiver.stderr.wait_for(
        r"E: dcmfast\.tls: .*it offers TLS_RSA_WITH_AES_128_CBC_SHA; .* has TLS_ECDHE_"
    )


@pytest.mark.parametrize(
    ("bytes_sent", "why"),
    [
        (pdu.associate_rq(), "it speaks DICOM without TLS; this port expects TLS"),
        (b"GET / HTTP/1.0\r\n\r\n", "it speaks HTTP, not TLS"),
        (bytes(range(128, 228)), "it speaks something that is no TLS"),
    ],
    ids=["plain DICOM", "HTTP", "garbage"],
)
def test_strangers_on_the_port(bytes_sent: bytes, why: str, receiver: Receiver) -> None:
    with ScriptedPeer(receiver.port) as peer:
        peer.send(bytes_sent)
        # Nothing in clear comes back but, at most, an alert.
        assert peer.drain()[:1] in (b"", b"\x15")
    receiver.stderr.wait_for(rf"E: dcmfast\.tls: peer 127\.0\.0\.1:\d+: {why}")


def test_plain_dicom_gets_dcmtks_condition(receiver: Receiver) -> None:
    with ScriptedPeer(receiver.port) as peer:
        peer.send(pdu.associate_rq())
        peer.drain()
    receiver.stderr.wait_for(
        "E: Receiving Association failed: 000b:090b TLS error: wrong version number"
    )


def test_close_in_the_handshake(receiver: Receiver, pki: Pki) -> None:
    context = client_context(pki, pki.client)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    with ScriptedPeer(receiver.port) as peer:
        peer.send(hello[: len(hello) // 2])
    receiver.stderr.wait_for("it closed the connection in the handshake")


def test_a_damaged_record(receiver: Receiver, pki: Pki) -> None:
    """What was not encrypted by the peer ends the association; nothing of it is believed."""
    context = client_context(pki, pki.client)
    peer = secure(receiver, context)
    peer.associate()
    with socket.socket(fileno=socket.dup(peer.socket.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
        receiver.stderr.wait_for(r"E: dcmfast\.tls: peer .*: ")
    peer.socket.close()


def test_renegotiation_is_refused(receiver: Receiver, pki: Pki) -> None:
    """TLS 1.2's, by the openssl program: the server declines, and the session goes on or ends."""
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{receiver.port}", "-tls1_2",
         "-cert", str(pki.client.certificate), "-key", str(pki.client.key),
         "-CAfile", str(pki.authority.certificate)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        receiver.stderr.wait_for("dcmfast.tls: .*TLSv1.2")
        client.stdin.write(b"R\n")
        client.stdin.flush()
        out, _ = client.communicate(timeout=20)
    assert b"no renegotiation" in out
    assert receiver.process.poll() is None


def test_stalled_handshakes_hold_nobody_up(receiver: Receiver, pki: Pki) -> None:
    """20 peers that connect and say nothing, or half a hello; another echoes meanwhile."""
    with ExitStack() as stack:
        for number in range(20):
            stalled = stack.enter_context(
                socket.create_connection(("127.0.0.1", receiver.port), timeout=10)
            )
            if number % 2:
                stalled.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        begun = time.monotonic()
        for _ in range(3):
            assert_echoes(secure(receiver, client_context(pki, pki.client)))
        assert time.monotonic() - begun < 4.0


@pytest.mark.parametrize("model", ["--fork", "--single-process"])
def test_stalled_handshakes_hold_nobody_up_in_any_process_model(
    model: str, running_scp: StartReceiver, pki: Pki
) -> None:
    """Who has not associated holds no turn, and a child of its own in vain."""
    receiver = running_scp("storescp", *pki.server.tls, *pki.authority.trusted, model)
    with ExitStack() as stack:
        for _ in range(20):
            stalled = stack.enter_context(
                socket.create_connection(("127.0.0.1", receiver.port), timeout=10)
            )
            stalled.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        begun = time.monotonic()
        assert_echoes(secure(receiver, client_context(pki, pki.client)))
        assert time.monotonic() - begun < 4.0


def test_a_handshake_has_a_deadline(running_scp: StartReceiver, pki: Pki) -> None:
    """A total: a peer that drips bytes is cut off as well."""
    receiver = running_scp("storescp", *pki.server.tls, "--acse-timeout", "1")
    with ScriptedPeer(receiver.port) as silent, ScriptedPeer(receiver.port) as dripping:
        begun = time.monotonic()
        dripping.send(b"\x16\x03\x01\x02\x00")
        dripping.socket.settimeout(0.05)
        ended = False
        while not ended and time.monotonic() - begun < 8:
            dripping.send_tolerant(b"\x01")
            try:
                ended = not dripping.socket.recv(64)
            except TimeoutError:
                pass
            except ConnectionError:
                ended = True
        assert ended
        silent.drain(within_s=5)
        assert time.monotonic() - begun < 5
    receiver.stderr.wait_for(
        r"E: dcmfast\.tls: peer .*: no TLS handshake within 1 s \(--acse-timeout\)", count=2
    )


def test_tls_on_a_plain_port(running_scp: StartReceiver, pki: Pki) -> None:
    receiver = running_scp("storescp")
    done = run_tool(
        "dcmfast", "echoscu",
        [*pki.client.tls, *pki.authority.trusted, "127.0.0.1", str(receiver.port)],
    )  # fmt: skip
    assert done.code == 1
    assert done.lines[0].startswith("F: Association Request Failed: 000b:")
    assert done.lines[1].startswith(f"E: dcmfast.tls: peer 127.0.0.1:{receiver.port}: it ")
    assert "expects no TLS" in done.lines[1]
    receiver.stderr.wait_for(
        r"^E: dcmfast.association: no association with 127.0.0.1:\d+: it begins a TLS handshake; "
        "this port expects none$"
    )


# ---- Options of the acceptors


def echo(receiver: Receiver, *options: str) -> int:
    return run_tool("dcmfast", "echoscu", [*options, "127.0.0.1", str(receiver.port)]).code


def test_verify_peer_cert(running_scp: StartReceiver, pki: Pki) -> None:
    """``-vc``: a certificate is verified if there is one."""
    receiver = running_scp("storescp", *pki.server.tls, *pki.authority.trusted, "-vc")
    assert echo(receiver, "+tla", *pki.authority.trusted) == 0
    assert echo(receiver, *pki.client.tls, *pki.authority.trusted) == 0
    assert echo(receiver, *pki.stranger.tls, *pki.authority.trusted) != 0


def test_ignore_peer_cert(running_scp: StartReceiver, pki: Pki) -> None:
    """``-ic``, here with dcmrecv, and a directory of authorities on the other side."""
    receiver = running_scp("dcmrecv", *pki.server.tls, "-ic")
    folder = pki.authority.hashed_directory(pki.directory / "hashed")
    assert echo(receiver, *pki.stranger.tls, "+cd", str(folder)) == 0
    assert echo(receiver, "+tla", "+cd", str(folder)) == 0
    # The requestor verifies for itself.
    assert echo(receiver, "+tla") == 1
    assert echo(receiver, "+tla", "-ic") == 0


def test_revocation_of_the_whole_chain(running_scp: StartReceiver, pki: Pki) -> None:
    """``+cra``: without a list nobody passes; with one, all that it does not name."""
    for options, code in (([], 1), (["+crl", str(pki.revocation_list)], 0)):
        receiver = running_scp(
            "storescp", *pki.server.tls, *pki.authority.trusted, "+cra", *options
        )
        assert (echo(receiver, *pki.client.tls, *pki.authority.trusted) != 0) == bool(code)
    assert echo(receiver, *pki.revoked.tls, *pki.authority.trusted) != 0


def test_the_longest_chain(running_scp: StartReceiver, pki: Pki, tmp_path: Path) -> None:
    """TLS_CERTIFICATE_CHAIN_MAX certificates between a peer's and the authority, and no more."""
    receiver = running_scp("storescp", *pki.server.tls, *pki.authority.trusted)
    longest = limits.TLS_CERTIFICATE_CHAIN_MAX
    chains = pki.authority.chains(tmp_path / "chains", range(longest - 1, longest + 2))
    for between, credentials in chains.items():
        context = client_context(pki, credentials)
        if between <= longest:
            assert_echoes(secure(receiver, context))
        else:
            assert_refused(secure(receiver, context).socket)
            receiver.stderr.wait_for("E: dcmfast.tls: .*certificate chain too long")


def test_expect_sni(running_scp: StartReceiver, pki: Pki) -> None:
    """A wrong name gets the alert and one W line; no name, as most devices, is let pass."""
    receiver = running_scp(
        "storescp", *pki.server.tls, *pki.authority.trusted, "--expect-sni", "pacs.example"
    )
    context = client_context(pki, pki.client)
    assert_echoes(secure(receiver, context, name="pacs.example"))
    assert_echoes(secure(receiver, context, name="PACS.Example"))
    assert_echoes(secure(receiver, context))
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized[ _]name"):
        secure(receiver, context, name="other.example")
    text = receiver.stderr.wait_for("W: dcmfast.tls: .*")
    assert "asked for server 'other.example', this one is 'pacs.example'" in text
    assert len(receiver.stderr.lines) == 1


@pytest.mark.parametrize(("tool", "code"), [("storescp", 1), ("dcmrecv", 71)])
def test_a_profile_that_the_library_cannot_serve(
    tool: str, code: int, pki: Pki, free_port: int, tmp_path: Path
) -> None:
    """``+pb`` needs triple DES; without it nothing is started, and one line names the suite."""
    suite = "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
    if suite in _rust.tls_cipher_suites():
        pytest.skip("this OpenSSL has triple DES")
    line = [str(free_port), "-od", str(tmp_path), *pki.server_rsa.tls, "+pb"]
    done = run_tool("dcmfast", tool, line)
    assert done.code == code
    (fatal,) = [text for text in done.lines if not text.startswith("W: no configuration file")]
    assert fatal.startswith(f"F: 000b:0003 TLS ciphersuite unknown or not supported: {suite}")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--request-sni", "pacs.example"], 0),
        (["--request-sni", "other.example"], 1),
        (["--no-sni"], 0),
        (["--no-sni", "--request-sni", "pacs.example"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_request_sni(options: list[str], code: int, running_scp: StartReceiver, pki: Pki) -> None:
    """What echoscu asks for; asking and not asking are no pair."""
    receiver = running_scp(
        "storescp", *pki.server.tls, *pki.authority.trusted, "--expect-sni", "pacs.example"
    )
    secured = [*pki.client.tls, *pki.authority.trusted]
    done = run_tool("dcmfast", "echoscu", [*secured, *options, "127.0.0.1", str(receiver.port)])
    assert done.code == code, done.stderr
    if "other.example" in options:
        assert "unrecognized name" in done.stderr.replace("_", " ")
        receiver.stderr.wait_for("W: dcmfast.tls: .*asked for server 'other.example'")
    elif code == 1:
        assert "--no-sni not allowed with --request-sni" in done.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_goes_on_under_another_name(
    version: ssl.TLSVersion, running_scp: StartReceiver, pki: Pki
) -> None:
    """RFC 6066 §3: ``--expect-sni`` holds for a resumed session, too."""
    receiver = running_scp(
        "storescp", *pki.server.tls, *pki.authority.trusted, "--expect-sni", "pacs.example"
    )
    context = client_context(pki, pki.client, version=version)
    with secure(receiver, context, name="pacs.example") as peer:
        peer.associate()
        peer.echo()
        assert isinstance(peer.socket, ssl.SSLSocket)
        session = peer.socket.session
    assert_echoes(secure(receiver, context, name="pacs.example", session=session))
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized[ _]name"):
        secure(receiver, context, name="other.example", session=session)


def test_a_renegotiation_is_refused_in_plain_words(receiver: Receiver, pki: Pki) -> None:
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{receiver.port}", "-tls1_2",
            "-cert", pki.client.certificate, "-key", pki.client.key,
            "-CAfile", pki.authority.certificate]  # fmt: skip
    done = subprocess.run(line, input=b"R\n", capture_output=True, timeout=30, check=False)
    assert b"RENEGOTIATING" in done.stderr
    receiver.stderr.wait_for("E: dcmfast.tls: .*it gave up when this side refused a new handshake")


def test_der_and_an_encrypted_key(running_scp: StartReceiver, pki: Pki) -> None:
    receiver = running_scp("storescp", *pki.server_rsa.as_der().tls, "-der", "-ic")
    assert echo(receiver, "+tla", *pki.authority.trusted) == 0
    receiver = running_scp("storescp", *pki.encrypted.tls, "+pw", PASSWORD, "-ic")
    assert echo(receiver, "+tla", *pki.authority.trusted) == 0


@pytest.mark.parametrize(
    "implementation", [pytest.param("dcmtk", marks=pytest.mark.dcmtk), "dcmfast"]
)
def test_a_super_server(implementation: str, pki: Pki, tmp_path: Path) -> None:
    """``--inetd``: TLS on descriptor 0; who is refused, or speaks none, sees an end and no text."""
    trust = pki.authority.trusted
    line = [*command(implementation, "storescp"), "-id", *pki.server_rsa.tls, *trust]
    refused = [*pki.stranger.tls, *trust]
    for options, code in (([*pki.client_rsa.tls, *trust], 0), (refused, 1), (["+tla", *trust], 1)):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = ["127.0.0.1", str(listener.getsockname()[1])]
            client = subprocess.Popen(
                [*command("dcmfast", "echoscu"), *options, *address],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            listener.settimeout(30)
            accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(None)
            server = subprocess.Popen(
                [*line, "-od", tmp_path], stdin=accepted, stdout=accepted, stderr=accepted
            )
        told, _ = client.communicate(timeout=30)
        assert client.returncode == code, told
        assert server.wait(30) == 0


def test_a_process_for_each_association(running_scp: StartReceiver, pki: Pki) -> None:
    """``--fork``: the handshake is the child's, and a refused peer costs nobody anything."""
    receiver = running_scp("storescp", *pki.server.tls, *pki.authority.trusted, "--fork")
    assert echo(receiver, *pki.client.tls, *pki.authority.trusted) == 0
    assert echo(receiver, *pki.stranger.tls, *pki.authority.trusted) != 0
    context = client_context(pki, pki.client)
    # The keys of the tickets are the parent's: what one child has issued, the next one takes.
    assert_resumes(receiver, context, echoed_session(receiver, context))


@pytest.mark.parametrize(("tool", "code"), [("storescp", 1), ("dcmrecv", 71)])
def test_nothing_is_started(tool: str, code: int, free_port: int, pki: Pki, tmp_path: Path) -> None:
    """A key that is missing, and one with a wrong password: DCMTK's exit codes."""
    missing = str(tmp_path / "none")
    for options in (
        ["+tls", missing, str(pki.server.certificate)],
        [*pki.encrypted.tls, "+pw", "wrong"],
        [*pki.server.tls, "+cs", "TLS_NO_SUCH_SUITE"],
    ):
        done = run_tool("dcmfast", tool, [str(free_port), "-od", tmp_path, *options])
        assert done.code == code, done.stderr
        assert done.lines[-1].startswith("F: 000")


def test_write_seed(running_scp: StartReceiver, pki: Pki, tmp_path: Path) -> None:
    """``+rs`` with ``+ws`` and ``+wf``."""
    seed, other = tmp_path / "seed", tmp_path / "other"
    seed.write_bytes(b"not much")
    receiver = running_scp("storescp", *pki.server.tls, "-ic", "+rs", str(seed), "+ws")
    assert len(seed.read_bytes()) == 1024
    done = run_tool(
        "dcmfast", "echoscu",
        ["+tla", *pki.authority.trusted, "+rs", seed, "+wf", other, "127.0.0.1",
         str(receiver.port)],
    )  # fmt: skip
    assert (done.code, done.stderr) == (0, "")
    assert len(other.read_bytes()) == 1024


# ---- A requestor of queries


def server_side(pki: Pki, credentials: Credentials, peer: ScriptedPeer) -> None:
    """Take the other side of a handshake; the client has to show a certificate of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials.certificate, credentials.key)
    context.load_verify_locations(pki.authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    peer.socket = context.wrap_socket(peer.socket, server_side=True)


def test_findscu_asks_over_tls(pki: Pki) -> None:
    data = b"\x10\x00\x20\x00LO\x04\x00P 1 "

    def script(peer: Conversation) -> None:
        server_side(pki, pki.server, peer)
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        peer.respond(request, 0xFF00, data=data)
        peer.respond(request, 0)
        peer.expect_release()

    with ScriptedServer(script) as server:
        done = run_tool(
            "dcmfast", "findscu",
            [*pki.client.tls, *pki.authority.trusted, "-v", "-k", "PatientID",
             "127.0.0.1", str(server.port)],
        )  # fmt: skip
    assert done.code == 0, done.stderr
    assert f"I: dcmfast.tls: peer 127.0.0.1:{server.port}: TLSv1.3, TLS_" in done.stderr
    assert "[P 1" in done.stderr


def test_findscu_asks_no_stranger(pki: Pki) -> None:
    """An unknown authority's certificate: nothing is asked; the code is findscu's own."""

    def script(peer: Conversation) -> None:
        with suppress(ssl.SSLError, ConnectionError):
            server_side(pki, pki.stranger, peer)
            # TLS 1.3: the client's refusal may come behind the handshake.
            assert peer.socket.recv(16) == b""

    with ScriptedServer(script) as server:
        done = run_tool(
            "dcmfast", "findscu",
            [*pki.client.tls, *pki.authority.trusted, "-k", "PatientID",
             "127.0.0.1", str(server.port)],
        )  # fmt: skip
    assert done.code == 2, done.stderr
    assert done.lines[0].startswith("E: Association Request Failed: 000b:")
    assert "its certificate 'CN=stranger' issued by 'CN=Other authority'" in done.lines[1]


def test_the_retrieving_tools_have_no_tls(pki: Pki) -> None:
    """Like DCMTK's; the option is refused, and nothing goes out in clear."""
    for tool in ("movescu", "getscu"):
        done = run_tool("dcmfast", tool, [*pki.client.tls, "127.0.0.1", "104", "-k", "PatientID"])
        assert done.code == 1
        assert "Unknown option +tls" in done.stderr
