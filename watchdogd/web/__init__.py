"""What programs ask over HTTP: metrics and health, read only, from the View and never from the loop."""

from watchdogd.web.routes import Routes
from watchdogd.web.server import WebServer

__all__ = ["Routes", "WebServer"]
