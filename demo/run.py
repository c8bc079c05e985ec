"""``make demo``: a receiver, real DICOM files, and a check of every byte.

Starts ``dcmfast storescp``, sends it the files that come with pydicom by ``dcmfast storescu``,
shows what arrived where and how fast, compares each stored data set with its source, and stops the
receiver. Then an archive is served, stored into, asked and verified (``archive.py``). Exit code 0
means that every byte was where it should be.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

DCMFAST = [sys.executable, "-m", "dcmfast"]
#: Longest wait for a start or a stop, in seconds; both take a fraction of one.
PATIENCE_S = 20.0

#: pydicom's own samples that are cut or damaged on purpose, so that no receiver should keep them.
DAMAGED = frozenset({"rtplan_truncated.dcm", "MR_truncated.dcm", "SC_rgb_jpeg.dcm"})
#: Color palettes: a storage class that storescp takes only by an association profile.
PALETTE = "1.2.840.10008.5.1.4.39.1"

SYNTAX_NAMES = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}


@dataclass(frozen=True)
class Sample:
    """A file to send: its UIDs as the data set has them, and the bytes of the data set."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


class DemoError(Exception):
    """Something did not go as promised; the text says what."""


def split_file(data: bytes) -> tuple[str, bytes]:
    """Transfer syntax and data set of a file (PS3.10 §7.1); ValueError for anything else."""
    if data[128:132] != b"DICM":
        raise ValueError("no DICM")
    at, syntax = 132, ""
    while data[at : at + 2] == b"\x02\x00":
        long_form = data[at + 4 : at + 6] in (b"OB", b"UN", b"OW", b"UT")
        start = at + (12 if long_form else 8)
        length = int.from_bytes(data[start - (4 if long_form else 2) : start], "little")
        if data[at + 2 : at + 4] == b"\x10\x00":
            syntax = data[start : start + length].rstrip(b"\0 ").decode("ascii")
        at = start + length
    return syntax, data[at:]


def samples() -> list[Sample]:
    """The files bundled with pydicom that a storage SCU can send; nothing is downloaded."""
    import warnings

    import dcmfast

    spec = importlib.util.find_spec("pydicom")
    if spec is None or spec.origin is None:
        raise DemoError("pydicom is not installed")
    found: dict[str, Sample] = {}
    for path in sorted((Path(spec.origin).parent / "data").rglob("*.dcm")):
        if path.name in DAMAGED:
            continue
        try:
            syntax, data_set = split_file(path.read_bytes())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read = dcmfast.read(path, stop_before_pixels=True)
            sop_class, instance = str(read.SOPClassUID), str(read.SOPInstanceUID)
        except Exception:  # any of pydicom's odd files is simply not sent
            continue
        if syntax in SYNTAX_NAMES and sop_class != PALETTE:
            found.setdefault(instance, Sample(path, sop_class, instance, syntax, data_set))
    return list(found.values())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> float:
    """Wait for the receiver; seconds that it took."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE_S:
        if process.poll() is not None:
            raise DemoError(f"the receiver ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.005)
        else:
            return time.monotonic() - started
    raise DemoError("the receiver does not listen")


def send(port: int, paths: list[Path]) -> float:
    """Send files with ``dcmfast storescu``; seconds that it took."""
    started = time.monotonic()
    done = subprocess.run(
        [*DCMFAST, "storescu", "-R", "127.0.0.1", str(port), *map(str, paths)], check=False
    )
    if done.returncode != 0:
        raise DemoError(f"storescu ended with exit code {done.returncode}")
    return time.monotonic() - started


def compare(directory: Path, sent: list[Sample]) -> int:
    """Compare every stored data set with its source; bytes compared."""
    stored = {path.name.partition(".")[2]: path for path in directory.iterdir()}
    missing = {one.sop_instance_uid for one in sent} - set(stored)
    extra = set(stored) - {one.sop_instance_uid for one in sent}
    if missing or extra:
        raise DemoError(f"{len(missing)} objects are missing, {len(extra)} are too many")
    compared = 0
    for one in sent:
        syntax, data_set = split_file(stored[one.sop_instance_uid].read_bytes())
        # On the way a deflated data set of odd length gets the padding of PS3.5 §A.5.
        padded = one.data_set + b"\0" * (len(one.data_set) % 2)
        if (syntax, data_set) != (one.transfer_syntax_uid, padded):
            raise DemoError(f"{one.path.name} was not stored as it was sent")
        compared += len(data_set)
    return compared


def show(directory: Path, sent: list[Sample]) -> None:
    """What arrived: counts by transfer syntax and some names."""
    counts = Counter(one.transfer_syntax_uid for one in sent)
    width = max(len(SYNTAX_NAMES[uid]) for uid in counts)
    for uid, count in counts.most_common():
        size = sum(len(one.data_set) for one in sent if one.transfer_syntax_uid == uid)
        print(f"  {SYNTAX_NAMES[uid]:<{width}}  {count:4} objects {size / 1e6:8.2f} MB")
    names = sorted(path.name for path in directory.iterdir())
    print(f"in {directory}, for example:")
    for name in names[:: max(1, len(names) // 4)][:4]:
        print(f"  {name}")


def main() -> int:
    """Run the demonstration; 0 when every byte is right."""
    with tempfile.TemporaryDirectory(prefix="dcmfast-demo-") as temporary:
        directory = Path(temporary)
        sent = samples()
        port = free_port()
        line = [*DCMFAST, "storescp", str(port), "-od", str(directory), "+xa", "+B"]
        print(f"$ dcmfast storescp {port} -od {directory} +xa +B")
        receiver = subprocess.Popen(line)
        try:
            listening_s = wait_until_listening(port, receiver)
            print(f"listening after {listening_s * 1000:.0f} ms")
            print(f"$ dcmfast storescu -R 127.0.0.1 {port} … ({len(sent)} files)")
            seconds = send(port, [one.path for one in sent])
            size = sum(len(one.data_set) for one in sent)
            print(
                f"{len(sent)} objects, {size / 1e6:.1f} MB in {seconds:.2f} s, the sender's start"
                f" included: {len(sent) / seconds:.0f} objects/s"
            )
            show(directory, sent)
            compared = compare(directory, sent)
            print(f"compared: {compared} bytes of {len(sent)} data sets, all as they were sent")
        finally:
            receiver.send_signal(signal.SIGTERM)
            code = receiver.wait(PATIENCE_S)
        if code != 0:
            raise DemoError(f"the receiver ended with exit code {code}")
        print("the receiver stopped in order")
    with tempfile.TemporaryDirectory(prefix="dcmfast-demo-") as temporary:
        # Here, because it uses what this file has.
        import archive

        archive.demonstrate(Path(temporary) / "archive", sent)
    return 0


if __name__ == "__main__":
    # `archive` imports this file by its name.
    sys.modules["run"] = sys.modules["__main__"]
    try:
        sys.exit(main())
    except DemoError as error:
        sys.exit(f"demo: {error}")
