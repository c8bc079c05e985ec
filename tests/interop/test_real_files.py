"""Hundreds of real files in a dozen transfer syntaxes, from DCMTK's and pynetdicom's senders.

A sender may re-encode what it reads, so "what was sent" is what DCMTK's own ``storescp +B`` keeps
of the same run: the same action against both receivers, and then every data set byte compared.
pynetdicom can send a file's bytes untouched; there the file itself is the truth.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from testkit import pdu
from testkit.corpus import RealFile, batches, read_real_file, sendable_files, split_part10
from testkit.kinds import StartReceiver
from testkit.process import Finished, Receiver, run_tool, wait_until

pytestmark = [pytest.mark.dcmtk, pytest.mark.timeout(300)]

#: storescu's option that proposes a compressed transfer syntax.
PROPOSE = {
    ".5": "-xr", ".1.99": "-xd", ".4.50": "-xy", ".4.51": "-xx", ".4.70": "-xs", ".4.80": "-xt",
    ".4.81": "-xu", ".4.90": "-xv", ".4.91": "-xw",
}  # fmt: skip
#: Classes of the bundled files that no receiver takes by default.
UNLISTED = ("1.2.840.10008.5.1.4.39.1",)
UNCOMPRESSED = (pdu.IMPLICIT, pdu.EXPLICIT, pdu.BIG_ENDIAN)
CONVERSIONS = {"+te": pdu.EXPLICIT, "+ti": pdu.IMPLICIT, "+tb": pdu.BIG_ENDIAN,
               "+td": pdu.DEFLATED}  # fmt: skip


#: Files that DCMTK's senders give up on: implicit data under a JPEG syntax, odd Pixel Data.
NOT_FOR_DCMTK = {"SC_rgb_jpeg.dcm", "rtdose_rle.dcm", "rtdose_rle_1frame.dcm"}


def storable() -> list[RealFile]:
    return [file for file in sendable_files() if file.sop_class_uid not in UNLISTED]


def dcmtk_sends() -> list[RealFile]:
    return [file for file in storable() if file.name not in NOT_FOR_DCMTK]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> list[RealFile]:
    """Every uncompressed file, as DCMTK writes it in another uncompressed syntax."""
    folder = tmp_path_factory.mktemp("converted")
    found = []
    for number, file in enumerate(dcmtk_sends()):
        if file.transfer_syntax_uid not in UNCOMPRESSED:
            continue
        # One conversion each, in turn: it is the number and variety that count.
        choices = [one for one in CONVERSIONS.items() if one[1] != file.transfer_syntax_uid]
        for option, _ in choices[number % len(choices) :][:1]:
            target = folder / f"{number}{option}.dcm"
            done = run_tool("dcmtk", "dcmconv", ["-q", option, file.path, target])
            if done.code == 0:
                read = read_real_file(target)
                assert read is not None
                found.append(read)
    assert len(found) > 100
    return found


def kept(receiver: Receiver) -> dict[str, tuple[str, bytes]]:
    """SOP Instance UID → transfer syntax and data set of what is stored; the files are removed."""
    found = {}
    for path in receiver.files():
        meta, data_set = split_part10(path.read_bytes())
        found[path.name.split(".", 1)[1]] = (meta[0x10].rstrip(b"\0").decode(), data_set)
        path.unlink()
    return found


def by_syntax(files: Sequence[RealFile]) -> dict[str, list[RealFile]]:
    groups: dict[str, list[RealFile]] = {}
    for file in files:
        groups.setdefault(file.transfer_syntax_uid, []).append(file)
    return groups


def dcmtk_storescu(receiver: Receiver, syntax: str, files: Sequence[RealFile]) -> Finished:
    """DCMTK's storescu; for an uncompressed syntax the receiver's preference decides."""
    option = PROPOSE.get(syntax.removeprefix("1.2.840.10008.1.2"))
    option = option or {pdu.IMPLICIT: "-xi", pdu.BIG_ENDIAN: "-xb"}.get(syntax, "-xe")
    paths = [file.path for file in files]
    return run_tool("dcmtk", "storescu", [option, "-R", "localhost", str(receiver.port), *paths])


def dcmtk_dcmsend(receiver: Receiver, syntax: str, files: Sequence[RealFile]) -> Finished:
    """DCMTK's dcmsend, which proposes each file's own syntax."""
    del syntax
    paths = [file.path for file in files]
    return run_tool("dcmtk", "dcmsend", ["-dn", "localhost", str(receiver.port), *paths])


Sender = Callable[[Receiver, str, Sequence[RealFile]], Finished]


@pytest.mark.parametrize("send", [dcmtk_storescu, dcmtk_dcmsend], ids=lambda f: f.__name__)
def test_dcmtks_senders(
    send: Sender, converted: list[RealFile], running_scp: StartReceiver
) -> None:
    """Same senders, same files, both receivers: same syntaxes, same data set bytes.

    What both write in normal mode is compared by ``compat/test_output_encodings.py``.
    """
    ours = running_scp("storescp", "+xa", "+B")
    oracle = running_scp("storescp", "+xa", "+B", implementation="dcmtk")
    sent, syntaxes = 0, set()
    files = [*dcmtk_sends(), *converted]
    for syntax, group in by_syntax(files).items():
        for batch in batches(group):
            results = [send(receiver, syntax, batch) for receiver in (oracle, ours)]
            assert results[0].code == results[1].code == 0, results
            expected, found = kept(oracle), kept(ours)
            assert set(found) == {file.sop_instance_uid for file in batch} == set(expected)
            for uid, value in expected.items():
                assert found[uid] == value, uid
            sent += len(batch)
            syntaxes |= {value[0] for value in found.values()}
    assert sent > 240
    # dcmsend offers the uncompressed syntaxes together, and the receiver takes explicit.
    assert len(syntaxes) >= (12 if send is dcmtk_storescu else 10)


def test_pynetdicom_sends_files_untouched(running_scp: StartReceiver) -> None:
    """The file's own bytes on the wire, and on disk again: no parser between."""
    from pynetdicom import AE, _config
    from pynetdicom.presentation import build_context

    receiver = running_scp("storescp", "+xa", "+B")
    sent, syntaxes = 0, set()
    previous = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        for batch in batches(storable()):
            pairs = sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in batch})
            ae = AE(ae_title="PYNETDICOM")
            ae.requested_contexts = [build_context(*pair) for pair in pairs]
            association = ae.associate("127.0.0.1", receiver.port)
            assert association.is_established
            for file in batch:
                if read_own_uids(file.path) != (file.sop_class_uid, file.sop_instance_uid):
                    continue  # this mode takes the UIDs of the file meta information
                status = association.send_c_store(file.path)
                assert status.Status == 0, file.path
                stored = receiver.directory
                (path,) = stored.glob(f"*.{file.sop_instance_uid}")
                meta, data_set = split_part10(path.read_bytes())
                assert data_set == file.data_set, file.path
                assert meta[0x10].rstrip(b"\0").decode() == file.transfer_syntax_uid
                sent += 1
                syntaxes.add(file.transfer_syntax_uid)
            association.release()
            for path in receiver.files():
                path.unlink()
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = previous
    assert sent > 130
    assert len(syntaxes) >= 11


