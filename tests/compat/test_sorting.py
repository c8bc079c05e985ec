"""Folders and names of storescp and dcmrecv beside DCMTK's: the same sends, the same tree.

Times and random parts are masked; `testkit.sending` keeps two folders of a time a millisecond
apart, since DCMTK puts two studies of the same millisecond into one.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from dcmfast import limits
from testkit import pdu
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver
from testkit.sending import folders, masked, next_millisecond, send, tree
from vectors import make

PROFILE = ("-xf", "/etc/dcmtk/storescp.cfg", "Default")
SOUND = "1.2.840.10008.5.1.4.1.1.88.67"
CONTEXTS = [(3, pdu.CT, [pdu.EXPLICIT]), (7, SOUND, [pdu.EXPLICIT])]

#: Three studies over two associations; the first comes back at the end.
FIRST = [make.ct(1, study=1), make.ct(2, study=1), make.ct(3, study=2)]
SECOND = [make.ct(4, study=2), make.ct(5, study=1), make.ct(6, study=1)]


def shown(receiver: Receiver) -> list[str]:
    """The tree, with the time of the program's start out of short names."""
    return tree(receiver.directory)


SORTINGS: dict[str, tuple[str, ...]] = {
    "-ss": ("-ss", "ST"),
    "-ss empty": ("-ss", ""),
    "--sort-conc-studies": ("--sort-conc-studies", "a b"),
    "-su": ("-su", "ST"),
    "-su empty": ("-su", ""),
    "-su odd": ("-su", "B_C+ d"),
    "--sort-on-study-uid": ("--sort-on-study-uid", "x.y"),
    "-sp": ("-sp",),
    "--sort-on-patientname": ("--sort-on-patientname",),
    "the rightmost": ("-su", "p", "-sp", "-ss", "q"),
    "-ss -tn": ("-ss", "ST", "-tn"),
    "-su -tn -fe": ("-su", "ST", "-tn", "-fe", ".dcm"),
    "-sp +uf": ("-sp", "+uf"),
    "-su -fe": ("-su", "ST", "-fe", ".dcm"),
    "-tn": ("-tn",),
    "--timenames": ("--timenames", "-fe", "x"),
    "+uf": ("+uf",),
    "-uf": ("+uf", "-uf"),
    "--ignore": ("-ss", "ST", "--ignore"),
    "-ss -rns": ("-ss", "ST", "-rns"),
    "-sp -rns": ("-sp", "--rename-on-eostudy", "-fe", ".dcm"),
    "-ss -rns -tn": ("-ss", "ST", "-rns", "-tn"),
    "-ss -rns +uf": ("-ss", "ST", "-rns", "+uf"),
}


@pytest.mark.dcmtk
@pytest.mark.parametrize("name", SORTINGS)
def test_the_tree_is_dcmtks(name: str, running_scp: StartReceiver) -> None:
    """Every way to sort and to name, over two associations, with a study that comes back."""
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", *SORTINGS[name], implementation=implementation)
        statuses = [send(receiver, FIRST), send(receiver, SECOND)]
        # Before the process ends: then ours ends the studies that are open, too.
        found[implementation] = (statuses, shown(receiver))
    assert found["dcmfast"] == found["dcmtk"]


DCMRECV: dict[str, tuple[str, ...]] = {
    "+fd": ("+fd",),
    "--default-filenames": ("+fu", "--default-filenames"),
    "+fu": ("+fu",),
    "--unique-filenames": ("--unique-filenames", "-fe", ".dcm"),
    "+fsu": ("+fsu",),
    "--short-unique-names": ("--short-unique-names", "-fe", ".dcm"),
    "+fst": ("+fst",),
    "--system-time-names": ("--system-time-names", "-fe", ".dcm"),
    "+ssd": ("+ssd",),
    "--series-date-subdir": ("--series-date-subdir", "+fsu", "-fe", ".dcm"),
    "-s": ("+ssd", "-s"),
    "--no-subdir": ("--no-subdir",),
}


