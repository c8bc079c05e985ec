"""Association negotiation files in small: good ones, and one for every error.

Both the unit test of the reader and the comparison with DCMTK's storescp go through these tables.
"""

from __future__ import annotations

#: A file with one profile, P, for CT and Verification.
BASE = r"""[[TransferSyntaxes]]
[U]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[C]
PresentationContext1 = CTImageStorage\U
PresentationContext2 = VerificationSOPClass\U
[[Profiles]]
[P]
PresentationContexts = C
"""

_LAST = "PresentationContexts = C"
_ROLE = "[[SCPSCURoleSelection]]\n[R]\nRole1 = CTImageStorage\\SCP\n[[Profiles]]"
_EXTENDED = (
    "[[ExtendedNegotiation]]\n[E]\nExtendedNegotiation1 = CTImageStorage\\0011\n[[Profiles]]"
)


def _changed(*changes: tuple[str, str]) -> str:
    text = BASE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def _contexts(count: int) -> str:
    more = "".join(f"PresentationContext{i} = 1.2.{i}\\U\n" for i in range(3, count + 1))
    return _changed(("[[Profiles]]", f"{more}[[Profiles]]"))


#: Texts that mean the same as `BASE`.
GOOD: dict[str, str] = {
    "as it is": BASE,
    "line ends of Windows": BASE.replace("\n", "\r\n"),
    "line ends of old": BASE.replace("\n", "\r"),
    "no line end at the end": BASE.rstrip("\n"),
    "NUL is a blank": _changed((_LAST, "Presen\0tationContexts = C")),
    "keys in any case, blanks in them": _changed(("TransferSyntax1", "transfer syntax 1")),
    "other characters in keys": _changed(("TransferSyntax1", "Transfer!Syntax(1)")),
    "blanks in a section's name": _changed(("[[Profiles]]", "[[ pro files ]]")),
    "three brackets": _changed(("[[Profiles]]", "[[[Profiles]]]")),
    "indented section after a section": _changed(("[U]", "  [U]")),
    "indented key after a section": _changed((_LAST, "   " + _LAST)),
    "empty lines": _changed((_LAST, "\n\n" + _LAST)),
    "comment": _changed((_LAST, "# x = y\n" + _LAST)),
    "continuation without text": _changed(("LittleEndianImplicit", "LittleEndianImplicit\n  ")),
    "value on the next line": _changed(("LittleEndianImplicit", "\n  LittleEndianImplicit")),
    "blanks in a reference": _changed(("CTImageStorage\\U", "CTImageStorage\\ u ")),
    "unknown supersection": _changed(
        ("[[Profiles]]", "[[X]]\n[Y]\nTransferSyntax1=Z\n[[Profiles]]")
    ),
    "unknown key": _changed((_LAST, _LAST + "\nColour = red")),
    "entry without a section": "Foo = 1\n" + BASE,
    "section without a supersection": "[X]\nFoo = 1\n" + BASE,
    "of two keys the first": _changed(
        ("LittleEndianImplicit", "LittleEndianImplicit\nTransferSyntax1 = Bogus")
    ),
    "of two supersections the first": _changed(
        ("[[Profiles]]", "[[TransferSyntaxes]]\n[V]\nTransferSyntax1 = Bogus\n[[Profiles]]")
    ),
    "rest without an equals sign": BASE + "foo",
}

