"""The password of a private key, asked for at a terminal (``+ps``), beside DCMTK's program.

The terminal is a pseudo terminal of the test's own: what stands on it, whether it echoes, and what
it is left like can be read from its other end.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import termios
import time
from pathlib import Path

import pytest

from testkit.authority import PASSWORD, Pki
from testkit.cases import BOTH
from testkit.process import child_environment, command, free_port, is_listening, wait_until

PROMPT = b"Enter PEM pass phrase:"


class Terminal:
    """A terminal with one program at it."""

    def __init__(self, *line: str | Path) -> None:
        self.master, slave = os.openpty()

        def become_its_session() -> None:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            list(map(str, line)), stdin=slave, stdout=slave, stderr=slave, pass_fds=(slave,),
            env=child_environment(), preexec_fn=become_its_session,
        )  # fmt: skip
        self.slave = slave
        self.text = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)

    def wait_for(self, text: bytes) -> None:
        """Read until `text` is on the screen."""
        deadline = time.monotonic() + 10
        while text not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, self.text
            if select.select([self.master], [], [], left)[0]:
                self.text += os.read(self.master, 4096)

    def type(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)


@pytest.fixture
def line(pki: Pki, tmp_path: Path) -> list[str]:
    """A storescp with a key that needs a password, less its port."""
    return ["-od", str(tmp_path), *pki.encrypted.tls, *pki.authority.trusted]


@BOTH
@pytest.mark.parametrize("option", [[], ["+ps"]], ids=str)
def test_the_password_is_asked_for(implementation: str, option: list[str], line: list[str]) -> None:
    """Not a character of it is seen, and the terminal echoes again afterwards."""
    port = free_port()
    with Terminal(*command(implementation, "storescp"), str(port), *line, *option) as terminal:
        terminal.wait_for(PROMPT)
        wait_until(lambda: not terminal.echoes, what="no echo")
        terminal.type(PASSWORD)
        wait_until(lambda: is_listening(port), what="it listens")
        assert terminal.echoes
        assert termios.tcgetattr(terminal.slave)[3] == terminal.before[3]
        assert PASSWORD.encode() not in terminal.text


@BOTH
def test_a_wrong_password_ends_the_start(implementation: str, line: list[str]) -> None:
    port = free_port()
    with Terminal(*command(implementation, "storescp"), str(port), *line) as terminal:
        terminal.wait_for(PROMPT)
        wait_until(lambda: not terminal.echoes, what="no echo")
        terminal.type("wrong")
        terminal.wait_for(b"F: 000b:0004 Unable to load private TLS key from ")
        assert terminal.process.wait(10) == 1
        assert terminal.echoes


def test_an_interrupt_leaves_a_terminal_that_echoes(line: list[str]) -> None:
    """As typed: the key is ^C, which the terminal turns into SIGINT."""
    program = Terminal(*command("dcmfast", "storescp"), str(free_port()), *line)
    with program as terminal:
        terminal.wait_for(PROMPT)
        wait_until(lambda: not terminal.echoes, what="no echo")
        os.write(terminal.master, b"\x03")
        assert terminal.process.wait(10) != 0
        assert terminal.echoes