@pytest.mark.dcmtk
@pytest.mark.parametrize("name", DCMRECV)
def test_the_tree_is_dcmrecvs(name: str, running_scp: StartReceiver) -> None:
    """Names, and folders by Series Date: good, old, wrong and hostile ones, and none."""
    dates = ["20200103", "2020.01.05", "20201301", "../../../up", "", None, "20200103-20200104"]
    objects = [make.ct(number, series_date=date) for number, date in enumerate(dates)]
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("dcmrecv", *PROFILE, *DCMRECV[name], implementation=implementation)
        statuses = send(receiver, objects)
        today = re.sub(r"undef/\d{8}", "undef/<today>", "\n".join(shown(receiver)))
        found[implementation] = (statuses, sorted(today.splitlines()))
    assert found["dcmfast"] == found["dcmtk"]
    assert found["dcmtk"][0] == [0] * len(objects)


LATIN = "".join(map(chr, range(0xC0, 0x100)))
#: Patient's Name and Specific Character Set.
NAMES: list[tuple[str, str | None]] = [
    ("Doe^Jane", None),
    ("", None),
    ("  ", None),
    (" Doe ^Jane  ", None),
    ("M\xfcller^J\xf6rg^^^", "ISO_IR 100"),
    ("M\xfcller^J\xf6rg", None),
    (LATIN[:32], "ISO_IR 100"),
    (LATIN[32:], "ISO_IR 100"),
    ("".join(map(chr, range(0xA0, 0xC0))), "ISO_IR 100"),
    ("M\xc3\xbcller^J\xc3\xb6rg", "ISO_IR 192"),
    ("Yamada^Tarou=\x1b$B;3ED\x1b(B^B", "\\ISO 2022 IR 87"),
    ("../../../etc/passwd", None),
    ("a/b;c'd\"e`f$(g)", None),
    ("..", None),
    ("-rf", None),
    ("First^One\\Second^Two", None),
    ("tab\tline\nbell\x07", None),
]


@pytest.mark.dcmtk
def test_sort_on_patientname_writes_dcmtks_names(running_scp: StartReceiver) -> None:
    """Latin-1 in ASCII letters, everything else as `_`, `ANONYMOUS`, and the warnings."""
    objects = [
        make.ct(number, study=number, patient_name=name, charset=charset)
        for number, (name, charset) in enumerate(NAMES)
    ]
    # The next ones of a study that has begun: the warnings are told again, the folder stays.
    objects += [
        make.ct(100 + at, study=100, patient_name=name, charset=charset)
        for at, (name, charset) in enumerate(NAMES)
    ]
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", "-sp", implementation=implementation)
        statuses = send(receiver, objects)
        receiver.stop()
        warnings = [
            line
            for line in receiver.stderr.lines
            # Ours never shows a patient's name in the log.
            if "using 'ANONYMOUS'" in line or "not in Latin-1" in line
        ]
        found[implementation] = (statuses, tree(receiver.directory), warnings)
        for name in ("Doe", "Tarou", "etc"):
            assert not receiver.is_ours or name not in receiver.stderr.text
    assert found["dcmfast"] == found["dcmtk"]


@BOTH
@pytest.mark.parametrize("study", ["", None, " "], ids=repr)
def test_an_object_without_study_is_refused_where_studies_are_sorted(
    study: str | None, implementation: str, running_scp: StartReceiver
) -> None:
    """C000H, one error, nothing stored, and the association goes on."""
    receiver = running_scp("storescp", "-ss", "ST", implementation=implementation)
    write = make.Syntax()
    good = make.ct(1)
    element = write.element((0x0020, 0x000D), "UI", good.study_instance_uid)
    wanted = b"" if study is None else write.element((0x0020, 0x000D), "UI", study)
    assert element in good.data_set
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        data_set = good.data_set.replace(element, wanted)
        assert peer.store(3, pdu.CT, good.sop_instance_uid, data_set) == 0xC000
        assert receiver.files() == []
        assert peer.store(3, pdu.CT, good.sop_instance_uid, good.data_set) == 0
        peer.release()
    text = receiver.stderr.wait_for(r"^E: element StudyInstanceUID .*$")
    assert text == "E: element StudyInstanceUID (0020,000d) absent or empty in data set"
    assert len(folders(receiver.directory)) == 1


@BOTH
def test_a_file_in_the_place_of_a_folder(implementation: str, running_scp: StartReceiver) -> None:
    """A700H; the file stays, other studies are stored."""
    receiver = running_scp("storescp", "-su", "ST", implementation=implementation)
    one, other = make.ct(1, study=1), make.ct(2, study=2)
    taken = receiver.directory / f"ST_{one.study_instance_uid}"
    taken.write_bytes(b"mine")
    assert send(receiver, [one, other]) == [0xA700, 0]
    assert taken.read_bytes() == b"mine"
    assert len(tree(receiver.directory)) == 2
    receiver.stderr.wait_for(r"^E: (could not create subdirectory|cannot write DICOM file).*$")


