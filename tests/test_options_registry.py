"""Invariants over every option of every front end: one list, checked as a list."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from dcmfast import limits
from dcmfast.options import help as texts
from dcmfast.options.option import PORT, FrontEnd, Integer, Option, Unsigned
from dcmfast.options.specs import all_front_ends

FRONT_ENDS = {one.tool: one for one in all_front_ends()}

each_front_end = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.tool)
each_of_dcmtk = pytest.mark.parametrize(
    "front_end",
    [one for one in FRONT_ENDS.values() if one.is_dcmtks],
    ids=lambda one: one.tool,
)

#: Spellings of storescp's manual page of 1998.
PAGE_OF_1998 = {
    *("-r", "+R", "-s", "+s", "-b", "-t=", "-te", "-tb", "-ti", "-F", "+F", "+t=", "+te", "+tb"),
    *("+ti", "+g", "+g=", "-g", "+e", "-e", "-p", "+p", "-u", "+u", "-h", "+V", "+d", "+B", "-i"),
}
#: Options of a page that DCMTK 3.6.7 does not have: storescp's of 3.6.8, dcmrecv's of 3.6.6.
ONLY_ON_PAGES = {
    "storescp": {"+pg", "+pm", "+pb", "--no-sni", "--expect-sni"},
    "dcmrecv": {"+pb"},
    # Of the 3.5.4 page.
    "dcmqrscp": {"-vv"},
}
#: The TLS options that acceptors and requestors share, which all work.
_TLS = (
    " +tls +ps +pw -pw -pem -der +cf +cd +crl +crv +cra +pg +pm +py +px +pz +pb +pa +pn +cc +cs "
    "+rs +ws +wf -rc -ic "
)
#: Options that work, beside those that name today's behaviour; the rest is still to come.
WORKING = {
    "storescp": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "+v --single-process --fork -id -xf +x= +xe +xb +xs +xy +xx +xv "
        "+xw +xt +xu +xm +xh +xn +xl +x2 +x3 +xo +x4 +x5 +xr +xd +xi +xa -te -tb -ac +ac "
        "-ts -ta -td "
        "-aet -pdu -b -dhl --refuse --reject --ignore --sleep-after --sleep-during -s +s "
        "--abort-after --abort-during -pm -up -tls --no-sni -od -B +B +F -F +t= +u "
        "+te +tb +ti +td -u +g= +g -g +e -e -p +p -uc +uc +cl "
        "-ss -su -sp -uf +uf -tn -fe -xcr -xcs -rns -tos -xs "
        "--durability --duplicate --max-associations --fault --fault-seed"
        + _TLS
        + "+dp -vc --expect-sni"
    ),
    "dcmrecv": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "+v -xf -aet -uca -ta -td -pdu -dhl -tls -od -s +ssd "
        "+fd +fu +fsu +fst -fe -B +B --ignore --durability --duplicate "
        "--max-associations --fault --fault-seed" + _TLS + "+dp -vc"
    ),
    "dcmqrscp": (
        "-h --version --arguments -q -v -vv -d -ll -lc --log-json "
        "-c -s --fork --require-find --no-parallel-store "
        "--disable-get --allow-shutdown -XF --no-check-find -XM --no-check-move "
        "--move-unrestricted -ZA -ZH -ZV -QP -QS -QO -xf +x= +xe +xb +xs +xy +xx +xv +xw +xt +xu "
        "+xm +xh +xn +xl +x2 +x3 +xo +x4 +x5 +xr +xd +xi -x= -xe -xb -xi -xs -xy -xx -xv -xw -xt "
        "-xu -xm -xh -xn -xl -x2 -x3 -xo -x4 -x5 -xr -xd -ac +ac -to -ta -td -pdu -dhl --refuse "
        "--reject --ignore -up +Cr -Cr +A7 +U8 +L1 +C -Ct -Cd -B +B +F -F +t= +te +tb +ti +td "
        "+u -u +g= +g -g +e -e -p +p +cl --matching "
        "--durability --duplicate --max-associations --fault --fault-seed"
    ),
    "serve": (
        "-h --version -q -v -d -ll -lc --log-json -p -b --peer "
        "--max-associations --fault --fault-seed --matching --durability --duplicate"
    ),
    "index": (
        "-h --version -q -v -d -ll --json --studies --outside --digest --full --repair --threads "
        "--dry-run -c --max-studies --max-study-bytes"
    ),
    "load": (
        "-h --version -q -v -d -ll -aet -aec -to -ta -td -pdu --yes-remote -n --duration "
        "--associations --per-association --rate --mix --seed --kind --size --patients --studies "
        "--series --known --find-level --retrieve-level --destination --audit --ledger --json "
        "--html --tolerance -tls"
        + _TLS.replace(" +rs +ws +wf", "").replace("+rs +ws +wf ", "")
        + "+tla --no-sni --request-sni"
    ),
    "record": (
        "-h --version -q -v -d -ll -lc --log-json -b -to --max-associations -n --max-size "
        "--overwrite --leave-out-data-sets --replace-data-sets --mask-names"
    ),
    "replay": (
        "-h --version -q -v -d -ll -b -aet -aec -to -te --association --ignore --compare "
        "--real-time --json"
    ),
    "show": (
        "-h --version -q -v -d -ll --json --no-data-sets --association --write --overwrite "
        "--leave-out-data-sets --replace-data-sets --mask-names"
    ),
    "dcmqridx": "-h --version --arguments -q -v -d -ll -lc -p -n",
    "findscu": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "-k -W -P -S -O -aet -aec +u -u -x= -xe -xb -xd -xi +cl -to -ts -ta -td -pdu --repeat "
        "--abort --cancel -tls -od +dc -dc +sr -sr -X -Xx -Xs -Xlo --json "
        "--max-responses --progress-timeout --no-sni --request-sni" + _TLS + "+tla"
    ),
    "getscu": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "+v -k -P -S -O -aet -aec +x= +xe +xb +xs +xy +xx +xv +xw +xt +xu +xm +xh +xn +xl +x2 +x3 "
        "+xo +x4 +x5 +xr +xd +xi -x= -xe -xb -xd -xi -to -ta -td -pdu --repeat --abort -od -B +B "
        "--ignore --durability --duplicate --max-responses --progress-timeout"
    ),
    "movescu": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "-k -P -S -O -aet -aec -aem +x= +xe +xb +xs +xy +xx +xv +xw +xt +xu +xm +xh +xn +xl +x2 "
        "+x3 +xo +x4 +x5 +xr +xd +xi +xa -x= -xe -xb -xd -xi -ac +ac --no-port +P -pi -pr -to -ta "
        "-td -pdu -dhl --repeat --abort --ignore --cancel -up -od -B +B +F -F +t= +te +tb +ti +td "
        "+u -u +g= +g -g +e -e -p +p +cl --durability --duplicate --max-responses "
        "--progress-timeout"
    ),
    "dcmconv": (
        "-h --version --arguments -q -v -d -ll -lc --log-json +f +fo -f -t= -td -te -tb -ti +ml "
        "+ao +ev +vr +ui -uc +uc -sq -rd -oi -vi -pe -Ep +dc -dc +bd +Fm +F -F +t= +te +tb +ti +td "
        "+u -u +g= +g -g +e -e +eo -p= -p +p +cl"
    ),
    "echoscu": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "-aet -aec -pts -ppc -to -ts -ta -td -pdu --repeat "
        "--abort --json -tls" + _TLS + "+tla +vc +rc --no-sni --request-sni"
    ),
    "dcmsend": (
        "-h --version --list-decoders --arguments -q -v -d -ll -lc --log-json +v +f +fo -f +rd "
        "+sd +sp -r +r -dn +dls +dly +cl -nh -nip -nuc -aet -aec +ma -ma -to -ta -td -pdu "
        "--max-send-pdu +crf --associations --json"
    ),
    "storescu": (
        "-h --version --arguments -q -v -d -ll -lc --log-json "
        "+v +f +fo -f +sd +sp -r +r -rn +rn -aet -aec -x= -xe -xb -xi -xs -xy -xx -xv -xw -xt -xu "
        "-xm -xh -xn -xl -x2 -x3 -xo -x4 -x5 -xr -xd -R +C +u -u +cl --associations --json "
        "-xf -usr -pwd -epw -kt --saml --jwt -rsp +II +IR +IS +IP "
        "-to -ts -ta -td -pdu --max-send-pdu --repeat --abort -nh -up -tls"
        + _TLS
        + "+tla --no-sni --request-sni"
    ),
}


def by_field(front_end: FrontEnd) -> dict[str, list[Option]]:
    fields: dict[str, list[Option]] = {}
    for option in front_end.options():
        fields.setdefault(option.field, []).append(option)
    return fields


@each_front_end
def test_every_spelling_belongs_to_one_option(front_end: FrontEnd) -> None:
    owner: dict[str, str] = {}
    for option in front_end.options():
        for name in option.names + option.aliases:
            assert owner.setdefault(name, option.long) == option.long, name


@each_front_end
def test_every_field_is_checked_once(front_end: FrontEnd) -> None:
    """Exclusive options end the checks and so have no place among them."""
    field_of = {option.long: option.field for option in front_end.options()}
    checked = [
        check if isinstance(check, str) else field_of[check[0]] for check in front_end.checks
    ]
    assert len(checked) == len(set(checked))
    exclusive = {option.field for option in front_end.options() if option.exclusive}
    assert set(checked) - {PORT} == set(field_of.values()) - exclusive


@each_front_end
def test_reordered_checks_name_all_options_of_one_field(front_end: FrontEnd) -> None:
    fields = by_field(front_end)
    field_of = {option.long: option.field for option in front_end.options()}
    for check in front_end.checks:
        if not isinstance(check, str):
            (field,) = {field_of[name] for name in check}
            assert {option.long for option in fields[field]} == set(check)


@each_front_end
def test_conditions_name_options_that_are_looked_at_before(front_end: FrontEnd) -> None:
    """A condition on an option that is checked later could never hold."""
    field_of = {option.long: option.field for option in front_end.options()}
    place = {}
    for at, check in enumerate(front_end.checks):
        place[check if isinstance(check, str) else field_of[check[0]]] = at
    reordered = {field_of[one[0]]: one for one in front_end.checks if not isinstance(one, str)}
    for option in front_end.options():
        for condition in option.conflicts + option.needs:
            for name in condition.any_of:
                long = name.partition("=")[0]
                if long in ("--fork", "--inetd") and front_end.tool != "storescp":
                    continue
                if (order := reordered.get(option.field)) and long in order:
                    assert order.index(long) < order.index(option.long), (option.long, name)
                    continue
                assert place[field_of[long]] < place[option.field], (option.long, name)


@each_front_end
def test_a_field_has_at_most_one_default_and_distinct_choices(front_end: FrontEnd) -> None:
    for field, options in by_field(front_end).items():
        defaults = [option.long for option in options if option.default is True]
        assert len(defaults) <= 1, field
        choices = [option.choice for option in options if not option.values]
        assert len(choices) == len(set(choices)), field


@each_front_end
def test_a_default_is_available_unless_its_field_is_all_to_come(front_end: FrontEnd) -> None:
    """An option that names what happens anyway may always be typed."""
    for options in by_field(front_end).values():
        if any(option.available for option in options):
            assert all(option.available for option in options if option.default is True)


@each_front_end
def test_the_usage_tells_the_default_and_the_range(front_end: FrontEnd) -> None:
    """Numbers in the text are those of the record."""
    for option in front_end.options():
        told = re.search(r"[( ]default: ([^)]*)\)", option.summary)
        if told and option.values and told[1] not in ("unlimited", "none", "never", CONFIGURED):
            assert told[1].strip('"') == str(option.default), option.long
        if (
            told
            and told[1] in ("unlimited", "none", "never", CONFIGURED)
            and option.field != "durability"
        ):
            assert not option.default, option.long
        span = re.search(r"\((\d+)\.\.(\d+)[,)]", option.summary)
        if span:
            (value,) = option.values
            assert isinstance(value, (Integer, Unsigned))
            assert (value.minimum, value.maximum) == (int(span[1]), int(span[2]))
        if option.default is True:
            assert re.search(r"\(def(ault( if [^)]*)?|\.)\)", option.summary), option.long


#: DCMTK's words for a default that stands in dcmqrscp's configuration.
CONFIGURED = "use value from configuration file"

#: Numbers of the command line that the engine has too: its name → field, and what of it.
SHARED_WITH_THE_ENGINE = {
    "MAX_PDU_BYTES_MIN": ("--max-pdu", "minimum"),
    "MAX_PDU_BYTES_MAX": ("--max-pdu", "maximum"),
    "MAX_PDU_BYTES_DEFAULT": ("--max-pdu", "default"),
    "ACSE_TIMEOUT_S_DEFAULT": ("--acse-timeout", "default"),
    "SOCKET_TIMEOUT_S_DEFAULT": ("--socket-timeout", "default"),
    "ASSOCIATIONS_MAX": ("--max-associations", "default"),
    "CONFIGURED_ASSOCIATIONS_MAX": ("--max-associations", "maximum"),
    "PENDING_RESPONSES_MAX": ("--max-responses", "default"),
    "PENDING_PROGRESS_S": ("--progress-timeout", "default"),
}


@each_front_end
def test_the_numbers_are_the_engines(front_end: FrontEnd) -> None:
    """Stated twice, because a front end that only refuses a command line loads no engine."""
    options = {option.long: option for option in front_end.options()}
    for name, (long, what) in SHARED_WITH_THE_ENGINE.items():
        if long in options:
            option = options[long]
            source = option if what == "default" else option.values[0]
            if getattr(source, what) is not None or front_end.tool != "dcmqrscp":
                assert getattr(source, what) == limits.LIMITS[name], name


@each_front_end
def test_which_options_work(front_end: FrontEnd) -> None:
    working = {option.names[-1] for option in front_end.options() if option.available}
    assert working == set(WORKING[front_end.tool].split())


def test_every_spelling_of_1998_is_known() -> None:
    names = {
        name
        for option in FRONT_ENDS["storescp"].options()
        for name in option.names + option.aliases
    }
    assert names >= PAGE_OF_1998


def _words(path: Path) -> set[str]:
    """Every word of every string of a file."""
    strings = (
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {word for text in strings for word in re.split(r"[\s`,;()|]+", text)}


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv", "dcmqrscp"])
def test_every_option_of_the_manuals_is_named_by_a_test_of_its_tool(tool: str) -> None:
    """By one of its spellings, in a file that names the tool."""
    tests = Path(__file__).parent
    files = [path for path in tests.rglob("test_*.py") if path != Path(__file__)]
    named: set[str] = set()
    for path in files:
        words = _words(path)
        if tool in words:
            named |= words
    missing = {
        option.long
        for option in FRONT_ENDS[tool].options()
        if not named & {*option.names, *option.aliases}
    }
    assert missing == set()


def dcmtks_usage(tool: str) -> list[str]:
    done = subprocess.run(
        [f"/usr/bin/{tool}", "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def options_of(lines: list[str], begins: int) -> dict[str, str]:
    """Long spelling → short one, read off a usage text whose long ones begin in this column."""
    found = {}
    for line in lines:
        match = re.match(r" {2,4}([-+]\S+)? +(--\S+)(?: |$)", line)
        # Further right it is a word of a description.
        if match and match.start(2) == begins:
            found[match[2]] = match[1] or ""
    return found


@pytest.mark.dcmtk
@each_of_dcmtk
def test_every_option_of_dcmtks_usage_is_known(front_end: FrontEnd) -> None:
    """And nothing else is, but what only a page has and dcmfast's own."""
    theirs = options_of(dcmtks_usage(front_end.tool), front_end.long_begins)
    ours = {
        option.long: option.short
        for option in front_end.options()
        if option.long.startswith("--") and option.source != "dcmfast"
    }
    assert theirs.items() <= ours.items()
    extra = {ours[long] or long for long in ours.keys() - theirs.keys()}
    # RFC 8996's profiles are every tool's (DIFFERENCES.md D17); +pb depends on the TLS library.
    assert extra <= ONLY_ON_PAGES.get(front_end.tool, set()) | {"+pg", "+pm", "+pb"}


#: Lines of DCMTK 3.6.7 that the 3.6.8 page words differently: the TLS profiles, now retired.  And
#: where dcmqrscp's configuration is looked for (DIFFERENCES.md D16).
_REWORDED = ("--profile-bcp195", "/dcmqrscp.cfg)")


@pytest.mark.dcmtk
@each_of_dcmtk
def test_the_usage_has_dcmtks_lines(front_end: FrontEnd) -> None:
    """Same options, same words, same columns, in the same order."""
    ours = texts.usage(front_end).splitlines()
    at = 0
    for line in dcmtks_usage(front_end.tool)[1:]:
        if any(word in line for word in _REWORDED) or not line.strip():
            continue
        assert line.rstrip() in ours[at:], line
        at += ours[at:].index(line.rstrip()) + 1
