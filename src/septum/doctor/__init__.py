"""`septum doctor`: try everything that a run needs, and say for each failure its cause and what to do.

`report` has the values, `runner` runs checks beside each other, the other modules are the checks. None of them prints.
"""

from septum.doctor.checks import examine
from septum.doctor.report import Check

__all__ = ["Check", "examine"]
