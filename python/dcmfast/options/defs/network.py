"""Options of the network: process model, titles, times, sizes, behaviour on an association."""

from __future__ import annotations

from dcmfast.options.option import Condition, Integer, Option, Text, Unsigned, in_force

_SECONDS = Integer(minimum=1)
_PDU_BYTES = Unsigned(minimum=4096, maximum=131072)

# ---- Process model

SINGLE_PROCESS = Option(
    field="process_model",
    names=("--single-process",),
    summary="single process mode (default)",
    choice="single",
    default=True,
)
FORK = Option(
    field="process_model",
    names=("--fork",),
    summary="fork child process for each association",
    choice="fork",
)
INETD = Option(
    field="inetd",
    names=("--inetd", "-id"),
    summary="run from inetd super server (not with --fork)",
    conflicts=(in_force("--fork"),),
)

# ---- Who may connect

ACCESS_FULL = Option(
    field="access_control",
    names=("--access-full", "-ac"),
    summary="accept connections from any host (default)",
    choice="full",
    default=True,
)
ACCESS_CONTROL = Option(
    field="access_control",
    names=("--access-control", "+ac"),
    summary="enforce host access control rules",
    choice="tcp-wrapper",
)

# ---- Titles; each tool has its own default

AETITLE = Option(
    field="ae_title",
    names=("--aetitle", "-aet"),
    summary="[a]etitle: string\nset my AE title (default: STORESCP)",
    values=(Text(),),
    default="STORESCP",
)
USE_CALLED_AETITLE = Option(
    field="ae_title",
    names=("--use-called-aetitle", "-uca"),
    summary="always respond with called AE title",
    choice="called",
)
CALL = Option(
    field="called_ae_title",
    names=("--call", "-aec"),
    summary="[a]etitle: string\nset called AE title of peer (default: ANY-SCP)",
    values=(Text(),),
    default="ANY-SCP",
)


def titles(default: str) -> tuple[Option, Option]:
    """Return a requestor's own title, which is `default` unless it is given, and its peer's."""
    calling = AETITLE.replace(
        summary=f"[a]etitle: string\nset my calling AE title (default: {default})",
        default=default,
    )
    return calling, CALL


# ---- Times

TIMEOUT = Option(
    field="connection_timeout_s",
    names=("--timeout", "-to"),
    summary="[s]econds: integer (default: unlimited)\ntimeout for connection requests",
    values=(_SECONDS,),
)
SOCKET_TIMEOUT = Option(
    field="socket_timeout_s",
    names=("--socket-timeout", "-ts"),
    summary="[s]econds: integer (default: 60)\ntimeout for network socket (0 for none)",
    values=(Integer(minimum=-1),),
    default=60,
)
ACSE_TIMEOUT = Option(
    field="acse_timeout_s",
    names=("--acse-timeout", "-ta"),
    summary="[s]econds: integer (default: 30)\ntimeout for ACSE messages",
    values=(_SECONDS,),
    default=30,
)
DIMSE_TIMEOUT = Option(
    field="dimse_timeout_s",
    names=("--dimse-timeout", "-td"),
    summary="[s]econds: integer (default: unlimited)\ntimeout for DIMSE messages",
    values=(_SECONDS,),
)

# ---- Sizes

MAX_PDU = Option(
    field="max_pdu_bytes",
    names=("--max-pdu", "-pdu"),
    summary=(
        "[n]umber of bytes: integer (4096..131072)\nset max receive pdu to n bytes (default: 16384)"
    ),
    values=(_PDU_BYTES,),
    default=16384,
    source="PS3.8 Annex D.1 (Maximum Length)",
)
MAX_SEND_PDU = Option(
    field="max_send_pdu_bytes",
    names=("--max-send-pdu",),
    summary="[n]umber of bytes: integer (4096..131072)\nrestrict max send pdu to n bytes",
    values=(_PDU_BYTES,),
)

# ---- Behaviour of an acceptor

DISABLE_HOST_LOOKUP = Option(
    field="disable_host_lookup",
    names=("--disable-host-lookup", "-dhl"),
    summary="disable hostname lookup",
)
REFUSE = Option(field="refuse", names=("--refuse",), summary="refuse association")
REJECT = Option(
    field="reject", names=("--reject",), summary="reject association if no implement. class UID"
)
IGNORE = Option(
    field="ignore", names=("--ignore",), summary="ignore store data, receive but do not store"
)
SLEEP_AFTER = Option(
    field="sleep_after_s",
    names=("--sleep-after",),
    summary="[s]econds: integer\nsleep s seconds after store (default: 0)",
    values=(Unsigned(minimum=0),),
    default=0,
)
SLEEP_DURING = Option(
    field="sleep_during_s",
    names=("--sleep-during",),
    summary="[s]econds: integer\nsleep s seconds during store (default: 0)",
    values=(Unsigned(minimum=0),),
    default=0,
)
ABORT_AFTER = Option(
    field="abort_after",
    names=("--abort-after",),
    summary="abort association after receipt of C-STORE-RQ\n(but before sending response)",
)
ABORT_DURING = Option(
    field="abort_during",
    names=("--abort-during",),
    summary="abort association during receipt of C-STORE-RQ",
)
FAULT = Option(
    field="faults",
    names=("--fault",),
    summary=(
        "[r]ule: string\nfail on purpose, to test senders; may be given\n"
        "many times. EVENT [CONDITION ...] ACTION ..., as in\n"
        '"store every=10 class=CTImageStorage status=A700".\n'
        "Events: association, echo, store. Conditions:\n"
        "every=N, rate=P (0..1 or 0%..100%), class=UID,\n"
        "calling=TITLE. Actions: delay=SECONDS,\n"
        "slow-read=BYTES a second, and one of status=XXXX,\n"
        "reject=R/S/R, abort, close, truncate. at=response\n"
        "(default), data, fragment or next says when"
    ),
    values=(Text(),),
    repeatable=True,
    source="dcmfast",
)
FAULT_SEED = Option(
    field="fault_seed",
    names=("--fault-seed",),
    summary="[n]umber: integer (default: 1)\nthe same rates fail at the same events again",
    values=(Unsigned(minimum=0),),
    default=1,
    source="dcmfast",
)
PROMISCUOUS = Option(
    field="promiscuous",
    names=("--promiscuous", "-pm"),
    summary="promiscuous mode, accept unknown SOP classes\n(not with --config-file)",
)
UID_PADDING = Option(
    field="uid_padding",
    names=("--uid-padding", "-up"),
    summary="silently correct space-padded UIDs",
)

