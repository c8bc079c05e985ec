"""Random C-FINDs answered by DCMTK's archive and by ours, which hold the same objects.

Answers must be equal byte for byte: every element, its padding, the status. Their order is free
(PS3.4 §C.4.1.1.3.2), so they are compared as sorted lists. What DIFFERENCES.md rules to be better
than DCMTK is left out of the random keys and has tests of its own at the end, each with what DCMTK
answers beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from testkit import pdu
from testkit.finds import (
    CONTEXTS,
    MODELS,
    PATIENT_ROOT,
    STUDY_ROOT,
    Keys,
    Made,
    Question,
    RunningArchive,
    elements,
    padded,
)
from vectors.make import EXPLICIT, Syntax, uid

pytestmark = pytest.mark.dcmtk

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")

#: Tag, VR and level of every key of DCMTK's, and of some that it ignores (level None).
KEYS: dict[str, tuple[tuple[int, int], str, str | None]] = {
    "PatientName": ((0x0010, 0x0010), "PN", "PATIENT"),
    "PatientID": ((0x0010, 0x0020), "LO", "PATIENT"),
    "IssuerOfPatientID": ((0x0010, 0x0021), "LO", "PATIENT"),
    "PatientBirthDate": ((0x0010, 0x0030), "DA", "PATIENT"),
    "PatientSex": ((0x0010, 0x0040), "CS", "PATIENT"),
    "OtherPatientNames": ((0x0010, 0x1001), "PN", "PATIENT"),
    "EthnicGroup": ((0x0010, 0x2160), "SH", "PATIENT"),
    "StudyDate": ((0x0008, 0x0020), "DA", "STUDY"),
    "StudyTime": ((0x0008, 0x0030), "TM", "STUDY"),
    "AccessionNumber": ((0x0008, 0x0050), "SH", "STUDY"),
    "ReferringPhysicianName": ((0x0008, 0x0090), "PN", "STUDY"),
    "StudyDescription": ((0x0008, 0x1030), "LO", "STUDY"),
    "PatientAge": ((0x0010, 0x1010), "AS", "STUDY"),
    "PatientWeight": ((0x0010, 0x1030), "DS", "STUDY"),
    "StudyInstanceUID": ((0x0020, 0x000D), "UI", "STUDY"),
    "StudyID": ((0x0020, 0x0010), "SH", "STUDY"),
    "OtherStudyNumbers": ((0x0020, 0x1070), "IS", "STUDY"),
    "Modality": ((0x0008, 0x0060), "CS", "SERIES"),
    "SeriesInstanceUID": ((0x0020, 0x000E), "UI", "SERIES"),
    "SeriesNumber": ((0x0020, 0x0011), "IS", "SERIES"),
    "SOPInstanceUID": ((0x0008, 0x0018), "UI", "IMAGE"),
    "InstanceNumber": ((0x0020, 0x0013), "IS", "IMAGE"),
    # Ignored by DCMTK: not matched, not returned.
    "SOPClassUID": ((0x0008, 0x0016), "UI", None),
    "SeriesDescription": ((0x0008, 0x103E), "LO", None),
    "ModalitiesInStudy": ((0x0008, 0x0061), "CS", None),
    "NumberOfStudyRelatedInstances": ((0x0020, 0x1208), "IS", None),
    "InstanceAvailability": ((0x0008, 0x0056), "CS", None),
    "RetrieveAETitle": ((0x0008, 0x0054), "AE", None),
}
UNIQUE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

#: Character sets that DCMTK with glibc's iconv can read, each with names in it.
NAMES: dict[str, tuple[str, ...]] = {
    "": ("Doe^Jane", "Doe^John", "doe^jane", "Roe^Richard^^Dr", "D*E^Star", "", " Lead^Blank"),
    "ISO_IR 100": ("Müller^Jürgen", "Doe^Jane", "Buc^Jérôme"),
    "ISO_IR 192": ("Müller^Jürgen", "Люкceмбypг", "Wang^XiaoDong=王^小東", "Doe^Jane"),
    "ISO_IR 144": ("Люкceмбypг", "Doe^Jane"),
    "ISO_IR 126": ("Διονυσιος",),
    "GB18030": ("Wang^XiaoDong=王^小东", "Doe^Jane"),
}
CODECS = {
    "": "ascii",
    "ISO_IR 100": "latin-1",
    "ISO_IR 192": "utf-8",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 126": "iso8859-7",
    "GB18030": "gb18030",
}

#: Values of ASCII attributes: ordinary ones, and what the field sends.
VALUES: dict[str, tuple[str, ...]] = {
    "IssuerOfPatientID": ("", "HOSPITAL", "A*1", "ACC1"),
    "PatientBirthDate": ("", "19700101", "1970.02.03", "unknown", "19991231"),
    "PatientSex": ("M", "F", "O", "", "m"),
    "EthnicGroup": ("", "x" * 70, "abc"),
    "StudyDate": ("20240101", "20240229", "19991231", "", "2024", "20241301"),
    "StudyTime": ("120000", "12", "1200", "235959.5", "12:30:15", "", "25", "120000.000"),
    "AccessionNumber": ("A100", "A101", "a100", "B?1", "", "A100 B"),
    "StudyDescription": ("CT HEAD", "CT^HEAD", "mr knee", "", "x" * 300),
    "PatientAge": ("034Y", "", "34Y"),
    "PatientWeight": ("70", "70.0", " 70", ""),
    "StudyID": ("1", "01", "S 1", ""),
    "OtherStudyNumbers": ("1\\2", "1", ""),
    "Modality": ("CT", "MR", "SR", "", "CT\\MR"),
    "SeriesNumber": ("1", "2", "02", "", " 3"),
    "InstanceNumber": ("1", "2", "02", "", "10"),
}
#: Keys beside the values themselves.
MORE_KEYS: dict[str, tuple[str, ...]] = {
    "PatientName": ("*", "D*", "Doe*", "*^J*", "Doe^J?ne", "doe*", "Doe", "Doe^Jane^", "?", "M*"),
    "OtherPatientNames": ("*", "D*"),
    "ReferringPhysicianName": ("*", "*o*", "Roe*"),
    "PatientID": ("*", "P*", "P?", "P1", "P0", " P1 ", "p1", "P1\\P2", "??", "Q*"),
    "PatientBirthDate": ("19700101-", "-19991231", "19700101-19991231", "-", "*", "1970.01.01"),
    "StudyDate": (
        "20240101-20240301", "-20240101", "20240229-", "2024*", "20240101 - 20240301", "-",
        "20240301-20240101", "2024.01.01", "20240101-20240201-20240301", "20240231",
    ),
    "StudyTime": ("1000-1300", "-12", "12-", "115959-120001", "120000", "-", "12:00", "126000"),
    "AccessionNumber": ("A10?", "A*", "*00", "A1*0", "B?1", "A100\\A101", "****", "A100*"),
    "StudyDescription": ("CT*", "*HEAD", "CT?HEAD", "*k?ee", "x*x"),
    "IssuerOfPatientID": ("A*1", "*"),
    "PatientSex": ("?", "M\\F", "*"),
    "EthnicGroup": ("x" * 64, "x*", "abc "),
    "PatientAge": ("0*", "034Y "),
    "StudyID": ("?", "S*", "01 "),
    "Modality": ("C?", "*", "CT\\MR", "ct", "M*"),
    "SeriesNumber": ("0*", "2 ", "3"),
    "InstanceNumber": ("1*", "1 "),
    "StudyInstanceUID": ("*", "1.2.3"),
    "SeriesInstanceUID": ("*",),
    "SOPInstanceUID": ("*",),
    "SOPClassUID": ("1.2",),
    "SeriesDescription": ("x",),
    "ModalitiesInStudy": ("MR",),
    "NumberOfStudyRelatedInstances": ("7",),
    "InstanceAvailability": ("ONLINE",),
    "RetrieveAETitle": ("ELSEWHERE",),
}  # fmt: skip


def objects(noise: random.Random) -> list[Made]:
    """Sixty instances of some patients, whose values sometimes disagree within a study."""
    write = Syntax.of(EXPLICIT)
    made = []
    studies: dict[int, dict[str, bytes]] = {}
    for number in range(60):
        study = noise.randrange(14)
        series = noise.randrange(3)
        charset = noise.choice(list(NAMES))
        codec = CODECS[charset]
        values = {key: noise.choice(choices).encode() for key, choices in VALUES.items()}
        for key in ("PatientName", "OtherPatientNames", "ReferringPhysicianName"):
            values[key] = noise.choice(NAMES[charset]).encode(codec)
        values["charset"] = charset.encode()
        known = studies.setdefault(study, values)
        if noise.random() < 0.75:
            # As the study's first instance says; else a variant of it.
            below = ("Modality", "SeriesNumber", "InstanceNumber")
            values = known | {key: values[key] for key in below}
        values |= {
            "PatientID": f"P{study % 5}".encode(),
            "StudyInstanceUID": uid(3, study).encode(),
            "SeriesInstanceUID": uid(3, study, series).encode(),
            "SOPInstanceUID": uid(3, study, series, number).encode(),
            "SOPClassUID": pdu.CT.encode(),
        }
        elements = {KEYS[key][0]: (KEYS[key][1], values[key]) for key in values if key in KEYS}
        if values["charset"]:
            elements[(0x0008, 0x0005)] = ("CS", values["charset"])
        data_set = b"".join(
            write.element(tag, vr, padded(vr, value))
            for tag, (vr, value) in sorted(elements.items())
        )
        made.append(Made(uid(3, study, series, number), data_set))
    return made


def lacks_unique_key(asked: Question) -> bool:
    """Whether the unique key of a level above is missing."""
    text = asked.keys.get((0x0008, 0x0052), ("CS", b""))[1].decode().upper()
    above = [at for at, level in enumerate(LEVELS) if text.startswith(level)]
    first = 1 if asked.model == STUDY_ROOT else 0
    return any(KEYS[key][0] not in asked.keys for at in above for key in UNIQUE[first:at])


def shown(asked: Question) -> str:
    """For a failed comparison."""
    names = {tag: name for name, (tag, _, _) in KEYS.items()}
    keys = ", ".join(
        f"{names.get(tag, f'{tag[0]:04x},{tag[1]:04x}')}={value!r}"
        for tag, (_, value) in sorted(asked.keys.items())
    )
    return f"{MODELS.index(asked.model)}: {keys}"


def question(noise: random.Random, made: Sequence[Made]) -> Question:
    """A random C-FIND of keys that DCMTK survives."""
    context_id, model, (syntax,) = noise.choice(CONTEXTS)
    level = noise.choice(LEVELS)
    depth = LEVELS.index(level)
    charset = noise.choice(["", "", *NAMES])
    keys: Keys = {}

    def add(key: str, value: bytes) -> None:
        tag, vr, _ = KEYS[key]
        keys[tag] = (vr, value)

    def unique(at: int) -> bytes:
        one = noise.choice(made).sop_instance_uid.split(".")
        root = ".".join(one[:-3])
        ids = [f"P{int(one[-3]) % 5}", ".".join([root, *one[-3:-2]]),
               ".".join([root, *one[-3:-1]]), ".".join([root, *one[-3:]])]  # fmt: skip
        return ids[at].encode()

    for at in range(depth + 1):
        roll = noise.random()
        if at < depth and roll < 0.03:
            continue  # the missing unique key of a level above
        value = unique(at)
        if roll < 0.3:
            value = b""
        elif roll < 0.45:
            value = b"\\".join([value, *(unique(at) for _ in range(noise.randrange(12)))])
        elif roll < 0.55:
            value = noise.choice(MORE_KEYS[UNIQUE[at]]).encode()
        if at < depth or noise.random() < 0.8:
            add(UNIQUE[at], value)
    for key in noise.sample(sorted(KEYS), noise.randrange(6)):
        if key in UNIQUE:
            continue
        roll = noise.random()
        if roll < 0.4:
            value = b""
        elif roll < 0.7 and key in MORE_KEYS:
            value = noise.choice(MORE_KEYS[key]).encode()
        elif KEYS[key][1] == "PN":
            value = noise.choice(NAMES[charset]).encode(CODECS[charset])
        elif key in VALUES:
            value = noise.choice(VALUES[key]).encode()
        else:
            value = b""
        add(key, value)
    text = noise.choice([level, level, level, level.lower(), level + "X"])
    if noise.random() < 0.03:
        text = noise.choice(["", "NONE", " " + level])
    if noise.random() < 0.98:
        keys[(0x0008, 0x0052)] = ("CS", text.encode())
    if charset:
        keys[(0x0008, 0x0005)] = ("CS", charset.encode())
    return Question(context_id, model, syntax, keys)


@dataclass(frozen=True)
class Pair:
    """DCMTK's archive and ours."""

    dcmtk: RunningArchive
    ours: RunningArchive
    made: list[Made]


