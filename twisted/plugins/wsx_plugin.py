"""Tells twistd of ``twistd wsx``. Neither this folder nor its parent may have ``__init__.py``."""

from twisted.application.service import ServiceMaker

wsx_service_maker = ServiceMaker(
    "wsx", "wsx.tap", "A WebSocket client: your handler class, kept connected.", "wsx"
)
