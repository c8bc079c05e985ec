"""What the sending tools will do: the settings of storescu and dcmsend.

Beside ``settings``, whose rules hold here too.  Whether the inputs exist is looked at when they are
read, as DCMTK does, with log lines.
"""

from __future__ import annotations

from dcmfast.config import assoc_cfg
from dcmfast.errors import AssociationConfigurationError, ProfileError
from dcmfast.options import settings
from dcmfast.options.settings import RequestorSettings
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dcmfast.config.assoc_cfg import NegotiationProfile
    from dcmfast.options.option import FrontEnd
    from dcmfast.options.parsed import ParsedOptions


class UserIdentity(Record):
    """Who asks for an association, PS3.7 Annex D.3.3.7."""

    #: ``user``, ``password``, ``kerberos``, ``saml`` or ``jwt``.
    kind: str
    #: The user's name, or the file that holds ticket, assertion or token.
    value: str
    #: Of ``password``; may be empty.
    password: str
    is_response_expected: bool


class SendingSettings(RequestorSettings):
    """What the sending tools have in common."""

    #: Files and directories as typed.
    inputs: tuple[str, ...]
    #: ``any``, ``file`` or ``dataset``.
    input_format: str
    is_scanning_directories: bool
    is_recursive: bool
    #: Wildcards for names in directories; empty for every name.
    scan_pattern: str
    max_send_pdu_bytes: int | None
    #: The first file that cannot be sent, or is not stored, ends the run.
    is_halting: bool
    #: Level of a deflate stream that is made.
    deflate_level: int
    #: Associations at once.
    associations: int
    #: A report goes to stdout as JSON.
    is_json: bool


class StoreSettings(SendingSettings):
    """What storescu will do."""

    #: Choice for ``policy.negotiation.proposed_transfer_syntaxes``.
    proposal: str
    #: True if the user typed the proposal; otherwise the files decide alone.
    is_proposal_typed: bool
    is_combining: bool
    #: Only what the files need is proposed (``-R``); else what DCMTK's storescu proposes, too.
    is_required_only: bool
    is_uid_padding_allowed: bool
    #: VRs that the standard got after 1993 may be sent; else they become OB.
    has_new_vrs: bool
    #: ``.done`` or ``.bad`` is appended to the names of files that were dealt with.
    is_renaming: bool
    #: What is proposed, instead of `proposal`.
    profile: NegotiationProfile | None
    identity: UserIdentity | None
    #: Objects get new identities: instances of a series, series of a study, studies of a patient.
    invention: tuple[int, int, int] | None


class SendSettings(SendingSettings):
    """What dcmsend will do."""

    #: A DICOMDIR stands for the files that it names.
    is_reading_dicomdir: bool
    #: ``never``, ``lossless`` or ``lossy``.
    decompression: str
    #: A context may be proposed without the default transfer syntax.
    is_illegal_proposal_allowed: bool
    #: UIDs must be what they should be.
    is_checking_uids: bool
    is_single_association: bool
    #: Where DCMTK's report goes; empty for nowhere.
    report_file: str


def storescu(front_end: FrontEnd, arguments: list[str]) -> StoreSettings | ParsedOptions:
    """Read storescu's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    profiles: list[NegotiationProfile] = []
    missing: list[str] = []

    def read_profile(path: str, name: str) -> None:
        key = assoc_cfg.reference(name)
        try:
            profile = assoc_cfg.read(path).get(key)
        except AssociationConfigurationError as error:
            raise ProfileError(
                ("E", f"reading config file: {error}"), *settings.stands_at("E", error.place)
            ) from None
        if profile is None:
            # DCMTK's storescu finds out when it builds its request.
            missing.append(key)
        else:
            profiles.append(profile)

    parsed = settings.parse(front_end, arguments, {"profile": read_profile})
    if parsed.exclusive:
        return parsed

    def build() -> StoreSettings:
        settings.refuse_unavailable(parsed)
        if missing:
            raise ProfileError(("F", f"0006:0426 profile key undefined: {missing[0]}"))
        return StoreSettings(
            **_sending(parsed),
            proposal=parsed.choice("proposal"),
            is_proposal_typed=parsed.flag("proposal"),
            is_combining=parsed.flag("combine"),
            is_required_only=parsed.flag("required"),
            is_uid_padding_allowed=parsed.flag("uid_padding"),
            has_new_vrs=parsed.choice("new_vr") == "enable",
            is_renaming=parsed.choice("rename") == "yes",
            profile=profiles[0] if profiles else None,
            identity=_identity(parsed),
            invention=_invention(parsed),
        )

    return settings.built(parsed, build)


def dcmsend(front_end: FrontEnd, arguments: list[str]) -> SendSettings | ParsedOptions:
    """Read dcmsend's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = settings.parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> SendSettings:
        settings.refuse_unavailable(parsed)
        return SendSettings(
            **_sending(parsed),
            is_reading_dicomdir=parsed.flag("read_dicomdir"),
            decompression=parsed.choice("decompression"),
            is_illegal_proposal_allowed=not parsed.flag("no_illegal_proposal"),
            is_checking_uids=not parsed.flag("no_uid_checks"),
            is_single_association=parsed.choice("association_handling") == "single",
            report_file=parsed.text("report_file"),
        )

    return settings.built(parsed, build)


def _identity(parsed: ParsedOptions) -> UserIdentity | None:
    """Return what the options of user identity negotiation ask for."""
    if not parsed.flag("user_identity"):
        return None
    kind, password = parsed.choice("user_identity"), ""
    if parsed.flag("password"):
        kind = "password"
        password = str((*parsed.values("password"), "")[0])
    return UserIdentity(
        kind=kind,
        value=str(parsed.values("user_identity")[0]),
        password=password,
        is_response_expected=parsed.flag("positive_response"),
    )


#: What is counted, from the instances of a series up.
_COUNTS = ("invent_series", "invent_study", "invent_patient")


def _invention(parsed: ParsedOptions) -> tuple[int, int, int] | None:
    if not any(parsed.flag(field) for field in ("invent_instance", *_COUNTS)):
        return None
    instances, series, studies = (settings.number(parsed, field) for field in _COUNTS)
    return instances, series, studies


def _sending(parsed: ParsedOptions) -> dict[str, Any]:
    """Return the fields of `SendingSettings`."""
    return {
        **settings.general(parsed),
        **settings.requestor(parsed),
        "inputs": parsed.parameters[2:],
        "input_format": parsed.choice("input_format"),
        "is_scanning_directories": parsed.flag("scan_directories"),
        "is_recursive": parsed.choice("recurse") == "yes",
        "scan_pattern": parsed.text("scan_pattern"),
        "max_send_pdu_bytes": parsed.number("max_send_pdu_bytes"),
        "is_halting": not parsed.flag("no_halt"),
        "deflate_level": settings.number(parsed, "compression_level"),
        "associations": settings.number(parsed, "associations"),
        "is_json": parsed.flag("report_json"),
    }