def started(directory: Path, made: list[Made], *options: str, entry: str = "") -> Iterator[Pair]:
    """Both archives with the same objects; `entry` is a line of their configuration."""
    dcmtk = RunningArchive("dcmtk", directory / "dcmtk", options, entry)
    try:
        ours = RunningArchive("dcmfast", directory / "dcmfast", options, entry)
        try:
            dcmtk.store(made)
            ours.store(made)
            yield Pair(dcmtk, ours, made)
        finally:
            ours.stop()
    finally:
        dcmtk.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both archives without options."""
    yield from started(tmp_path_factory.mktemp("pair"), objects(random.Random(5)))


def is_legible(syntax: str, data: bytes) -> bool:
    """Whether every name is of the character set that the identifier names."""
    found = elements(syntax, data)
    charset = found.get((0x0008, 0x0005), b"").decode().strip()
    names = [found.get(KEYS[key][0], b"") for key in KEYS if KEYS[key][1] == "PN"]
    try:
        for name in names:
            name.decode(CODECS[charset])
    except UnicodeDecodeError:
        return False
    return True


def compare(pair: Pair, questions: Sequence[Question]) -> int:
    """Ask both; how many questions had answers."""
    theirs, ours = pair.dcmtk.ask(questions), pair.ours.ask(questions)
    for asked, their, our in zip(questions, theirs, ours, strict=True):
        # DIFFERENCES.md C9: DCMTK notices that a unique key is missing when a record matches the
        # levels above it; the answer does not depend on what is stored.
        if our == (0xC000, []) and their == (0, []) and lacks_unique_key(asked):
            continue
        # DCMTK converts value by value and stops at the first that it cannot: what it had
        # converted goes out in a character set that the answer does not name.
        if not all(is_legible(asked.syntax, answer[2:]) for answer in their[1]):
            assert all(is_legible(asked.syntax, answer[2:]) for answer in our[1]), shown(asked)
            continue
        if our != their:
            # What DCMTK answers may depend on the questions before (its character sets are those
            # of the association); on an association of its own it does not.
            (their,) = pair.dcmtk.ask([asked])
        assert our == their, shown(asked)
    return sum(1 for _, answers in theirs if answers)


@pytest.mark.parametrize("seed", range(8))
def test_random_finds(pair: Pair, seed: int) -> None:
    """Levels, models, wildcards, dates, lists, character sets and odd keys: 100 finds each."""
    noise = random.Random(seed)
    questions = [question(noise, pair.made) for _ in range(100)]
    assert compare(pair, questions) >= 20


@pytest.mark.parametrize(
    "options",
    [("-XF",), ("-Cr", "+U8"), ("-Cr", "+L1"), ("-Cr", "+A7"), ("+L1",), ("+C", "GB18030")],
    ids=" ".join,
)
def test_random_finds_with_options(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Checked identifiers, and each character set of answers."""
    noise = random.Random(str(options))
    for pair in started(tmp_path, objects(noise), *options):
        compare(pair, [question(noise, pair.made) for _ in range(150)])


