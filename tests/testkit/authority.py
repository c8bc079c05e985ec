"""Certification authorities for tests, made by the openssl program.

Keys are made once per test session; elliptic ones where nothing asks for RSA, because they cost
nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIGURATION = """
[ca]
default_ca = own
[own]
dir = {directory}
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def openssl(*arguments: str | Path, stdin: str = "") -> str:
    """Run the openssl program; what it prints on stdout."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Credentials:
    """A key and the certificate that belongs to it."""

    key: Path
    certificate: Path

    @property
    def tls(self) -> list[str]:
        """As the tools take them."""
        return ["+tls", str(self.key), str(self.certificate)]

    def as_der(self) -> Credentials:
        """The same, in DER."""
        key, certificate = self.key.with_suffix(".key.der"), self.certificate.with_suffix(".der")
        if not key.exists():
            openssl("pkey", "-in", self.key, "-outform", "DER", "-out", key)
            openssl("x509", "-in", self.certificate, "-outform", "DER", "-out", certificate)
        return Credentials(key, certificate)


class Authority:
    """A certification authority with all that it has issued."""

    def __init__(
        self, directory: Path, name: str = "Test authority", *, issuer: Authority | None = None
    ) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        (directory / "index.txt").touch()
        (directory / "serial").write_text("1000\n")
        (directory / "crlnumber").write_text("01\n")
        self.configuration = directory / "openssl.cnf"
        self.configuration.write_text(_CONFIGURATION.format(directory=directory))
        self.certificate = directory / "ca.pem"
        make_key(directory / "ca.key")
        if issuer is not None:
            shutil.copy(issuer.sign(directory / "ca.key", name, "authority"), self.certificate)
            return
        openssl(
            "req", "-new", "-x509", "-key", directory / "ca.key", "-out", self.certificate,
            "-days", "30", "-subj", f"/CN={name}", "-config", self._request_configuration(),
            "-extensions", "authority",
        )  # fmt: skip

    def _request_configuration(self) -> Path:
        path = self.directory / "request.cnf"
        if not path.exists():
            text = "[req]\ndistinguished_name = name\n[name]\n" + self.configuration.read_text()
            path.write_text(text)
        return path

    @property
    def trusted(self) -> list[str]:
        """Trust in this authority, as the tools take it."""
        return ["+cf", str(self.certificate)]

    def issue(
        self, name: str, *, kind: str = "ec", start: str = "", end: str = "", bits: int = 2048
    ) -> Credentials:
        """A new key with its certificate; `start` and `end` as ``YYYYMMDDHHMMSSZ``."""
        stem = name.replace(" ", "-")
        key = self.directory / f"{stem}.key"
        make_key(key, kind=kind, bits=bits)
        certificate = self.sign(key, name, "leaf", start=start, end=end)
        return Credentials(key, certificate)

    def issue_authority(self, directory: Path, name: str) -> Authority:
        """An authority below this one."""
        return Authority(directory, name, issuer=self)

    def sign(
        self, key: Path, name: str, extensions: str, *, start: str = "", end: str = ""
    ) -> Path:
        """The certificate that this authority gives to a key and a name."""
        stem = self.directory / name.replace(" ", "-")
        request, certificate = stem.with_suffix(".csr"), stem.with_suffix(".pem")
        openssl(
            "req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}",
            "-config", self._request_configuration(),
        )  # fmt: skip
        dates = (["-startdate", start] if start else []) + (["-enddate", end] if end else [])
        openssl(
            "ca", "-batch", "-notext", "-config", self.configuration, "-in", request,
            "-out", certificate, "-extensions", extensions, *dates,
        )  # fmt: skip
        return certificate

    def chains(self, directory: Path, lengths: range) -> dict[int, Credentials]:
        """Certificates behind so many others each, in one file with them; one key serves all."""
        directory.mkdir()
        key, extensions = directory / "key", directory / "extensions"
        make_key(key)
        public = directory / "public"
        openssl("pkey", "-in", key, "-pubout", "-out", public)
        extensions.write_text("basicConstraints = critical,CA:TRUE\n")

        def issue(name: str, issuer: Path, issuer_key: Path, *options: str | Path) -> Path:
            certificate = directory / f"{name}.pem"
            openssl(
                "x509", "-new", "-force_pubkey", public, "-subj", f"/CN={name}", "-CA", issuer,
                "-CAkey", issuer_key, "-days", "30", "-out", certificate, *options,
            )  # fmt: skip
            return certificate

        made, between = {}, [self.certificate]
        for at in range(max(lengths) + 1):
            issuer_key = key if at else self.directory / "ca.key"
            if at in lengths:
                leaf = issue(f"behind-{at}", between[-1], issuer_key)
                texts = [path.read_text() for path in (leaf, *between[:0:-1])]
                leaf.write_text("".join(texts))
                made[at] = Credentials(key, leaf)
            between.append(issue(f"between-{at}", between[-1], issuer_key, "-extfile", extensions))
        return made

    def revoke(self, credentials: Credentials) -> None:
        """Put a certificate on the next revocation list."""
        openssl("ca", "-config", self.configuration, "-revoke", credentials.certificate)

    def revocation_list(self, name: str = "list.crl") -> Path:
        """The revocation list as it is now."""
        path = self.directory / name
        openssl("ca", "-config", self.configuration, "-gencrl", "-out", path)
        return path

    def hashed_directory(self, directory: Path) -> Path:
        """A directory in which the authority's certificate is found by the hash of its name."""
        directory.mkdir(exist_ok=True)
        digest = openssl("x509", "-in", self.certificate, "-noout", "-hash").strip()
        shutil.copy(self.certificate, directory / f"{digest}.0")
        return directory


def make_key(path: Path, *, kind: str = "ec", bits: int = 2048) -> None:
    """Write a new private key in PEM."""
    if kind == "rsa":
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-out", path)
    else:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)


def encrypted(credentials: Credentials, password: str) -> Credentials:
    """The same with a key that needs `password`."""
    key = credentials.key.with_suffix(".enc.key")
    openssl("pkey", "-in", credentials.key, "-aes256", "-passout", f"pass:{password}", "-out", key)
    return Credentials(key, credentials.certificate)


class Pki:
    """Everything that the tests of TLS need, from two authorities that do not know each other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory / "ours")
        self.server = self.authority.issue("server")
        #: The retired profiles know RSA only.
        self.server_rsa = self.authority.issue("server rsa", kind="rsa")
        self.client = self.authority.issue("client")
        self.client_rsa = self.authority.issue("client rsa", kind="rsa")
        self.expired = self.authority.issue(
            "expired client", start="20200101000000Z", end="20200201000000Z"
        )
        self.revoked = self.authority.issue("revoked client")
        self.authority.revoke(self.revoked)
        self.revocation_list = self.authority.revocation_list()
        self.other_authority = Authority(directory / "others", "Other authority")
        self.stranger = self.other_authority.issue("stranger")
        self.encrypted = encrypted(self.server, PASSWORD)


PASSWORD = "open sesame"
