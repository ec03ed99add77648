"""The one place that obtains, checks, renews and deletes credentials. The rest of septum gets paths, never secrets."""

from septum.credentials.provider import Credentials, obtain, secret_variables

__all__ = ["Credentials", "obtain", "secret_variables"]