#: Texts with one fault each, and what is said.
ERRORS: dict[str, tuple[str, str]] = {
    "empty": ("", "cannot find section [[TRANSFERSYNTAXES]] in config file"),
    "foreign": ("hello\nworld\n", "cannot find section [[TRANSFERSYNTAXES]] in config file"),
    "no contexts": (
        _changed(("[[PresentationContexts]]", "[[X]]")),
        "cannot find section [[PRESENTATIONCONTEXTS]] in config file",
    ),
    "no profiles": (
        _changed(("[[Profiles]]", "[[X]]")),
        "cannot find section [[PROFILES]] in config file",
    ),
    "bracket left open": (
        _changed(("[[Profiles]]", "[[Profiles")),
        "cannot find section [[PROFILES]] in config file",
    ),
    "transfer syntax without a meaning": (
        _changed(("LittleEndianImplicit", "Bogus")),
        "not a valid transfer syntax UID: Bogus",
    ),
    "comment behind a value": (
        _changed(("LittleEndianImplicit", "LittleEndianImplicit # x")),
        "not a valid transfer syntax UID: LittleEndianImplicit # x",
    ),
    "value continued": (
        _changed(("LittleEndianImplicit", "1.2\n  .3")),
        "not a valid transfer syntax UID: 1.2\n.3",
    ),
    "no number 1": (
        _changed(("TransferSyntax1", "TransferSyntax2")),
        "transfer syntax key undefined: U",
    ),
    "leading zero": (
        _changed(("TransferSyntax1", "TransferSyntax01")),
        "transfer syntax key undefined: U",
    ),
    "line without an equals sign": (
        _changed(("TransferSyntax1 =", "junk\nTransferSyntax1 =")),
        "transfer syntax key undefined: U",
    ),
    "no backslash": (
        _changed(("CTImageStorage\\U", "CTImageStorage")),
        "syntax error: missing '\\' in entry PRESENTATIONCONTEXT1 in config file",
    ),
    "abstract syntax without a meaning": (
        _changed(("CTImageStorage\\U", "Foo\\U")),
        "not a valid abstract syntax UID: Foo",
    ),
    "list that is not there": (
        _changed(("CTImageStorage\\U", "CTImageStorage\\V")),
        "transfer syntax key undefined: V",
    ),
    "two faults in one entry": (
        _changed(("CTImageStorage\\U", "Foo\\V")),
        "transfer syntax key undefined: V",
    ),
    "second backslash": (
        _changed(("CTImageStorage\\U", "CTImageStorage\\U\\x")),
        "transfer syntax key undefined: U\\X",
    ),
    "indented section after an entry": (
        _changed(("[[Profiles]]", "  [[Profiles]]")),
        "transfer syntax key undefined: U[[PROFILES]]",
    ),
    "129 contexts": (_contexts(129), "presentation context list too long (> 128 entries): C"),
    "profile without contexts": (
        _changed((_LAST, "Foo = C")),
        "no PRESENTATIONCONTEXTS  entry in section P in config file",
    ),
    "indented comment": (
        _changed((_LAST, " # x\n" + _LAST)),
        "no PRESENTATIONCONTEXTS  entry in section P in config file",
    ),
    "contexts that are not there": (
        _changed((_LAST, "PresentationContexts = D")),
        "presentation context key undefined: D",
    ),
    "profile twice": (
        _changed((_LAST, f"{_LAST}\n[P]\n{_LAST}")),
        "two profiles defined for key: C",
    ),
    "roles that are not there": (
        _changed((_LAST, _LAST + "\nSCPSCURoleSelection = Q")),
        "role selection key undefined: Q",
    ),
    "role with a blank": (
        _changed(("[[Profiles]]", _ROLE.replace("SCP\n", "SCP \n"))),
        "syntax error: unknown role key in entry ROLE1 in config file",
    ),
    "role without a backslash": (
        _changed(("[[Profiles]]", _ROLE.replace("\\SCP\n", "\n"))),
        "syntax error: missing '\\' in entry ROLE1 in config file",
    ),
    "role twice": (
        _changed(("[[Profiles]]", _ROLE.replace("SCP\n", "SCP\nRole2 = CTImageStorage\\SCU\n"))),
        "role selection defined twice for abstract syntax UID: CTImageStorage",
    ),
    "role of another class": (
        _changed(
            ("[[Profiles]]", _ROLE.replace("CTImage", "MRImage")),
            (_LAST, _LAST + "\nSCPSCURoleSelection = R"),
        ),
        (
            "abstract syntax defined in role selection list 'R' but not in presentation context "
            "list 'C': 1.2.840.10008.5.1.4.1.1.4"
        ),
    ),
    "extended negotiation that is not there": (
        _changed((_LAST, _LAST + "\nExtendedNegotiation = E")),
        "extended negotiation key undefined: E",
    ),
    "odd number of digits": (
        _changed(("[[Profiles]]", _EXTENDED.replace("0011", "001"))),
        (
            "parse error in extended negotiation data in entry EXTENDEDNEGOTIATION1 in config file"
        ),
    ),
    "no data": (
        _changed(("[[Profiles]]", _EXTENDED.replace("0011", ""))),
        "Illegal call, perhaps wrong parameters",
    ),
    "no transfer syntax": (
        _changed(("LittleEndianImplicit", "")),
        "not a valid transfer syntax UID: ",
    ),
    "no class of a role": (
        _changed(("[[Profiles]]", _ROLE.replace("CTImageStorage", ""))),
        "not a valid abstract syntax UID: ",
    ),
    "no abstract syntax": (
        _changed(("CTImageStorage\\U", "\\U")),
        "Illegal call, perhaps wrong parameters",
    ),
    "no digits": (
        _changed(("[[Profiles]]", _EXTENDED.replace("0011", "00 1g"))),
        (
            "parse error in extended negotiation data in entry EXTENDEDNEGOTIATION1 in config file"
        ),
    ),
    "extended negotiation too long": (
        _changed(("[[Profiles]]", _EXTENDED.replace("0011", "00" * 1025))),
        (
            "extended negotiation data too long, cannot handle > 1024 bytes in entry "
            "EXTENDEDNEGOTIATION1 in config file"
        ),
    ),
    "extended negotiation of another class": (
        _changed(
            ("[[Profiles]]", _EXTENDED.replace("CTImage", "MRImage")),
            (_LAST, _LAST + "\nExtendedNegotiation = E"),
        ),
        (
            "abstract syntax defined in role selection list 'E' but not in presentation context "
            "list 'C': 1.2.840.10008.5.1.4.1.1.4"
        ),
    ),
    "extended negotiation twice": (
        _changed(
            (
                "[[Profiles]]",
                _EXTENDED.replace(
                    "0011\n", "0011\nExtendedNegotiation2 = CTImageStorage\\00\n"
                ),
            )
        ),
        "extended negotiation defined twice for abstract syntax UID: CTImageStorage",
    ),
}  # fmt: skip

