"""A rehearsal facility: a real HTCondor pool, token issuer, VOMS proxies and pipeline runner, without root."""

from septum.facility.errors import FacilityError
from septum.facility.facility import USERS, Facility, available
from septum.facility.issuer import ANY_AUDIENCE, CLIENTS, COMPUTE_SCOPES, Client
from septum.facility.pipeline import SERVER, Library, Pipeline, PipelineResult
from septum.facility.pool import IMAGE, Endpoint, Pool

__all__ = [
    "ANY_AUDIENCE",
    "CLIENTS",
    "COMPUTE_SCOPES",
    "IMAGE",
    "SERVER",
    "USERS",
    "Client",
    "Endpoint",
    "Facility",
    "FacilityError",
    "Library",
    "Pipeline",
    "PipelineResult",
    "Pool",
    "available",
]
