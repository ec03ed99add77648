"""The configuration of the personal pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.facility.debian import USER
from septum.facility.sandbox import POOL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEDD_NAME = "septum@localhost"

_TEMPLATE = """\
LOCAL_DIR = {pool}
LOCAL_CONFIG_DIR =
LOCAL_CONFIG_FILE =
LOG = $(LOCAL_DIR)/log
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/execute
LOCK = $(LOCAL_DIR)/lock
RUN = $(LOCAL_DIR)/run
ETC = $(LOCAL_DIR)/etc
RELEASE_DIR = /usr
LIBEXEC = /usr/libexec/condor
LIB = /usr/lib/condor
SHARE = /usr/share/condor
MAIL =
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD

# One port for everything. The client checks the host certificate against HOST_ALIAS.
CONDOR_HOST = localhost
COLLECTOR_HOST = localhost:{port}
COLLECTOR_PORT = {port}
SHARED_PORT_PORT = {port}
USE_SHARED_PORT = True
HOST_ALIAS = localhost
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
SCHEDD_NAME = {schedd}
UID_DOMAIN = pool.test
FILESYSTEM_DOMAIN = pool.test
TRUST_DOMAIN = pool.test

# The daemons know each other by the file system, the clients come with tokens.
use security:recommended({user}, {user}@*)
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, SCITOKENS, IDTOKENS
SEC_PASSWORD_DIRECTORY = $(LOCAL_DIR)/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = $(LOCAL_DIR)/tokens.d
AUTH_SSL_SERVER_CERTFILE = $(ETC)/localhost.pem
AUTH_SSL_SERVER_KEYFILE = $(ETC)/localhost.key
AUTH_SSL_SERVER_CAFILE = $(ETC)/ca.pem
AUTH_SSL_CLIENT_CAFILE = $(ETC)/ca.pem
COLLECTOR_BOOTSTRAP_SSL_CERTIFICATE = False
SCITOKENS_SERVER_AUDIENCE = {audience}
SEC_SCITOKENS_CACHE = $(LOCAL_DIR)/keys
CERTIFICATE_MAPFILE = $(ETC)/mapfile

# The starter has no power to change mounts here, and there is no root to keep keys for.
MOUNT_UNDER_SCRATCH =
MOUNT_PRIVATE_DEV_SHM = False
DISCARD_SESSION_KEYRING_ON_STARTUP = False
# Without it each slot looks for left-over processes for 3 s after every job.
USE_PROCD = True
# Nothing here has to survive a power cut.
CONDOR_FSYNC = False

SINGULARITY = /usr/bin/apptainer
SINGULARITY_EXTRA_ARGUMENTS = --userns
SINGULARITY_RUN_TEST_BEFORE_JOB = False
# Like a site that shows its software to every container.
SINGULARITY_BIND_EXPR = "{modules}"

# A claim of more than the machine has: what waits needs no core.
NUM_CPUS = {slots}
MEMORY = 1048576
use feature:PartitionableSlot
JOB_DEFAULT_REQUESTMEMORY = 16
# The default of 1 GB would let the disk of a small machine decide how many jobs run.
JOB_DEFAULT_REQUESTDISK = 1024
CLAIM_WORKLIFE = 86400
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 5
SCHEDD_MIN_INTERVAL = 1
JOB_START_DELAY = 0
JOB_STOP_DELAY = 0
UPDATE_INTERVAL = 5
POLLING_INTERVAL = 2
RUNBENCHMARKS = False
STARTER_INITIAL_UPDATE_INTERVAL = 2
STARTER_UPDATE_INTERVAL = 5
SHADOW_QUEUE_UPDATE_INTERVAL = 5
PERIODIC_EXPR_INTERVAL = 5
MAX_PERIODIC_EXPR_INTERVAL = 10
"""


def condor_config(*, port: int, slots: int, audience: str, modules: str, extra: Sequence[str]) -> str:
    """Write the configuration file.

    Args:
        port: The one port of the pool.
        slots: How many jobs may run at the same time.
        audience: What a token may name as audience, beside `https://wlcg.cern.ch/jwt/v1/any`.
        modules: The folder with the workers' Python modules, as seen inside.
        extra: Lines that come last and so win.
    """
    text = _TEMPLATE.format(
        pool=POOL, port=port, schedd=SCHEDD_NAME, user=USER, audience=audience, slots=slots, modules=modules
    )
    return text + "".join(f"{line}\n" for line in extra)


def mapfile(users: Mapping[str, str], issuer: str) -> str:
    """Write the file that says which token subject is which account.

    Args:
        users: Token subject, account.
        issuer: The issuer's URL, exactly as in the tokens.
    """
    return "".join(f"SCITOKENS {issuer},{subject} {account}\n" for subject, account in users.items())
