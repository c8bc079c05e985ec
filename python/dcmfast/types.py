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
