"""The backend `htcondor`: jobs on a remote schedd, over the bindings in a process of their own."""

from septum.backends.htcondor.backend import HTCondorBackend, check

__all__ = ["HTCondorBackend", "check"]
