"""What an export leaves out, each with what becomes of it: nothing is dropped without a word. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.merge import formats
from septum.reana import snakefile
from septum.units import show_duration, show_size

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.config import Analysis
    from septum.plan import Merge, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something of `septum.yaml` or of septum that the exported files do not have.

    Attributes:
        what: The key, or what it concerns.
        why: What becomes of it.
    """

    what: str
    why: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.what}: {self.why}"


def left_out(plan: Plan, analysis: Analysis, profile: Profile) -> Iterator[Left]:
    """All that the files do not say: the keys of `septum.yaml`, then what septum does of itself."""
    for what, why in (
        *_of_parts(plan, analysis),
        *(pair for merge in plan.merges for pair in _of_merge(merge)),
        *_of_results(plan, analysis),
        *_of_request(plan),
        *_of_failures(plan, analysis),
        *_of_septum(profile),
    ):
        yield Left(what=what, why=why)


def _of_parts(plan: Plan, analysis: Analysis) -> Iterator[tuple[str, str]]:
    if analysis.prepare:
        yield "prepare", "not run: run its lines before `reana-client run`, which sends the files that they make"
    if analysis.framework is not None:
        yield "framework", "not run: these are the jobs that it submitted when it ran here last"
    if plan.whole_count:
        yield "parts", f"only {len(plan.parts)} of {plan.whole_count} were chosen"
    if named := [output.path for output in plan.outputs if output.objects]:
        shown = ", ".join(named[:3]) + (" and others" if len(named) > 3 else "")  # noqa: PLR2004 - a line
        yield "outputs", f"nothing looks for the objects that must be in {shown}"


def _of_merge(merge: Merge) -> Iterator[tuple[str, str]]:
    what = f"merge: {merge.result}"
    if not snakefile.is_merged(merge):
        ending = snakefile.ending_of(merge.result)
        yield what, f"not made: no common program merges {ending} as septum does; the outputs of the parts remain"
    elif merge.command is not None:
        changes = f" or changes more than {', '.join(merge.changes)}" if merge.changes else ""
        yield what, f"made by its own command, and nothing looks whether it loses something{changes}"
        yield what, "its command finds the inputs of the parts, and no other file of the repository"
    else:
        yield what, f"septum's own exact merge is replaced by {snakefile.way_of(merge)}, {_difference(merge)}"


def _difference(merge: Merge) -> str:
    if merge.result.endswith(".root"):
        return "which must be in the image, and rounds after each addition: last digits may differ"
    if formats.ending_of(merge.result) in {".csv", ".tsv"}:
        return "which takes the header of the first part and does not compare the others"
    return "which checks nothing"


def _of_results(plan: Plan, analysis: Analysis) -> Iterator[tuple[str, str]]:
    if plan.policies:
        yield (
            "policies",
            f"nothing judges what is merged ({', '.join(f'{key}: {value}' for key, value in plan.policies)})",
        )
    if analysis.compare.model_fields_set:
        yield "compare", f"the results are not compared with {plan.compare.reference}"
    if plan.publish is not None:
        yield "publish", f"nothing is brought to {plan.publish.to}: `reana-client download` fetches the files"


def _of_request(plan: Plan) -> Iterator[tuple[str, str]]:
    request = plan.request
    if (request.cpus or 1) > 1:
        yield "resources: cpus", f"{request.cpus} threads to Snakemake; REANA gives a step no number of cores"
    if request.memory_retries_b:
        more = ", ".join(map(show_size, request.memory_retries_b))
        yield "resources: memory-retries", f"no further try with {more}"
    if request.disk_b is not None:
        yield "resources: disk", f"{show_size(request.disk_b)} are not asked for: all steps share the workspace"
    if request.time_s is not None:
        yield "resources: time", f"{show_duration(request.time_s)} hold in REANA on Kubernetes only"


def _of_failures(plan: Plan, analysis: Analysis) -> Iterator[tuple[str, str]]:
    if plan.retries:
        yield "retries", f"{plan.retries}; here the first failed step ends the workflow: `reana-client restart`"
    yield "resubmissions", f"{plan.resubmissions}; a step that REANA lost is not sent again"
    if plan.keep_sandbox_b is not None:
        yield "keep-failed-sandbox", "the folder of a failed part stays in work/ of the workspace"
    if limits := analysis.limits.model_dump(exclude_none=True, by_alias=True):
        yield "limits", f"{', '.join(f'{key}: {value}' for key, value in limits.items())}; REANA has its own"
    if plan.tolerance.rstrip("%").strip("0.") != "":
        yield "tolerance", f"{plan.tolerance}; here no part may be missing"


def _of_septum(profile: Profile) -> Iterator[tuple[str, str]]:
    needed: Sequence[str] = [
        *(["a VOMS proxy"] if profile.method == "reana" and profile.proxy != "no" else []),
        *(["a Kerberos keytab"] if profile.reana_kerberos else []),
    ]
    what = " and ".join(needed) or "what the command needs"
    yield "credentials", f"none is sent: put {what} into your account once, by `reana-client secrets-add`"
    yield "septum itself", "no checksums of what comes back, no report, no record of provenance, no lease"