@pytest.mark.parametrize(
    "words",
    ['"ISO_IR 100"', '"ISO_IR 100", override', '"ISO_IR 144", override, fallback', "fallback"],
)
def test_random_finds_with_a_configured_character_set(tmp_path: Path, words: str) -> None:
    """Each word of `SpecificCharacterSet`."""
    noise = random.Random(words)
    entry = f"SpecificCharacterSet = {words}"
    for pair in started(tmp_path, objects(noise), entry=entry):
        compare(pair, [question(noise, pair.made) for _ in range(150)])


# ---- Better than DCMTK ---------------------------------------------------------------------------


def named(name: bytes, charset: bytes, instance: int = 1) -> Made:
    """An object of a patient with this name."""
    write = Syntax.of(EXPLICIT)
    parts = [
        ((0x0008, 0x0005), "CS", charset),
        ((0x0008, 0x0016), "UI", pdu.CT.encode()),
        ((0x0008, 0x0018), "UI", uid(4, instance).encode()),
        ((0x0010, 0x0010), "PN", name),
        ((0x0010, 0x0020), "LO", b"P%d" % instance),
        ((0x0020, 0x000D), "UI", uid(4, instance, 0).encode()),
        ((0x0020, 0x000E), "UI", uid(4, instance, 1).encode()),
    ]
    data_set = b"".join(write.element(tag, vr, padded(vr, value)) for tag, vr, value in parts)
    return Made(uid(4, instance), data_set)


