"""Stands in for HTCondor's Python bindings while a framework is recorded: to import them is harmless, to use them not.

Runs in the Python of the analysis image, whichever that is: nothing newer than Python 3.7, and no import of septum.
"""
# ruff: noqa: INP001 - it is copied out, under the names of the modules

import os
import sys

_WHY = (
    "submits by HTCondor's Python bindings, which septum cannot record. Let the framework call condor_submit, or "
    "describe its parts in septum.yaml ('command' and 'parts')"
)


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    recording = os.environ.get("SEPTUM_RECORDING")
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "place")  # noqa: PTH100, PTH118, PTH120
    if not recording and os.path.isfile(place):  # noqa: PTH113
        with open(place) as told:  # noqa: PTH123
            recording = told.read().rstrip("\n")
    if recording:
        with open(os.path.join(recording, "refused"), "a") as refused:  # noqa: PTH118, PTH123 - as old images have it
            refused.write("%s.%s\t%s\n" % (__name__, name, _WHY))  # noqa: UP031
    sys.stderr.write("septum: %s.%s: the framework %s\n" % (__name__, name, _WHY))  # noqa: UP031
    raise NotImplementedError("%s.%s: the framework %s" % (__name__, name, _WHY))  # noqa: UP031