@pytest.mark.dcmtk
@pytest.mark.parametrize("options", [("-ss", "ST"), ("-su", "ST"), ("-sp",)], ids=" ".join)
def test_sorting_is_told_alike(options: tuple[str, ...], running_scp: StartReceiver) -> None:
    """The lines at `-v` about folders and files, and their order."""
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", *options, "-v", implementation=implementation)
        send(receiver, FIRST)
        send(receiver, [*SECOND, SECOND[-1]])
        receiver.stderr.wait_for(r"^I: Association Release$", count=2)
        text = masked(receiver.stderr.text.replace(str(receiver.directory), "<directory>"))
        lines = [line for line in text.splitlines() if not line.startswith(("I: dcmfast", "D: "))]
        found[implementation] = [line for line in lines if "Association" not in line]
    assert found["dcmfast"] == found["dcmtk"]


@pytest.mark.dcmtk
def test_modalities_keep_two_letters_when_renamed(running_scp: StartReceiver) -> None:
    """`-rns`: `SRd` becomes `SR000001`; numbers count through all modalities of the study."""
    objects = [
        make.ct(1, study=1),
        make.ct(2, study=1, sop_class_uid=SOUND),
        make.ct(3, study=1),
        make.ct(4, study=2),
    ]
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", "-ss", "ST", "-rns", implementation=implementation)
        with ScriptedPeer(receiver.port) as peer:
            peer.associate(CONTEXTS)
            for one in objects:
                next_millisecond()
                context = 7 if one.sop_class_uid == SOUND else 3
                names = (one.sop_class_uid, one.sop_instance_uid)
                assert peer.store(context, *names, one.data_set) == 0
            peer.release()
        found[implementation] = tree(receiver.directory)
    assert found["dcmfast"] == found["dcmtk"]
    assert "ST_<time>/SR000002" in found["dcmfast"]


@pytest.mark.dcmtk
def test_a_file_sent_twice_has_two_numbers(running_scp: StartReceiver) -> None:
    """`-rns`: the second place cannot be renamed, which is a warning, and has had its number."""
    objects = [make.ct(1, study=1), make.ct(1, study=1), make.ct(2, study=1), make.ct(3, study=2)]
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", "-ss", "ST", "-rns", implementation=implementation)
        send(receiver, objects)
        line = receiver.stderr.wait_for(r"^W: cannot rename file .*$")
        line = masked(line.replace(str(receiver.directory), "<directory>"))
        found[implementation] = (tree(receiver.directory), line)
    assert found["dcmfast"] == found["dcmtk"]


def test_a_study_that_comes_back_keeps_its_first_files(running_scp: StartReceiver) -> None:
    """DIFFERENCES.md A6: `-su -rns` goes on behind the numbers that are taken, and says so."""
    receiver = running_scp("storescp", "-su", "ST", "-rns", "-v")
    one = [make.ct(number, study=1) for number in range(4)]
    other = make.ct(9, study=2)
    send(receiver, [one[0], one[1], other, one[2], one[3], other, one[0], other])
    receiver.stderr.wait_for(r"^I: dcmfast\.events: .* numbers go on from 000003$")
    folder = receiver.directory / f"ST_{one[0].study_instance_uid}"
    assert sorted(path.name for path in folder.iterdir()) == [f"CT00000{n}" for n in range(1, 6)]
    for number, made in enumerate([one[0], one[1], one[2], one[3], one[0]], start=1):
        assert (folder / f"CT00000{number}").read_bytes().endswith(made.data_set)
    # A folder that was emptied begins again.
    for path in folder.iterdir():
        path.unlink()
    send(receiver, [one[1], other])
    assert sorted(path.name for path in folder.iterdir()) == ["CT000001"]


