"""Fixtures only; what they hand out is defined in ``testkit``.

A test that is parametrised over ``implementation`` runs the same steps against DCMTK's tool, which
shows that the test itself is right; where dcmfast is better on purpose the expected values differ,
and the test's table says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from testkit import process
from testkit.authority import Pki
from testkit.kinds import Connect, StartReceiver, StorescpOf
from testkit.peer import ScriptedPeer

#: Programs of Debian's dcmtk package that tests call.
DCMTK_PROGRAMS = (
    "storescp",
    "dcmrecv",
    "storescu",
    "echoscu",
    "dcmsend",
    "dcmconv",
    "dcmdump",
    "dcmqrscp",
)

# A shell starts what stands in the background with SIGINT ignored, which programs inherit; tests
# that interrupt them are about those that a terminal started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The same inputs each time: a change is judged by itself, not by what chance draws on that day.
# DCMFAST_SOAK draws anew. A busy machine is no failure.
settings.register_profile("suite", deadline=None, derandomize="DCMFAST_SOAK" not in os.environ)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs DCMTK where it is missing; in CI that is a failure instead."""
    missing = [name for name in DCMTK_PROGRAMS if shutil.which(name, path="/usr/bin") is None]
    if not missing:
        return
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if item.get_closest_marker("dcmtk") or "dcmtk" in parameters.values():
            reason = "DCMTK's programs are missing: apt-get install dcmtk"
            if os.environ.get("CI") == "true":
                item.add_marker(pytest.mark.usefixtures("dcmtk_is_missing_in_ci"))
            else:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def dcmtk_is_missing_in_ci() -> None:
    """Fail: in CI a silent skip would hide that the comparison was not made."""
    pytest.fail("DCMTK's programs are missing in CI: apt-get install dcmtk")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Authorities, keys and certificates, made once."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is missing: apt-get install openssl")
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def archive_dir(tmp_path: Path) -> Path:
    """An empty output directory."""
    directory = tmp_path / "archive"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the module's tests in an empty directory, where no file name that is typed exists."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return process.free_port()


def _starter(stack: ExitStack, default_directory: Callable[[], Path]) -> StartReceiver:
    def start(
        tool: str = "storescp",
        *arguments: str,
        implementation: str = "dcmfast",
        directory: Path | None = None,
        clean_exit: bool = True,
        environment: dict[str, str] | None = None,
        **options: object,
    ) -> process.Receiver:
        receiver = process.start_receiver(
            implementation,
            tool,
            default_directory() if directory is None else directory,
            arguments,
            environment=environment,
            **options,  # type: ignore[arg-type]
        )

        def stop() -> None:
            if receiver.process.poll() is not None:
                return
            code = receiver.stop()
            # DCMTK installs no handler (DIFFERENCES.md B8); ours always leaves in order.
            if receiver.is_ours and clean_exit:
                assert code == 0, receiver.stderr.text

        stack.callback(stop)
        return receiver

    return start


@pytest.fixture
def running_scp(tmp_path: Path) -> Iterator[StartReceiver]:
    """Start receivers of either implementation; each is stopped by SIGTERM and must exit with 0."""
    count = 0

    def new_directory() -> Path:
        nonlocal count
        count += 1
        directory = tmp_path / f"received-{count}"
        directory.mkdir()
        return directory

    with ExitStack() as stack:
        yield _starter(stack, new_directory)


@pytest.fixture(scope="module")
def shared_scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartReceiver]:
    """As ``running_scp``, for a whole module: tests that cannot disturb each other share one."""
    with ExitStack() as stack:
        yield _starter(stack, lambda: tmp_path_factory.mktemp("received"))


@pytest.fixture
def dcmtk_peer(running_scp: StartReceiver) -> StartReceiver:
    """DCMTK's own receivers, started like ours."""

    def start(tool: str = "storescp", *arguments: str, **options: object) -> process.Receiver:
        return running_scp(tool, *arguments, implementation="dcmtk", **options)

    return start


@pytest.fixture
def scripted_peer() -> Iterator[Connect]:
    """Open raw connections to a receiver; all are closed at the end of the test."""
    with ExitStack() as stack:

        def connect(receiver: process.Receiver | int, **options: object) -> ScriptedPeer:
            port = receiver if isinstance(receiver, int) else receiver.port
            return stack.enter_context(ScriptedPeer(port, **options))  # type: ignore[arg-type]

        yield connect


@pytest.fixture(scope="module")
def storescp_of(shared_scp: StartReceiver) -> StorescpOf:
    """One plain storescp per module and implementation, for tests that leave no trace in it.

    DCMTK's forks, since its single process lets one held connection keep all others waiting
    (DIFFERENCES.md B5).
    """
    started: dict[str, process.Receiver] = {}

    def get(implementation: str) -> process.Receiver:
        if implementation not in started:
            arguments = ("--fork",) if implementation == "dcmtk" else ()
            started[implementation] = shared_scp(
                "storescp", *arguments, implementation=implementation
            )
        return started[implementation]

    return get


@pytest.fixture
def ours(storescp_of: StorescpOf) -> process.Receiver:
    """The module's dcmfast storescp."""
    return storescp_of("dcmfast")
