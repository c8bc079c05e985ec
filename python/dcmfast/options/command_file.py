"""Command files: an argument ``@name`` stands for the arguments in that file.

Source: "Command line" in DCMTK's manual pages, and its running programs.  The only part of the
grammar that reads a file.
"""

from __future__ import annotations

from dcmfast.errors import CommandLineError

_SEPARATORS = " \t\n\r"
_QUOTES = "\"'"


def expand(arguments: list[str]) -> list[str]:
    """Replace every ``@name`` by the arguments of that file; once, so files do not nest.

    Raises
    ------
    CommandLineError
        A file cannot be opened.
    """
    expanded: list[str] = []
    for argument in arguments:
        if len(argument) < 2 or argument[0] != "@":
            expanded.append(argument)
            continue
        name = argument[1:]
        try:
            # The bytes of an argument are the user's; surrogateescape is how sys.argv keeps them.
            with open(name, encoding="utf-8", errors="surrogateescape", newline="") as file:
                text = file.read()
        except (OSError, ValueError):
            raise CommandLineError(f"Cannot open command file '{name}'") from None
        expanded += split(text)
    return expanded


def split(text: str) -> list[str]:
    """Split the text of a command file into arguments.

    Blanks, tabs and line ends separate.  Quotes of either kind take everything up to their like;
    there is no escape.  A closing quote ends the argument and an opening one does not, so that
    ``ab"c d"e`` is ``abc d`` and ``e``.  Without a closing quote the rest of the file is one
    argument.
    """
    arguments: list[str] = []
    word = ""
    has_word = False
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character in _QUOTES:
            end = text.find(character, at)
            end = len(text) if end < 0 else end
            arguments.append(word + text[at:end])
            word, has_word = "", False
            at = end + 1
        elif character in _SEPARATORS:
            if has_word:
                arguments.append(word)
            word, has_word = "", False
        else:
            word += character
            has_word = True
    if has_word:
        arguments.append(word)
    return arguments