def read_own_uids(path: Path) -> tuple[str, str]:
    """Class and instance of the file meta information."""
    meta, _ = split_part10(path.read_bytes())
    return tuple(meta[n].rstrip(b"\0 ").decode() for n in (2, 3))  # type: ignore[return-value]


def test_a_profile_takes_what_the_default_does_not(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """Color palettes have no place in the default list; `-xf` (and dcmrecv) gives them one."""
    config = tmp_path / "palettes.cfg"
    config.write_text(
        "[[TransferSyntaxes]]\n[T]\nTransferSyntax1 = LittleEndianExplicit\n"
        "[[PresentationContexts]]\n[P]\nPresentationContext1 = ColorPaletteStorage\\T\n"
        "[[Profiles]]\n[Palettes]\nPresentationContexts = P\n"
    )
    palettes = [file for file in sendable_files() if file.sop_class_uid in UNLISTED]
    assert len(palettes) >= 8
    for tool in ("storescp", "dcmrecv"):
        receiver = running_scp(tool, "-xf", str(config), "Palettes")
        done = dcmtk_dcmsend(receiver, pdu.EXPLICIT, palettes)
        assert done.code == 0, done.stderr
        wait_until(lambda r=receiver: len(r.files()) == len(palettes), what="palettes")
    refusing = running_scp("storescp", "+xa")
    refused = dcmtk_dcmsend(refusing, pdu.EXPLICIT, palettes[:1])
    assert "No Acceptable Presentation Contexts" in refused.stderr
    assert refusing.files() == []


def test_dcmrecv_with_debians_profile(running_scp: StartReceiver) -> None:
    """The profile that every Debian machine has, and DCMTK's dcmsend."""
    profile = ("-xf", "/etc/dcmtk/storescp.cfg", "Default")
    ours = running_scp("dcmrecv", *profile, "+B")
    oracle = running_scp("dcmrecv", *profile, "+B", implementation="dcmtk")
    sent = 0
    for batch in batches(dcmtk_sends()):
        results = [dcmtk_dcmsend(receiver, "", batch) for receiver in (oracle, ours)]
        assert [one.code for one in results] == [0, 0], results
        expected = kept(oracle)
        assert kept(ours) == expected
        sent += len(expected)
    assert sent > 140


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_echoes(tool: str, running_scp: StartReceiver) -> None:
    """DCMTK's echoscu with many contexts and syntaxes, and pynetdicom's."""
    from pynetdicom import AE

    receiver = running_scp(tool)
    for options in ([], ["-pts", "38"], ["-ppc", "128"], ["--repeat", "20"]):
        arguments = [*options, "localhost", str(receiver.port)]
        assert run_tool("dcmtk", "echoscu", arguments).code == 0
    ae = AE()
    ae.add_requested_context(pdu.VERIFICATION)
    association = ae.associate("127.0.0.1", receiver.port)
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


def test_four_senders_at_once(running_scp: StartReceiver) -> None:
    """Four DCMTK senders share one receiver; nothing is lost or mixed."""
    receiver = running_scp("storescp", "+xa")
    group = batches(by_syntax(dcmtk_sends())[pdu.EXPLICIT])[0]
    parts = [group[number::4] for number in range(4)]
    senders = [
        subprocess.Popen(
            ["/usr/bin/storescu", "-xe", "-R", "localhost", str(receiver.port)]
            + [str(file.path) for file in part]
        )
        for part in parts
    ]
    assert [sender.wait(60) for sender in senders] == [0, 0, 0, 0]
    assert {path.name.split(".", 1)[1] for path in receiver.files()} == {
        file.sop_instance_uid for file in group
    }
