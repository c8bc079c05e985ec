"""Types of the fixtures in ``conftest.py``, for annotations."""

from __future__ import annotations

from collections.abc import Callable

from testkit.peer import ScriptedPeer
from testkit.process import Receiver

#: Starts a receiver: ``start(tool, *arguments, implementation=..., directory=..., ...)``.
StartReceiver = Callable[..., Receiver]
#: Opens a raw connection to a receiver: ``connect(receiver)``.
Connect = Callable[..., ScriptedPeer]
#: The module's receiver of an implementation: ``storescp_of("dcmfast")``.
StorescpOf = Callable[[str], Receiver]
