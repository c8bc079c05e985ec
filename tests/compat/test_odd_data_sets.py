"""What is odd about a data set and stored all the same: the lines of DCMTK's tools, in their order.

Each tool that parses what it gets warns at the default level, also when nothing is stored; with
``+B`` nobody looks. Lines about what is stored are compared in ``test_receivers.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from testkit import pdu
from testkit.archive import start_archive
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool, wait_until
from vectors import make

pytestmark = pytest.mark.dcmtk

_WRITE, _IMPLICIT = make.Syntax(), make.Syntax.of(pdu.IMPLICIT)
_IMPLEMENTATIONS = ("dcmtk", "dcmfast")


def _element(
    group: int, number: int, vr: str, value: bytes | str, write: make.Syntax = _WRITE
) -> bytes:
    return write.element((group, number), vr, value)


def _late(write: make.Syntax = _WRITE) -> bytes:
    return _element(0x0010, 0x0030, "DA", "19700101", write)


def _disordered(write: make.Syntax = _WRITE) -> bytes:
    parts = [
        _element(0x0008, 0x0104, "LO", "meaning ", write),
        _element(0x0008, 0x0100, "SH", "CODE", write),
    ]
    return write.item(b"".join(parts))


def _repeated() -> bytes:
    code = _element(0x0008, 0x0100, "SH", "CODE")
    return _WRITE.item(code + code + _element(0x0008, 0x0104, "LO", "meaning "))


def _odd_item(write: make.Syntax = _WRITE) -> bytes:
    return write.item(_element(0x0008, 0x0100, "SH", b"COD", write))


def _sequence(*items: bytes, write: make.Syntax = _WRITE) -> bytes:
    return write.sequence((0x0040, 0x0275), items)


#: Objects that are as odd when they are stored.
_STAYING = (10, 11)


def _objects() -> list[make.SyntheticObject]:
    big = make.Syntax.of(pdu.BIG_ENDIAN)
    unknown = _IMPLICIT.item(_element(0x0008, 0x0100, "SH", "CODE", _IMPLICIT))
    end = _WRITE.header((0xFFFE, 0xE0DD), "", 0)
    strange = _WRITE.header((0x0040, 0x0254), "UT", 4).replace(b"UT", b"ZZ") + b"abcd"
    explicit = [
        # Nothing is odd about the first.
        (b"", b""),
        (b"", _late()),
        (b"", _element(0x0010, 0x0040, "CS", "M ") + _late()),
        (_element(0x0028, 0x0103, "US", b"\0\0") * 3, _element(0x0010, 0x0020, "LO", "OTHER ")),
        (_sequence(_disordered(), _repeated()), b""),
        # What stands inside is told before the place of what it stands in.
        (b"", _sequence(_disordered())),
        (_sequence() * 2, b""),
        # Two odd lengths, so that the data set is even: DCMTK aborts over others (C1).
        (_element(0x0040, 0x0254, "LO", b"abc") + _element(0x0040, 0x0276, "LO", b"abcde"), b""),
        (_sequence(_odd_item(), _odd_item()), b""),
        (_element(0x0040, 0x0254, "UL", b"abcdef") + _element(0x0040, 0x9224, "FD", b"ab"), b""),
        (_element(0x0040, 0x0254, "US", b"abc") + _element(0x0040, 0x0276, "OW", b"abcde"), b""),
        (_WRITE.header((0x0040, 0x0275), "UN", make.UNDEFINED) + unknown + end, b""),
        (strange, b""),
        (_element(0x0029, 0x1010, "OB", b"12") + _element(0x0029, 0x0010, "LO", "ACME"), b""),
    ]
    made = [
        make.ct(number, middle=middle, tail=tail)
        for number, (middle, tail) in enumerate(explicit, start=1)
    ]
    assert b"UL\6\0abcdef" in made[_STAYING[0] - 1].data_set
    sequence = _sequence(_disordered(_IMPLICIT), _odd_item(_IMPLICIT), write=_IMPLICIT)
    odd = _element(0x0040, 0x0254, "US", b"abc", _IMPLICIT)
    return [
        *made,
        make.ct(91, middle=odd + sequence, tail=_late(_IMPLICIT), transfer_syntax_uid=pdu.IMPLICIT),
        # Nobody knows it: a sequence (PS3.5 §6.2.2).
        make.ct(
            94,
            middle=_IMPLICIT.header((0x0040, 0xA0FF), "", make.UNDEFINED)
            + unknown
            + _IMPLICIT.header((0xFFFE, 0xE0DD), "", 0),
            transfer_syntax_uid=pdu.IMPLICIT,
        ),
        make.ct(92, tail=_late(big), transfer_syntax_uid=pdu.BIG_ENDIAN),
        make.ct(93, tail=_late(), transfer_syntax_uid=make.EXPLICIT),
    ]


def _odd_lines(text: str) -> list[str]:
    return re.findall(r"^W: (?:Dcm|Found element).*$", text, re.MULTILINE)


def _send(receiver: Receiver, called: str) -> list[str]:
    """Send all objects; the lines about what is odd.

    DCMTK's archive reads what it has stored, and says once more what is odd about that.
    """
    objects = _objects()
    if receiver.tool == "dcmqrscp":
        objects = [made for at, made in enumerate(objects, start=1) if at not in _STAYING]
    syntaxes = [pdu.EXPLICIT, pdu.IMPLICIT, pdu.BIG_ENDIAN]
    contexts = [(2 * at + 1, make.CT, [syntax]) for at, syntax in enumerate(syntaxes)]
    before = len(receiver.stderr.text)
    with ScriptedPeer(receiver.port) as peer:
        peer.associate(contexts, called=called)
        for made in objects:
            number = 2 * syntaxes.index(made.transfer_syntax_uid) + 1
            assert peer.store(number, make.CT, made.sop_instance_uid, made.data_set) == 0
        peer.release()
    # Lines are written before the response; the last object has one, so that all are here with it.
    count = _count(receiver.tool, receiver.arguments)
    wait_until(lambda: len(_odd_lines(receiver.stderr.text[before:])) >= count, what="lines")
    return _odd_lines(receiver.stderr.text[before:])


def _count(tool: str, options: Sequence[str]) -> int:
    """How many lines the objects above make."""
    if "+B" in options:
        return 0
    return 30 if tool == "dcmqrscp" else 36


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv", "dcmqrscp"])
def test_receivers(tool: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """Every oddity, at every depth, in every encoding."""
    told = {}
    for implementation in _IMPLEMENTATIONS:
        if tool == "dcmqrscp":
            folder = tmp_path / implementation
            server = start_archive(
                running_scp, folder, implementation=implementation, quota="400, 1024mb"
            ).server
        else:
            profile = ["-xf", "/etc/dcmtk/storescp.cfg", "AllDICOM"]
            options = profile if tool == "dcmrecv" else []
            server = running_scp(tool, *options, implementation=implementation)
        told[implementation] = _send(server, "QR")
    assert told["dcmfast"] == told["dcmtk"]
    assert len(told["dcmtk"]) == _count(tool, [])


@pytest.mark.parametrize("option", ["+B", "--ignore"])
def test_what_is_not_parsed_or_not_stored(option: str, running_scp: StartReceiver) -> None:
    servers = (
        running_scp("storescp", option, implementation=implementation)
        for implementation in _IMPLEMENTATIONS
    )
    theirs, ours = (_send(server, "ANY-SCP") for server in servers)
    assert ours == theirs
    assert len(ours) == _count("storescp", [option])


def _refused() -> list[tuple[str, make.SyntheticObject]]:
    """Odd objects, each with the UID of its command: three are refused, the second is cut."""
    cut = make.ct(22, tail=_late())
    head = _late() + _element(0x0010, 0x0020, "LO", "ID") + _element(0x0010, 0x0010, "PN", "A^B ")
    return [
        ("1.2.3", make.ct(21, tail=_late() * 2)),
        (cut.sop_instance_uid, replace(cut, data_set=cut.data_set + b"\x20\0\x10\0CS\x10\0AB")),
        ("1.2.4", replace(make.ct(23), data_set=head)),
        (make.ct(24).sop_instance_uid, make.ct(24, tail=_late())),
    ]


@pytest.mark.parametrize(
    ("tool", "option"),
    [
        ("storescp", "-B"),
        ("dcmrecv", "-B"),
        ("dcmqrscp", "-B"),
        ("dcmqrscp", "+B"),
        ("dcmqrscp", "--ignore"),
    ],
)
def test_what_is_refused(
    tool: str, option: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """Other UIDs, a cut element, no UIDs: each is read to its end, and told like the others.

    With ``+B`` DCMTK's archive reads files of cut objects, and of those that it stores, twice, and
    it has its own meaning of a cut one with ``--ignore`` (DIFFERENCES.md A4).
    """
    objects = _refused()
    if option in ("+B", "--ignore"):
        del objects[1]
    if option == "+B":
        del objects[-1]
    told = {}
    for implementation in _IMPLEMENTATIONS:
        if tool == "dcmqrscp":
            folder = tmp_path / implementation
            server = start_archive(
                running_scp, folder, *[option] * (option != "-B"),
                implementation=implementation, quota="400, 1024mb",
            ).server  # fmt: skip
        else:
            profile = ["-xf", "/etc/dcmtk/storescp.cfg", "AllDICOM"]
            options = profile if tool == "dcmrecv" else []
            server = running_scp(tool, *options, implementation=implementation)
        for instance, made in objects:
            with ScriptedPeer(server.port) as peer:
                peer.associate([(1, make.CT, [pdu.EXPLICIT])], called="QR")
                peer.send_store(1, make.CT, instance, made.data_set)
                # DCMTK aborts over the cut one (A4).
                peer.expect_pdu()
        server.stop()
        told[implementation] = _odd_lines(server.stderr.text)
    assert told["dcmfast"] == told["dcmtk"]
    assert len(told["dcmtk"]) >= len(objects)


def test_senders_and_dcmconv(running_scp: StartReceiver, tmp_path: Path) -> None:
    """A file that is odd in the same ways, read from disk; DCMTK's receiver takes what is sent."""
    sink = running_scp("storescp", implementation="dcmtk")
    odd = _element(0x0040, 0x0254, "LO", b"abc")
    files = [
        make.ct(1, middle=odd + _sequence(_disordered(), _repeated()), tail=_late()),
        make.ct(2, middle=_sequence(_disordered(_IMPLICIT), write=_IMPLICIT),
                tail=_element(0x0040, 0x0254, "LO", b"abc", _IMPLICIT),
                transfer_syntax_uid=pdu.IMPLICIT),
    ]  # fmt: skip
    paths = []
    for made in files:
        path = tmp_path / f"{made.sop_instance_uid}.dcm"
        path.write_bytes(make.part10(made))
        paths.append(path)
    for tool, arguments in (
        ("storescu", ["localhost", str(sink.port), *paths]),
        ("dcmsend", ["localhost", str(sink.port), *paths]),
        ("dcmconv", [paths[0], tmp_path / "out"]),
    ):
        told, kept = [], []
        for implementation in _IMPLEMENTATIONS:
            done = run_tool(implementation, tool, arguments)
            assert done.code == 0, done.stderr
            told.append(_odd_lines(done.stderr))
            # The other file travels as it is, and DCMTK's in another transfer syntax (D30).
            kept.append(sink.files()[0].read_bytes())
        assert told[0] == told[1]
        assert told[0]
        # PS3.5 §7.1.1: a value of odd length gets its padding on the way.
        assert kept[0] == kept[1]
    # One that is streamed, where only a dictionary finds the sequence, behind long pixels, too.
    inside = _sequence(_disordered(_IMPLICIT), write=_IMPLICIT)
    behind = _IMPLICIT.sequence((0xFFFA, 0xFFFA), [_disordered(_IMPLICIT)])
    long = make.ct(
        4, rows=800, columns=800, middle=inside, tail=behind, transfer_syntax_uid=pdu.IMPLICIT
    )
    (path := tmp_path / "long.dcm").write_bytes(make.part10(long))
    told = [
        _odd_lines(run_tool(one, "storescu", ["-xi", "localhost", str(sink.port), path]).stderr)
        for one in _IMPLEMENTATIONS
    ]
    assert told[0] == told[1]
    assert len(told[0]) >= 2
    # An element that is longer than its item is no oddity: such a file is not sent.
    longer = _WRITE.item(_WRITE.header((0x0008, 0x0100), "SH", 100) + b"CODE")
    paths[0].write_bytes(make.part10(make.ct(3, middle=_sequence(longer))))
    for tool in ("storescu", "dcmsend"):
        done, ours = (
            run_tool(implementation, tool, ["localhost", str(sink.port), paths[0]])
            for implementation in _IMPLEMENTATIONS
        )
        assert ours.code == done.code != 0
        assert ours.lines[-1] == done.lines[-1]