# ---- Behaviour of a requestor

PROPOSE_TS = Option(
    field="propose_transfer_syntaxes",
    names=("--propose-ts", "-pts"),
    summary="[n]umber: integer (1..38)\npropose n transfer syntaxes",
    values=(Unsigned(minimum=1, maximum=38),),
    default=1,
)
PROPOSE_PC = Option(
    field="propose_contexts",
    names=("--propose-pc", "-ppc"),
    summary="[n]umber: integer (1..128)\npropose n presentation contexts",
    values=(Unsigned(minimum=1, maximum=128),),
    default=1,
)
ECHO_JSON = Option(
    field="report_json",
    names=("--json",),
    summary="print the result on stdout as JSON, one object,\nwhatever came of it",
    source="dcmfast",
)
REPEAT = Option(
    field="repeat",
    names=("--repeat",),
    summary="[n]umber: integer\nrepeat n times",
    values=(Unsigned(minimum=1),),
    default=1,
)
ABORT = Option(
    field="abort", names=("--abort",), summary="abort association instead of releasing it"
)
NO_HALT = Option(
    field="no_halt",
    names=("--no-halt", "-nh"),
    summary="do not halt if unsuccessful store encountered\n(default: do halt)",
)

MULTI_ASSOCIATIONS = Option(
    field="association_handling",
    names=("--multi-associations", "+ma"),
    summary="use multiple associations (one after the other)\n"
    "if needed to transfer the instances (default)",
    choice="multi",
    default=True,
)
SINGLE_ASSOCIATION = Option(
    field="association_handling",
    names=("--single-association", "-ma"),
    summary="always use a single association",
    choice="single",
)
ASSOCIATIONS = Option(
    field="associations",
    names=("--associations",),
    summary=(
        "[n]umber: integer (1..64, default: 1)\n"
        "send over n associations at once; the order in\n"
        "which files are sent is then nobody's"
    ),
    values=(Unsigned(minimum=1, maximum=64),),
    default=1,
    source="dcmfast",
)

# ---- User identity negotiation, PS3.7 Annex D.3.3.7

_USER = in_force("--user")

USER = Option(
    field="user_identity",
    names=("--user", "-usr"),
    summary="[u]ser name: string\nauthenticate using user name u",
    choice="user",
    values=(Text(),),
)
PASSWORD = Option(
    field="password",
    names=("--password", "-pwd"),
    summary="[p]assword: string (only with --user)\nauthenticate using password p",
    choice="password",
    values=(Text(),),
    needs=(_USER,),
)
EMPTY_PASSWORD = Option(
    field="password",
    names=("--empty-password", "-epw"),
    summary="send empty password (only with --user)",
    choice="empty",
    needs=(_USER,),
)
KERBEROS = Option(
    field="user_identity",
    names=("--kerberos", "-kt"),
    summary="[f]ilename: string\nread kerberos ticket from file f",
    choice="kerberos",
    values=(Text(),),
)
SAML = Option(
    field="user_identity",
    names=("--saml",),
    summary="[f]ilename: string\nread SAML request from file f",
    choice="saml",
    values=(Text(),),
)
JWT = Option(
    field="user_identity",
    names=("--jwt",),
    summary="[f]ilename: string\nread JWT data from file f",
    choice="jwt",
    values=(Text(),),
)
POS_RESPONSE = Option(
    field="positive_response",
    names=("--pos-response", "-rsp"),
    summary="expect positive response",
    needs=(
        Condition(
            text="--user, --kerberos or --saml", any_of=("--user", "--kerberos", "--saml", "--jwt")
        ),
    ),
)

#: What all requestors check, in DCMTK's order; some have no ``--socket-timeout``.
TITLE_CHECKS = ("ae_title", "called_ae_title")
TIME_CHECKS_WITHOUT_SOCKET = ("connection_timeout_s", "acse_timeout_s", "dimse_timeout_s")
TIME_CHECKS = (TIME_CHECKS_WITHOUT_SOCKET[0], "socket_timeout_s", *TIME_CHECKS_WITHOUT_SOCKET[1:])