#: Where each of those faults stands: number and text of the line.
PLACES: dict[str, str] = {
    "empty": "line 0: end of file",
    "foreign": "line 2: end of file",
    "no contexts": "line 10: end of file",
    "no profiles": "line 10: end of file",
    "bracket left open": "line 10: end of file",
    "transfer syntax without a meaning": "line 3: TransferSyntax1 = Bogus",
    "comment behind a value": "line 3: TransferSyntax1 = LittleEndianImplicit # x",
    "value continued": "line 3: TransferSyntax1 = 1.2",
    "no number 1": "line 6: PresentationContext1 = CTImageStorage\\U",
    "leading zero": "line 6: PresentationContext1 = CTImageStorage\\U",
    "line without an equals sign": "line 7: PresentationContext1 = CTImageStorage\\U",
    "no backslash": "line 6: PresentationContext1 = CTImageStorage",
    "abstract syntax without a meaning": "line 6: PresentationContext1 = Foo\\U",
    "list that is not there": "line 6: PresentationContext1 = CTImageStorage\\V",
    "two faults in one entry": "line 6: PresentationContext1 = Foo\\V",
    "second backslash": "line 6: PresentationContext1 = CTImageStorage\\U\\x",
    "indented section after an entry": "line 7: PresentationContext2 = VerificationSOPClass\\U",
    "129 contexts": "line 134: PresentationContext129 = 1.2.129\\U",
    "profile without contexts": "line 9: [P]",
    "indented comment": "line 9: [P]",
    "contexts that are not there": "line 10: PresentationContexts = D",
    "profile twice": "line 11: [P]",
    "roles that are not there": "line 11: SCPSCURoleSelection = Q",
    "role with a blank": "line 10: Role1 = CTImageStorage\\SCP",
    "role without a backslash": "line 10: Role1 = CTImageStorage",
    "role twice": "line 11: Role2 = CTImageStorage\\SCU",
    "role of another class": "line 14: SCPSCURoleSelection = R",
    "extended negotiation that is not there": "line 11: ExtendedNegotiation = E",
    "odd number of digits": "line 10: ExtendedNegotiation1 = CTImageStorage\\001",
    "no data": "line 10: ExtendedNegotiation1 = CTImageStorage\\",
    "no abstract syntax": "line 6: PresentationContext1 = \\U",
    "no transfer syntax": "line 3: TransferSyntax1 =",
    "no class of a role": "line 10: Role1 = \\SCP",
    "no digits": "line 10: ExtendedNegotiation1 = CTImageStorage\\00 1g",
    "extended negotiation too long": (
        "line 10: ExtendedNegotiation1 = CTImageStorage\\" + "0" * 42 + "..."
    ),
    "extended negotiation of another class": "line 14: ExtendedNegotiation = E",
    "extended negotiation twice": "line 11: ExtendedNegotiation2 = CTImageStorage\\00",
}
