"""Put the data dictionary that ``DCMDICTPATH`` names in the place of the built-in one."""

from __future__ import annotations

from dcmfast import _rust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dcmfast.observe.logs import Log
    from dcmfast.options.conversion_settings import ConversionSettings
    from dcmfast.options.index_settings import RegisterSettings
    from dcmfast.options.settings import GeneralSettings


def use(settings: GeneralSettings | ConversionSettings | RegisterSettings, log: Log) -> None:
    """Tell what reading the files has shown, and hand their entries to the engine, if any.

    A process has one dictionary for as long as it lives.
    """
    if settings.dictionary is None:
        return
    for letter, text in settings.dictionary.lines:
        # The reader is a library's in DCMTK, and the warning the tool's own.
        log.line(letter, text, logger="" if letter == "W" else "dcmtk.dcmdata")
    _rust.use_dictionary(list(settings.dictionary.entries))


def install(environment: Mapping[str, str]) -> None:
    """Hand over the entries early, for names on the command line; `use` says what is wrong.

    Only the first call does anything: a command line may have many names.
    """
    if _installed:
        return
    # Imported here: few environments have it, and no tool without keys needs it.
    from dcmfast.options.settings import dictionary

    found = dictionary(environment)
    if found is not None:
        _rust.use_dictionary(list(found.entries))
    _installed.append(True)


#: Filled by the first `install`.
_installed: list[bool] = []
