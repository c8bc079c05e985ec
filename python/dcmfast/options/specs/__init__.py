"""The front ends' command lines, one module each.

A receiver imports its own alone; `all_front_ends` is for what shows or checks all of them.
"""

from __future__ import annotations

from dcmfast.options.option import FrontEnd


def all_front_ends() -> tuple[FrontEnd, ...]:
    """Return every front end, in the order in which they are listed."""
    from dcmfast.options.specs.dcmconv import DCMCONV
    from dcmfast.options.specs.dcmqridx import DCMQRIDX
    from dcmfast.options.specs.dcmqrscp import DCMQRSCP
    from dcmfast.options.specs.dcmrecv import DCMRECV
    from dcmfast.options.specs.dcmsend import DCMSEND
    from dcmfast.options.specs.echoscu import ECHOSCU
    from dcmfast.options.specs.findscu import FINDSCU
    from dcmfast.options.specs.getscu import GETSCU
    from dcmfast.options.specs.index import INDEX
    from dcmfast.options.specs.load import LOAD
    from dcmfast.options.specs.movescu import MOVESCU
    from dcmfast.options.specs.record import RECORD
    from dcmfast.options.specs.replay import REPLAY
    from dcmfast.options.specs.serve import SERVE
    from dcmfast.options.specs.show import SHOW
    from dcmfast.options.specs.storescp import STORESCP
    from dcmfast.options.specs.storescu import STORESCU

    return (
        STORESCP,
        DCMRECV,
        DCMQRSCP,
        SERVE,
        INDEX,
        DCMQRIDX,
        LOAD,
        RECORD,
        REPLAY,
        SHOW,
        ECHOSCU,
        STORESCU,
        DCMSEND,
        FINDSCU,
        GETSCU,
        MOVESCU,
        DCMCONV,
    )
