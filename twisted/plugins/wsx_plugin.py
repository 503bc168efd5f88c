"""Tells twistd of ``twistd wsx``. Neither this folder nor its parent may have ``__init__.py``."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

wsx_service_maker = ServiceMaker(
    "wsx", "wsx.tap", "A WebSocket client: your handler class, kept connected.", "wsx"
)

uvloop_reactor = Reactor(
    "uvloop", "wsx._twistd.uvloop", "asyncio's reactor on uvloop, the fastest (pip install uvloop)."
)
