"""Jobs as steps of workflows on a REANA server, over its own API."""

from septum.backends.reana.access import check, open_client
from septum.backends.reana.backend import ReanaBackend
from septum.backends.reana.client import Client

__all__ = ["Client", "ReanaBackend", "check", "open_client"]
