"""Chains of certificates and their revocation lists: whom DCMTK's storescp lets in, and ours.

An authority that is known, one that it has made, and clients of that one.  ``+crv`` looks at the
client's own certificate, ``+cra`` at every one of the chain, and a list that is missing lets nobody
pass.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dcmfast.apps import echoscu
from testkit import pdu
from testkit.authority import Authority, Credentials, Pki
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool

pytestmark = pytest.mark.dcmtk


@dataclass
class Chain:
    """Two authorities, two clients of the second, and lists of both authorities."""

    root: Authority
    middle: Authority
    clients: dict[str, Credentials]
    #: What the options of a case name.
    files: dict[str, Path]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    directory = tmp_path_factory.mktemp("chain")
    root = Authority(directory / "root", "Root")
    middle = root.issue_authority(directory / "middle", "Middle")
    good, bad = middle.issue("good"), middle.issue("bad")
    files = {"root": root.certificate, "middle": middle.certificate}
    files["root-list"] = root.revocation_list()
    middle.revoke(bad)
    files["middle-list"] = middle.revocation_list()
    root.revoke(Credentials(directory, middle.certificate))
    files["root-list-without-middle"] = root.revocation_list("without.crl")
    files["directory"] = root.hashed_directory(directory / "hashed")
    middle.hashed_directory(files["directory"])
    clients = {"good": good, "bad": bad}
    for name, one in list(clients.items()):
        whole = directory / f"{name}-whole.pem"
        whole.write_text(one.certificate.read_text() + middle.certificate.read_text())
        clients[f"{name} and middle"] = Credentials(one.key, whole)
    return Chain(root, middle, clients, files)


#: Options, and whose certificate they verify.
CASES = {
    "+cf root": set(),
    "+cf middle": set(),
    "+cf root +cf middle": {"good", "bad"},
    "+cd directory": {"good", "bad"},
    "+cd directory +crl middle-list": {"good"},
    "+cf root +cf middle +crl middle-list": {"good"},
    "+cf root +cf middle +crl middle-list +crv": {"good"},
    "+cf root +cf middle +crl root-list +crv": set(),
    "+cf root +cf middle +crv": set(),
    "+cf root +cf middle +cra": set(),
    "+cf root +cf middle +crl middle-list +cra": set(),
    "+cf root +cf middle +crl middle-list +crl root-list +cra": {"good"},
    "+cf root +cf middle +crl middle-list +crl root-list-without-middle +cra": set(),
    "+cf root +cf middle +crl middle-list +crl root-list-without-middle +crv": {"good"},
}


def theirs(arguments: list[str]) -> int:
    return run_tool("dcmtk", "echoscu", arguments).code


@pytest.mark.parametrize("options", CASES)
def test_what_is_verified(options: str, chain: Chain) -> None:
    """``echoscu +vc`` asks nobody, and so is the cheapest way to see what an option does."""
    words = [str(chain.files.get(word, word)) for word in options.split()]
    for ask in (theirs, echoscu.main):
        found = {
            name
            for name in ("good", "bad")
            if ask(["+vc", str(chain.clients[name].certificate), "+tla", *words]) == 0
        }
        assert found == CASES[options], ask


#: The same for peers that send their authority's certificate, too, or leave it out.
ON_THE_WIRE = {
    "+cf root": {"good and middle", "bad and middle"},
    "+cf root +crl middle-list +crl root-list +cra": {"good and middle"},
    "+cf root +cf middle +crl middle-list +crl root-list-without-middle +cra": set(),
}


def is_let_in(receiver: Receiver, credentials: Credentials) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(credentials.certificate, credentials.key)
    with ScriptedPeer(receiver.port) as peer, suppress(OSError, AssertionError):
        peer.socket = context.wrap_socket(peer.socket)
        peer.associate()
        peer.echo()
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
        return True
    return False


@pytest.mark.parametrize("options", ON_THE_WIRE)
def test_who_is_let_in(options: str, chain: Chain, pki: Pki, running_scp: StartReceiver) -> None:
    words = [str(chain.files.get(word, word)) for word in options.split()]
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", *pki.server.tls, *words, implementation=implementation)
        found = {name for name, one in chain.clients.items() if is_let_in(receiver, one)}
        assert found == ON_THE_WIRE[options], f"{implementation}\n{receiver.stderr.text}"