def by_name(name: bytes, charset: bytes = b"", **others: bytes) -> Question:
    """A STUDY query of the Study Root model."""
    keys: Keys = {
        (0x0008, 0x0052): ("CS", b"STUDY"),
        (0x0010, 0x0010): ("PN", name),
        (0x0020, 0x000D): ("UI", b""),
    }
    if charset:
        keys[(0x0008, 0x0005)] = ("CS", charset)
    keys |= {KEYS[key][0]: (KEYS[key][1], value) for key, value in others.items()}
    return Question(CONTEXTS[3][0], STUDY_ROOT, EXPLICIT, keys)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both archives with names in several character sets."""
    made = [
        named("Müller".encode("latin-1"), b"ISO_IR 100", 1),
        named(b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", b"\\ISO 2022 IR 87", 2),
    ]
    yield from started(tmp_path_factory.mktemp("names"), made)


@pytest.mark.parametrize(
    ("key", "charset", "ours", "theirs"),
    [
        pytest.param(b"M?ller", b"", 1, 0, id="one sign is one character"),
        pytest.param(b"M??ller", b"", 0, 1, id="not one byte"),
        pytest.param("Müller".encode(), b"ISO_IR 192", 1, 1, id="through UTF-8"),
        pytest.param("Yamada^Tarou=山田^太郎".encode(), b"ISO_IR 192", 1, 0, id="ISO 2022"),
        pytest.param("*=山田*".encode(), b"ISO_IR 192", 1, 0, id="ISO 2022 with wildcards"),
    ],
)
def test_names_in_other_character_sets(
    names: Pair, key: bytes, charset: bytes, ours: int, theirs: int
) -> None:
    """DIFFERENCES.md D13, and the sets with code extensions, which DCMTK on glibc cannot read."""
    asked = [by_name(key, charset)]
    assert len(names.ours.ask(asked)[0][1]) == ours
    assert len(names.dcmtk.ask(asked)[0][1]) == theirs


def test_keys_outside_the_record_do_no_harm(pair: Pair) -> None:
    """DIFFERENCES.md B6: DCMTK compares memory beyond its record."""
    asked = by_name(b"Doe*")
    with_comments = Question(
        asked.context_id, asked.model, asked.syntax,
        asked.keys | {(0x0010, 0x4000): ("LT", b"x"), (0x0010, 0x21B0): ("LT", b"x")},
    )  # fmt: skip
    plain, commented = pair.ours.ask([asked, with_comments])
    assert plain == commented
    assert plain[1]


def test_an_empty_archive_answers_alike(tmp_path: Path) -> None:
    """DIFFERENCES.md C9: a missing unique key is an error whether anything is stored or not."""
    asked = Question(
        CONTEXTS[0][0], PATIENT_ROOT, EXPLICIT,
        {(0x0008, 0x0052): ("CS", b"STUDY"), (0x0020, 0x000D): ("UI", b"")},
    )  # fmt: skip
    for empty in started(tmp_path, []):
        assert empty.ours.ask([asked]) == [(0xC000, [])]
        assert empty.dcmtk.ask([asked]) == [(0x0000, [])]