def test_what_is_told_is_bounded(running_scp: StartReceiver) -> None:
    """One line of ours says how many more there are: DIFFERENCES.md A4."""
    server = running_scp("storescp")
    made = make.ct(1, tail=_late() * 1000)
    with ScriptedPeer(server.port) as peer:
        peer.associate([(1, make.CT, [pdu.EXPLICIT])])
        assert peer.store(1, make.CT, made.sop_instance_uid, made.data_set) == 0
        peer.release()
    server.stderr.wait_for("968 more elements of the data set are odd")
    assert len(_odd_lines(server.stderr.text)) == 32


#: A sequence that is broken in one way each; what stands behind it in the data set is its pixels.
_SQ = (0x0040, 0x0275)


#: Text, numbers, bytes, several VRs, a group length, a private creator.
_NOT_ENDLESS = [(0x0040, 0x0020), (0x0040, 0xA160), (0x0040, 0x9224), (0x0040, 0xA0B0),
                (0x0042, 0x0011), (0x0028, 0x3006), (0x6000, 0x3000), (0x0040, 0x0000),
                (0x0041, 0x0010)]  # fmt: skip


def _broken(write: make.Syntax) -> dict[str, bytes]:
    code = _element(0x0008, 0x0100, "SH", "CODE", write)
    long = write.header((0x0008, 0x0104), "LO", 40)
    item = write.header((0xFFFE, 0xE000), "", make.UNDEFINED)
    end = write.header((0xFFFE, 0xE0DD), "", 0)
    endless = write.header(_SQ, "SQ", make.UNDEFINED)
    found = {
        "no item": endless + code,
        "no item behind one": endless + write.item(code),
        "no end of an item": endless + item + code + end,
        "a longer element": write.sequence(_SQ, [write.item(code + long)]),
        "a longer sequence": write.sequence(
            _SQ, [write.item(write.header((0x0008, 0x1140), "SQ", 22) + write.item(b""))]
        ),
        "a stray end": end,
        "a stray item": write.header((0xFFFE, 0xE000), "", 0),
    }
    if write.explicit:
        found["endless text"] = write.header((0x0040, 0xA160), "UT", make.UNDEFINED) + b"abcd"
        found["endless numbers"] = write.header((0x0040, 0xA161), "OD", make.UNDEFINED) + b"abcd"
        return found
    # What the dictionary says may have no undefined length, whatever stands there.
    for tag in _NOT_ENDLESS:
        found[f"endless {tag}"] = write.header(tag, "", make.UNDEFINED) + write.item(code) + end
    return found


