"""TLS with DCMTK's programs on the other side, and their lines beside ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dcmfast._rust import tls_cipher_suites
from testkit.authority import PASSWORD, Pki, openssl
from testkit.checks import assert_only
from testkit.kinds import StartReceiver
from testkit.process import Receiver, command, free_port, run_tool
from vectors import make

pytestmark = pytest.mark.dcmtk

ONLY_VERIFICATION = (
    "W: no configuration file specified, SCP will only support the Verification SOP Class"
)

#: Profiles of both sides; DCMTK 3.6.7 has none of RFC 8996, whose suites its default has.
PAIRS = [("+pg", "+py"), ("+py", "+py"), ("+px", "+px"), ("+pz", "+pz"), ("+pa", "+pa"),
         ("+pn", "+pn"), ("+px", "+pa"), ("+pm", "+py")]  # fmt: skip


def _store(implementation: str, receiver: Receiver, options: list[str], tmp_path: Path) -> None:
    made = make.ct(1, rows=600, columns=500)
    path = tmp_path / "1.dcm"
    path.write_bytes(make.part10(made))
    done = run_tool(implementation, "storescu", [*options, "127.0.0.1", str(receiver.port), path])
    assert done.code == 0, done.stderr
    assert_only(receiver, {f"CT.{made.sop_instance_uid}"})


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_their_storescu_and_our_storescp(
    ours: str, theirs: str, pki: Pki, running_scp: StartReceiver, tmp_path: Path
) -> None:
    trust = pki.authority.trusted
    receiver = running_scp("storescp", *pki.server_rsa.tls, *trust, ours)
    _store("dcmtk", receiver, [*pki.client_rsa.tls, *trust, theirs], tmp_path)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_our_storescu_and_their_storescp(
    ours: str, theirs: str, pki: Pki, running_scp: StartReceiver, tmp_path: Path
) -> None:
    trust = pki.authority.trusted
    receiver = running_scp("storescp", *pki.server_rsa.tls, *trust, theirs, implementation="dcmtk")
    _store("dcmfast", receiver, [*pki.client_rsa.tls, *trust, ours], tmp_path)


def test_dcmrecv_both_ways(pki: Pki, running_scp: StartReceiver) -> None:
    for server, client in (("dcmfast", "dcmtk"), ("dcmtk", "dcmfast")):
        receiver = running_scp(
            "dcmrecv", *pki.server_rsa.tls, *pki.authority.trusted, implementation=server
        )
        done = run_tool(
            client, "echoscu",
            [*pki.client_rsa.tls, *pki.authority.trusted, "127.0.0.1", str(receiver.port)],
        )  # fmt: skip
        # DCMTK 3.6.7 warns of every certificate that an elliptic key has signed.
        assert (done.code, [line for line in done.lines if line[0] != "W"]) == (0, [])


@pytest.mark.parametrize("server", ["dcmfast", "dcmtk"])
@pytest.mark.parametrize("client", ["dcmfast", "dcmtk"])
def test_refusals_have_the_same_codes(
    server: str, client: str, pki: Pki, running_scp: StartReceiver
) -> None:
    """An anonymous requestor where a certificate is required, and one that trusts nobody."""
    receiver = running_scp(
        "storescp", *pki.server_rsa.tls, *pki.authority.trusted, implementation=server
    )
    for options in (
        ["+tla", *pki.authority.trusted],
        ["+tla"],
        [*pki.stranger.tls, *pki.authority.trusted],
    ):
        done = run_tool(client, "echoscu", [*options, "127.0.0.1", str(receiver.port)])
        assert done.code == 1, (options, done.stderr)
        assert done.lines[0].startswith("F: Association Request Failed: "), options
    # DCMTK's servers say so at their default level as well.
    receiver.stderr.wait_for("E: Receiving Association failed: 000b:0[0-9a-f]{3} TLS ", count=2)


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_the_options_of_an_acceptor(
    tool: str, pki: Pki, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """``-pem -rc +cf +dp +crl +crv``, all at once: who is let in; silence at the start."""
    parameters = tmp_path / "dh.pem"
    openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048",
            "-out", parameters)  # fmt: skip
    for server in ("dcmfast", "dcmtk"):
        receiver = running_scp(
            tool, *pki.server_rsa.tls, *pki.authority.trusted, "-pem", "-rc",
            "+dp", str(parameters), "+crl", str(pki.revocation_list), "+crv",
            implementation=server,
        )  # fmt: skip
        # DCMTK 3.6.7 warns of every certificate that an elliptic key has signed.
        expected = (ONLY_VERIFICATION, "W: Certificate hash key not SHA-256")
        told = [line for line in receiver.stderr.lines if not line.startswith(expected)]
        assert told == []
        codes = [
            run_tool(
                "dcmtk", "echoscu",
                [*options, *pki.authority.trusted, "127.0.0.1", str(receiver.port)],
            ).code
            for options in (pki.client_rsa.tls, pki.revoked.tls, ["+tla"], pki.stranger.tls)
        ]  # fmt: skip
        assert codes == [0, 1, 1, 1], server


@pytest.mark.parametrize(("tool", "code"), [("storescp", 1), ("dcmrecv", 71)])
@pytest.mark.parametrize("option", ["-pw", "+ps"])
def test_no_password_comes(tool: str, code: int, option: str, pki: Pki, tmp_path: Path) -> None:
    """``-pw`` is an empty one, and ``+ps`` finds nobody to ask: standard input is at its end."""
    line = [str(free_port()), "-od", tmp_path, *pki.encrypted.tls, option]
    for implementation in ("dcmfast", "dcmtk"):
        # A session of its own has no terminal.
        done = subprocess.run(
            [*command(implementation, tool), *map(str, line)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=30, check=False, start_new_session=True,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "Unable to load private TLS key from" in done.stderr or implementation == "dcmfast"


def test_list_ciphers() -> None:
    """``+cc``: the suites of the same library."""
    ours, theirs = (run_tool(one, "storescp", ["+cc"]) for one in ("dcmfast", "dcmtk"))
    marker = "Supported TLS ciphersuites are:\n"
    assert ours.code == theirs.code == 0
    assert ours.stdout.partition(marker)[1:] == theirs.stdout.partition(marker)[1:]
    assert ours.stdout.count("\n  ") == len(tls_cipher_suites())


@pytest.mark.parametrize(("tool", "code"), [("storescp", 1), ("dcmrecv", 71)])
def test_start_failures(tool: str, code: int, pki: Pki, free_port: int, tmp_path: Path) -> None:
    """The lines of both, where DCMTK's say what happened."""
    missing = str(tmp_path / "none")
    for options in (
        ["+tls", missing, str(pki.server.certificate)],
        ["+tls", str(pki.client.key), str(pki.server.certificate)],
        [*pki.encrypted.tls, "+pw", f"not {PASSWORD}"],
    ):
        line = [str(free_port), "-od", str(tmp_path), *options]
        ours, theirs = (run_tool(one, tool, line) for one in ("dcmfast", "dcmtk"))
        assert ours.code == theirs.code == code
        told = [text for text in theirs.lines if text[:2] in ("E:", "F:")]
        assert ours.lines[-1] == told[-1]


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
def test_offline_checks(implementation: str, pki: Pki) -> None:
    """``+vc`` and ``+rc`` of echoscu."""
    authority = str(pki.authority.certificate)
    for options, code in (
        ([*pki.authority.trusted, "+vc", str(pki.client.certificate)], 0),
        ([*pki.authority.trusted, "+vc", str(pki.stranger.certificate)], 22),
        (["+rc", authority], 0),
        (["+rc", str(pki.client.certificate)], 22),
    ):
        done = run_tool(implementation, "echoscu", ["+tla", *options, "127.0.0.1", "1"])
        assert done.code == code, done.stderr
        passed = {0: "passed", 22: "failed"} if "+vc" in options else {0: " is a", 22: " is not a"}
        assert passed[code] in done.stdout


