"""The one place that obtains, checks, renews and deletes credentials. The rest of septum gets paths, never secrets."""

from septum.credentials.choose import secret_variables
from septum.credentials.held import Credentials
from septum.credentials.obtain import obtain
from septum.credentials.supervisor import Supervisor

__all__ = ["Credentials", "Supervisor", "obtain", "secret_variables"]
