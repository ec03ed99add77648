"""`septum.yaml` as typed, frozen values. Declares every key once; JSON schema and reference page come from here.

Says nothing about clusters and reads no file: `septum.plan` turns these values into a plan.
"""

from septum.config.analysis import Analysis, Resources, RunLimits
from septum.config.framework import Framework
from septum.config.parts import EntryParts, FileParts, PartBlock, Sequence
from septum.config.reana import Reana
from septum.config.results import Comparison, MergeRule, Output, Policies, Publication
from septum.config.texts import NAME, SETTABLE_BY_SEPTUM

__all__ = [
    "NAME",
    "SETTABLE_BY_SEPTUM",
    "Analysis",
    "Comparison",
    "EntryParts",
    "FileParts",
    "Framework",
    "MergeRule",
    "Output",
    "PartBlock",
    "Policies",
    "Publication",
    "Reana",
    "Resources",
    "RunLimits",
    "Sequence",
]
