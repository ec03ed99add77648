"""The stages of a run, wired: prepare, submit, collect. Here the pure parts and the edges meet; nothing prints.

Each stage takes its options and a function that takes lines for people, and returns values or raises a `SeptumError`.
"""

from septum.stages.cancel import cancel
from septum.stages.collect import Collected, check_engines, collect, is_collected, retire_results
from septum.stages.prepare import make_plan, prepare
from septum.stages.record import lay_recorder
from septum.stages.submit import Submitted, submit
from septum.stages.sweep import Swept, sweep
from septum.stages.wiring import Options

__all__ = [
    "Collected",
    "Options",
    "Submitted",
    "Swept",
    "cancel",
    "check_engines",
    "collect",
    "is_collected",
    "lay_recorder",
    "make_plan",
    "prepare",
    "retire_results",
    "submit",
    "sweep",
]
