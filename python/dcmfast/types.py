"""Values that cross modules: frozen, and valid as soon as they exist.

`Record` is the base of every one of them.  It does what a frozen, keyword-only dataclass does, to a
type checker as well, but importing `dataclasses` costs 8 ms (it pulls in `inspect`), a seventh of
what the receivers may spend from start to listening.  This module therefore imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        """Stand in for typing's decorator, which does nothing at run time."""
        return lambda decorated: decorated


#: Longest AE title in characters, PS3.5 Table 6.2-1.
AE_TITLE_CHARACTERS_MAX = 16
#: Longest UID in characters, PS3.5 §9.1.
UID_CHARACTERS_MAX = 64
#: Longest Data Set Trailing Padding, PS3.5 §7.2: what a 32-bit length of even value can say.
PADDING_BYTES_MAX = 2**32 - 2
#: Implicit VR Little Endian, Explicit VR Little and Big Endian, Deflated (PS3.5 Annex A.1, A.2,
#: A.3 and A.5): they turn into one another without touching pixels.
CONVERTIBLE_TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """A frozen value with named fields, given by keyword.

    A subclass annotates its fields; a class attribute of the same name is the default.  `validate`
    is called once all fields are there.
    """

    _fields: tuple[str, ...] = ()
    _names: frozenset[str] = frozenset()
    _required: frozenset[str] = frozenset()

    def __init_subclass__(cls) -> None:
        own = tuple(name for name in cls.__annotations__ if not name.startswith("_"))
        cls._fields = cls._fields + tuple(name for name in own if name not in cls._fields)
        cls._names = frozenset(cls._fields)
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))

    if not TYPE_CHECKING:

        def __init__(self, **values):
            if not self._required <= values.keys() <= self._names:
                wrong = sorted((self._required - values.keys()) | (values.keys() - self._names))
                raise TypeError(f"{type(self).__name__}: missing or unknown: {', '.join(wrong)}")
            self.__dict__.update(values)
            self.validate()

    def validate(self) -> None:
        """Raise ValueError if the fields do not make a valid value."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`, validated like a new value."""
        return type(self)(**{**self.__dict__, **changes})

    def as_dict(self) -> dict[str, Any]:
        """Return every field with its value, defaults included."""
        return {name: getattr(self, name) for name in self._fields}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name}")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Record)
        return self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((type(self), *self.as_dict().values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{type(self).__name__}({fields})"


class Closing:
    """What is closed at the end of ``with``."""

    def close(self) -> None:
        """End it; once it has ended this does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ending: object) -> None:
        self.close()


class Forgettable(Closing):
    """The same, closed as well when nobody has it any more: a loop was left by ``break``."""

    def __del__(self) -> None:
        try:  # noqa: SIM105
            self.close()
        except Exception:
            # Whoever forgot it cannot be told.
            pass


class AETitle(str):
    """An application entity title: at most 16 characters, no backslash, no control character.

    Source: PS3.5 Table 6.2-1 (AE).  Blanks at either end carry no meaning there and are removed.
    An empty title is let pass: DCMTK's options accept one, and its refusal is the peer's business.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the title, or raise ValueError."""
        title = text.strip(" ")
        if len(title) > AE_TITLE_CHARACTERS_MAX:
            raise ValueError(f"AE title longer than {AE_TITLE_CHARACTERS_MAX}: {text!r}")
        if "\\" in title or not title.isprintable():
            raise ValueError(f"character not allowed in an AE title: {text!r}")
        return super().__new__(cls, title)

    @classmethod
    def cut(cls, text: str) -> Self:
        """Return the title made of the first 16 characters, as DCMTK's options do."""
        return cls(text[:AE_TITLE_CHARACTERS_MAX])


class UID(str):
    """A unique identifier: at most 64 digits and dots.

    Source: PS3.5 §9.1.  Leading zeros of a component are let pass: they are common in the field.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Return the UID, or raise ValueError."""
        digits = text.replace(".", "")
        if not (digits.isascii() and digits.isdigit()) or len(text) > UID_CHARACTERS_MAX:
            raise ValueError(f"not a UID: {text!r}")
        return super().__new__(cls, text)


class PresentationContext(Record):
    """A presentation context as it is proposed: PS3.8 §9.3.2.2."""

    #: Odd, 1 to 255.
    context_id: int
    abstract_syntax: str
    #: Most wanted first.
    transfer_syntaxes: tuple[str, ...]

    def validate(self) -> None:
        """Check the ID, and that there is something to choose from."""
        if self.context_id not in range(1, 256, 2):
            raise ValueError(f"presentation context ID {self.context_id} is not odd, 1 to 255")
        if not self.transfer_syntaxes:
            raise ValueError("a presentation context needs at least one transfer syntax")


class PeerAddress(Record):
    """Where a peer listens."""

    host: str
    port: int

    def validate(self) -> None:
        """Check the port; the host is resolved later, in ``net``."""
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not within 1 to 65535")

    def __str__(self) -> str:
        """Return host and port; an IPv6 address stands in brackets (RFC 3986 §3.2.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class OutputEncoding(Record):
    """How a data set is written where it is not kept byte for byte: PS3.5 §7 and Annex A.

    The engine reads the fields by name.  The defaults are storescp's.
    """

    #: A UID of `CONVERTIBLE_TRANSFER_SYNTAXES`; empty for the one that the data set came in.
    transfer_syntax: str = ""
    #: Of sequences and items: ``explicit`` or ``undefined``, PS3.5 §7.5.
    lengths: str = "explicit"
    #: ``recalculate`` those that are there, ``create`` one for each group, or ``remove`` them all
    #: (retired, PS3.5 §7.2).
    group_lengths: str = "recalculate"
    #: Data Set Trailing Padding (FFFC,FFFC): ``keep`` it, ``remove`` it, or make it so long that
    #: the file's and each item's length are multiples of these numbers; 0 for neither.
    padding: str | tuple[int, int] = "remove"
    #: ``trim`` the padding of values to what PS3.5 §6.2 asks for, or ``keep`` it.
    values: str = "trim"
    #: False turns the VRs that the standard has had since 1993 (UN, UT and later ones) into OB.
    new_vrs: bool = True
    #: Elements of VR UN with a length of their own: ``keep``, or ``convert`` to the dictionary's.
    unknown: str = "keep"
    #: 0 to 9; None for 6, where deflated data sets that need no other change are copied.
    deflate_level: int | None = None

    def validate(self) -> None:
        """Check the words and the numbers."""
        words = {
            "lengths": ("explicit", "undefined"),
            "group_lengths": ("recalculate", "create", "remove"),
            "values": ("trim", "keep"),
            "unknown": ("keep", "convert"),
            "transfer_syntax": ("", *CONVERTIBLE_TRANSFER_SYNTAXES),
        }
        if isinstance(self.padding, str):
            words["padding"] = ("keep", "remove")
        else:
            for number in self.padding:
                if not 0 <= number <= PADDING_BYTES_MAX or number % 2:
                    raise ValueError(
                        f"padding is no even number up to {PADDING_BYTES_MAX}: {number}"
                    )
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is none of {known}: {getattr(self, name)!r}")
        if self.deflate_level is not None and not 0 <= self.deflate_level <= 9:
            raise ValueError(f"deflate_level is not within 0 to 9: {self.deflate_level}")
