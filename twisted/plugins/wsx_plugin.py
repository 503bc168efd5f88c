"""Register ``twistd wsx`` and ``twistd --reactor uvloop`` with Twisted.

Neither this folder nor its parent may contain an ``__init__.py``: it would hide this plugin or
break Twisted.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

wsx_service_maker = ServiceMaker(
    "wsx", "wsx.tap", "A WebSocket client that runs your handler class and reconnects.", "wsx"
)

uvloop_reactor = Reactor(
    "uvloop",
    "wsx._twistd.uvloop",
    "The asyncio reactor on uvloop's event loop (requires: pip install uvloop).",
)
