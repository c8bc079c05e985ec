"""An archive under test: its configuration, and DCMTK's clients that talk to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testkit.kinds import StartReceiver
from testkit.process import Finished, Receiver, free_port, run_tool
from vectors import make


def keys(level: str | None = None, **values: str) -> list[str]:
    """``-k`` options; ``keys("STUDY", PatientName="A*")``."""
    named = ({} if level is None else {"QueryRetrieveLevel": level}) | values
    return [text for key, value in named.items() for text in ("-k", f"{key}={value}")]


@dataclass
class Archive:
    """A running dcmqrscp of either implementation, and what it was configured with."""

    folder: Path
    server: Receiver
    #: Where objects moved to ``DEST`` arrive, once it runs.
    received: Path
    destination_port: int
    start: StartReceiver
    sent: int = 0
    #: Called when a client has ended.
    after_each: Callable[[], None] = lambda: None

    @property
    def area(self) -> Path:
        """The storage area of title ``QR``."""
        return self.folder / "area"

    def run(self, tool: str, *arguments: str | Path, called: str = "QR") -> Finished:
        """One of DCMTK's clients, calling `called`."""
        line: list[str | Path] = ["-aec", called, *arguments]
        at = 2 if tool in {"storescu", "echoscu"} else len(line)
        line[at:at] = ["localhost", str(self.server.port)]
        return self._ran(tool, line)

    def _ran(self, tool: str, line: list[str | Path]) -> Finished:
        done = run_tool("dcmtk", tool, line)
        self.after_each()
        return done

    def store(
        self, *made: make.SyntheticObject, options: tuple[str, ...] = (), called: str = "QR"
    ) -> Finished:
        """Send objects with storescu, in one association."""
        files: list[str | Path] = []
        for one in made:
            self.sent += 1
            path = self.folder / f"sent-{self.sent}.dcm"
            path.write_bytes(make.part10(one))
            files.append(path)
        line = ["-v", *options, "-aec", called, "localhost", str(self.server.port), *files]
        return self._ran("storescu", line)

    def find(self, *arguments: str, model: str = "-S", called: str = "QR") -> Finished:
        """Ask with findscu; what it printed at ``-v``."""
        return self.run("findscu", "-v", model, *arguments, called=called)

    def move(self, to: str, *arguments: str, model: str = "-S", called: str = "QR") -> Finished:
        """Ask with movescu for a C-MOVE to `to`."""
        return self.run("movescu", "-v", model, "-aem", to, *arguments, called=called)

    def get(self, *arguments: str, model: str = "-S", called: str = "QR") -> Finished:
        """Ask with getscu; objects go to `received`."""
        self.received.mkdir(exist_ok=True)
        return self.run("getscu", "-v", model, "-od", self.received, *arguments, called=called)

    def destination(self, *options: str) -> Receiver:
        """Start the storescp that title ``DEST`` names."""
        self.received.mkdir(exist_ok=True)
        return self.start(
            "storescp", *options, implementation="dcmtk", directory=self.received,
            port=self.destination_port,
        )  # fmt: skip

    def numbers(self) -> list[str]:
        """What a STUDY query for everything finds: Study Instance UIDs."""
        return self.values("StudyInstanceUID", *keys("STUDY", StudyInstanceUID=""))

    def values(self, keyword: str, *arguments: str, model: str = "-S") -> list[str]:
        """The values of `keyword` in the responses to a query."""
        found = []
        is_response = False
        for line in self.find(*arguments, model=model).lines:
            is_response = is_response or "Find Response:" in line
            if is_response and line.endswith(f" {keyword}"):
                found.append(line.partition("[")[2].partition("]")[0].rstrip("\0 "))
        return found


def start_archive(
    start: StartReceiver,
    folder: Path,
    *options: str,
    implementation: str = "dcmfast",
    quota: str = "100, 1024mb",
    access: str = "RW",
    lines: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    vendors: tuple[str, ...] = (),
    entries: tuple[str, ...] = (),
) -> Archive:
    """Write a configuration with title ``QR`` and start dcmqrscp with it."""
    folder.mkdir(exist_ok=True)
    (folder / "area").mkdir(exist_ok=True)
    port = free_port()
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        "\n".join(
            [
                *lines,
                "HostTable BEGIN",
                f"dest = (DEST, localhost, {port})",
                f"closed = (CLOSED, localhost, {free_port()})",
                *hosts,
                "HostTable END",
                "VendorTable BEGIN",
                *vendors,
                "VendorTable END",
                "AETable BEGIN",
                f"QR {folder}/area {access} ({quota}) ANY",
                *entries,
                "AETable END",
                "",
            ]
        )
    )
    server = start(
        "dcmqrscp", "-c", str(configuration), *options, implementation=implementation,
        directory=folder / "area",
    )  # fmt: skip
    return Archive(folder, server, folder / "received", port, start)