@pytest.mark.parametrize("durability", ["none", "group", "each"])
def test_studies_of_parallel_senders_stay_apart(
    durability: str, running_scp: StartReceiver
) -> None:
    """DIFFERENCES.md A10: alternating over two associations, each study has one folder."""
    receiver = running_scp("storescp", "-ss", "ST", "--durability", durability)
    with ScriptedPeer(receiver.port) as one, ScriptedPeer(receiver.port) as two:
        for peer in (one, two):
            peer.associate()
        for number in range(4):
            for study, peer in ((1, one), (2, two)):
                made = make.ct(number, study=study)
                next_millisecond()
                assert peer.store(3, pdu.CT, made.sop_instance_uid, made.data_set) == 0
        for peer in (one, two):
            peer.release()
    found = [receiver.directory / name for name in folders(receiver.directory)]
    assert [len(list(folder.iterdir())) for folder in found] == [4, 4]


def test_no_two_studies_share_a_folder_of_the_same_millisecond(running_scp: StartReceiver) -> None:
    """DIFFERENCES.md F3: as fast as they come, each study has a folder of its own time."""
    receiver = running_scp("storescp", "-ss", "ST")
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        for number in range(40):
            made = make.ct(number, study=number % 2)
            assert peer.store(3, pdu.CT, made.sop_instance_uid, made.data_set) == 0
        peer.release()
    names = folders(receiver.directory)
    assert len(names) == 40
    assert all(re.fullmatch(r"ST_\d{8}_\d{9}", name) for name in names), names


HOSTILE_STUDIES = [
    b"../../up", b"..", b".", b"/etc", b"a/b", b"1.2\\3", b"1\n2", b"$(id)", b"\xff\xfe", b"1" * 64,
    b"~", b"-rf", b"1.2 .3", b"con",
]  # fmt: skip


@pytest.mark.parametrize("options", [("-ss", "ST"), ("-su", ""), ("-su", "ST"), ("-sp",)], ids=str)
def test_a_hostile_study_uid_stays_below_the_directory(
    options: tuple[str, ...], running_scp: StartReceiver
) -> None:
    """P10: one plain folder each, below the directory, or a refusal and nothing."""
    receiver = running_scp("storescp", *options)
    above = set(receiver.directory.parent.iterdir())
    write = make.Syntax()
    good = make.ct(1)
    own = write.element((0x0020, 0x000D), "UI", good.study_instance_uid)
    stored = 0
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        for study in [*HOSTILE_STUDIES, b"1" * 66, b"1" * 5000]:
            next_millisecond()
            padded = study + b"\0" * (len(study) % 2)
            data_set = good.data_set.replace(own, write.element((0x0020, 0x000D), "UI", padded))
            status = peer.store(3, pdu.CT, good.sop_instance_uid, data_set)
            assert status == (0 if len(study) <= 64 else 0xC000), study
            stored += status == 0
        peer.release()
    assert set(receiver.directory.parent.iterdir()) == above
    assert len(folders(receiver.directory)) == len(receiver.files()) == stored
    for name in folders(receiver.directory):
        assert re.fullmatch(r"[!-~]+", name)
        assert not name.startswith(".")


def test_long_patient_names_are_cut(running_scp: StartReceiver) -> None:
    """limits.FOLDER_NAME_BYTES_MAX: DCMTK fails beyond it; here the name is cut."""
    receiver = running_scp("storescp", "-sp")
    made = make.ct(1, patient_name="\xc4" * 2000)
    assert send(receiver, [made]) == [0]
    (name,) = folders(receiver.directory)
    assert 200 < len(name) <= limits.LIMITS["FOLDER_NAME_BYTES_MAX"]
    assert re.fullmatch(r"(Ae)+_\d{8}_\d{9}", name)


@pytest.mark.parametrize("prefix", ["../x", "/x", "a//b", "a/../b", "x" * 191])
@pytest.mark.parametrize("option", ["-ss", "-su"])
def test_a_prefix_that_leads_away_is_refused_at_start(
    option: str, prefix: str, tmp_path: Path
) -> None:
    """DIFFERENCES.md F2: said at once, not by each object's status."""
    from testkit.process import run_tool

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    done = run_tool("dcmfast", "storescp", [port, "-od", tmp_path, option, prefix])
    assert done.code == 1
    assert done.lines[-1].startswith("error: Invalid value for the prefix of subdirectories")


def test_a_folder_named_in_the_prefix_is_made(running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "-ss", "sub/ST")
    assert send(receiver, [make.ct(1)]) == [0]
    assert re.fullmatch(r"sub/ST_<time>/CT\.[\d.]+", tree(receiver.directory)[0])