def test_version_names_the_library() -> None:
    """As DCMTK does; a program and the library may come from different days."""
    for one in ("dcmfast", "dcmtk"):
        done = run_tool(one, "storescp", ["--version"])
        assert "\nExternal libraries used:\n" in done.stdout
        assert "\n- OpenSSL " in done.stdout


def _details(text: str) -> list[str]:
    """The block about the connection, and the same lines that storescu adds."""
    begin = text.index("D: ================== BEGIN TLS CONNECTION DETAILS")
    end = text.index("D: PDU Type: ", begin)
    lines = text[begin:end].splitlines()
    # DCMTK has no number for a long one.
    return [line for line in lines if not line.startswith("D:   Serial no.")]


def test_the_details_of_a_connection(pki: Pki, running_scp: StartReceiver) -> None:
    """At ``-d``: version, suite and certificate, in the words of both, on both sides."""
    trust = pki.authority.trusted
    told = {}
    for one in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", "-d", *pki.server_rsa.tls, *trust, implementation=one)
        address = ["127.0.0.1", str(receiver.port)]
        done = run_tool(one, "echoscu", ["-d", *pki.client_rsa.tls, *trust, *address])
        assert done.code == 0, done.stderr
        receiver.stderr.wait_for("^I: Association Release$")
        anonymous = running_scp("storescp", "-d", "-ic", *pki.server_rsa.tls, implementation=one)
        address = ["127.0.0.1", str(anonymous.port)]
        assert run_tool(one, "echoscu", ["+tla", *trust, *address]).code == 0
        anonymous.stderr.wait_for("^I: Association Release$")
        texts = (receiver.stderr.text, done.stderr, anonymous.stderr.text)
        told[one] = [_details(text) for text in texts]
    assert told["dcmfast"] == told["dcmtk"]