def _cut(write: make.Syntax) -> dict[str, bytes]:
    """The same for what the data set ends in."""
    code = _element(0x0008, 0x0100, "SH", "CODE", write)
    item = write.header((0xFFFE, 0xE000), "", make.UNDEFINED)
    tag = (0x7FE1, 0x0010)
    return {
        "a value": write.header((0x7FE1, 0x0010), "LO", 40) + b"abcd",
        "a value in an item": write.header(tag, "SQ", make.UNDEFINED)
        + item + write.header((0x0008, 0x0104), "LO", 40) + b"abcd",
        "an item": write.header(tag, "SQ", make.UNDEFINED) + item + code,
        "a sequence": write.header(tag, "SQ", 100) + write.item(code),
    }  # fmt: skip


def _broken_objects() -> list[make.SyntheticObject]:
    made = []
    for syntax in (pdu.EXPLICIT, pdu.IMPLICIT, pdu.BIG_ENDIAN):
        write = make.Syntax.of(syntax)
        for middle in _broken(write).values():
            made.append(make.ct(31, middle=middle, transfer_syntax_uid=syntax))
        if write.explicit:
            for tail in _cut(write).values():
                made.append(make.ct(31, tail=tail, transfer_syntax_uid=syntax))
    made.append(make.ct(31, sop_instance_uid="", command_instance_uid="1.2.3"))
    made.append(replace(make.ct(31), data_set=b""))
    return made


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_what_breaks_a_data_set(tool: str, running_scp: StartReceiver) -> None:
    """Its fault in DCMTK's words. DCMTK ends the association, ours lives: DIFFERENCES.md A4."""
    profile = ["-xf", "/etc/dcmtk/storescp.cfg", "AllDICOM"] if tool == "dcmrecv" else []
    told: dict[str, list[str]] = {}
    for implementation in _IMPLEMENTATIONS:
        server = running_scp(tool, *profile, implementation=implementation)
        for made in _broken_objects():
            with ScriptedPeer(server.port) as peer:
                peer.associate([(1, make.CT, [made.transfer_syntax_uid])])
                peer.send_store(1, make.CT, made.sop_instance_uid, made.data_set)
                kind, body = peer.expect_pdu()
                is_parsed = bool(made.data_set) and b"\x08\0\x18\0" in made.data_set
                if implementation == "dcmfast" and is_parsed:
                    assert kind == pdu.P_DATA_TF
                    status = pdu.value_us(pdu.read_command(body[6:]), pdu.STATUS)
                    assert status == 0xC000
                    peer.release()
        server.stop()
        assert server.names() == [] or implementation == "dcmtk" or tool == "dcmrecv"
        aside = r"E: (?:dcmfast\.|DIMSE failure)"
        lines = server.stderr.text.replace(str(server.directory), "").splitlines()
        told[implementation] = [line for line in lines if not re.match(aside, line)]
    assert told["dcmfast"] == told["dcmtk"]
    assert len(told["dcmtk"]) >= 100


def test_what_is_no_data_set(running_scp: StartReceiver) -> None:
    """Not odd, but refused, and the association lives: DIFFERENCES.md A4."""
    server = running_scp("storescp", "+xy")
    unlike = _WRITE.header((0x0040, 0x0254), "SH", 4).replace(b"SH", b"??") + b"abcd"
    with ScriptedPeer(server.port) as peer:
        peer.associate([(1, make.CT, [pdu.EXPLICIT]), (3, make.CT, [pdu.JPEG_BASELINE])])
        # PS3.5 §A.4: pixels of a compressed transfer syntax have no length.
        made = make.ct(1)
        assert peer.store(3, make.CT, made.sop_instance_uid, made.data_set) == 0xC000
        for middle in (unlike, _element(0x0002, 0x0010, "UI", "1.2.3"),
                       _element(0x0000, 0x0010, "UI", "1.2.3")):  # fmt: skip
            made = make.ct(1, middle=middle)
            assert peer.store(1, make.CT, made.sop_instance_uid, made.data_set) == 0xC000
        made = make.ct(2)
        assert peer.store(1, make.CT, made.sop_instance_uid, made.data_set) == 0
        peer.release()
    assert len(server.names()) == 1
