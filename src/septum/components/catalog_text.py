"""The page of all components: contents, inputs, CI jobs, artifacts, exit codes, variables. Pure.

What people write stands in the model; what GitLab does comes from the rendered YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from septum.components.contract.terms import ComponentTerms, JobTerms
from septum.components.model import Component, Input
from septum.components.tables import cell, code, jobs_table, shown
from septum.errors import every_error

_PREFIX = "$[[ inputs.job-prefix ]]"


def components_page(items: Sequence[Component], terms: Mapping[str, ComponentTerms], note: str) -> str:
    """The page, in Markdown.

    Args:
        items: The components, in the order of the page.
        terms: What the rendered YAML of each says, by name.
        note: What stands under the title.
    """
    lines = ["# Components", "", note, *_contents(items)]
    for item in items:
        lines += ["", *_section(item, terms[item.name])]
    return "\n".join(lines).rstrip() + "\n"


def _contents(items: Sequence[Component]) -> list[str]:
    return [
        "Each is included by itself, once or several times with different values of `job-prefix`:",
        "",
        "```yaml",
        "include:",
        f"  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/{items[0].name}@<version>",
        "    inputs: {cluster: infn-af}",
        "```",
        "",
        "| Component | What it does | CI jobs |",
        "| --- | --- | --- |",
        *(f"| [{item.name}](#{item.name}) | {cell(item.summary)} | {_named(item)} |" for item in items),
    ]


def _named(item: Component) -> str:
    return ", ".join(code(job.name) for job in item.jobs)


def _section(item: Component, terms: ComponentTerms) -> list[str]:
    name = item.name
    going = ["", f"**{item.deprecated}**"] if item.deprecated else []
    return [
        f"## {name}",
        "",
        item.summary,
        *going,
        "",
        f"### Inputs of {name}",
        "",
        f"Editors check them by [the JSON schema](components/{name}.schema.json).",
        "",
        "| Input | Type | Default | Form | Meaning |",
        "| --- | --- | --- | --- | --- |",
        *(_input_row(entry) for entry in item.inputs),
        "",
        f"### CI jobs of {name}",
        "",
        "Their names begin with the input `job-prefix`.",
        "",
        jobs_table(item),
        f"### Artifacts of {name}",
        "",
        *_artifacts(terms),
        "",
        f"### Exit codes of {name}",
        "",
        "Every exit code but 0 fails the CI job, except those that GitLab takes for something else:",
        "",
        "| Exit code | What GitLab does | CI jobs | Errors |",
        "| ---: | --- | --- | --- |",
        *_exit_rows(terms),
        "",
        f"### Variables of {name}",
        "",
        *_variables(item, terms),
    ]


def _input_row(entry: Input) -> str:
    default = "required" if entry.default is None else shown(entry.default)
    form = ", ".join(code(str(option)) for option in entry.options) or (code(entry.regex) if entry.regex else "any")
    meaning = cell(entry.description)
    meaning += f" **{entry.deprecated}**" if entry.deprecated else ""
    return f"| `{entry.name}` | {entry.type} | {default} | {form} | {meaning} |"


def _artifacts(terms: ComponentTerms) -> list[str]:
    """One row for all CI jobs that leave the same, as the hops do."""
    alike: dict[tuple[object, ...], list[str]] = {}
    rows: dict[tuple[object, ...], JobTerms] = {}
    for name, job in terms.jobs.items():
        if job.paths or job.reports:
            key = (job.paths, tuple(sorted(job.reports.items())), job.when, job.access, job.expose_as)
            alike.setdefault(key, []).append(name)
            rows[key] = job
    if not rows:
        return ["None."]
    return [
        "| CI job | Files | Reports | When | Who may read them |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {_jobs(alike[key])} | {_files(job)} | {_reports(job)} | {_when(job.when)} | {_readers(job.access)} |"
            for key, job in rows.items()
        ),
    ]


def _files(job: JobTerms) -> str:
    return ", ".join(code(path.replace("$[[ inputs.", "<").replace(" ]]", ">")) for path in job.paths) or "none"


def _reports(job: JobTerms) -> str:
    return ", ".join(map(code, sorted(job.reports))) or "none"


def _when(when: str) -> str:
    return {"on_success": "on success", "on_failure": "on failure"}.get(when, when)


def _readers(access: str) -> str:
    return {"all": "everybody who sees the pipeline", "none": "nobody"}.get(access, f"{access}s and above")


def _exit_rows(terms: ComponentTerms) -> Iterator[str]:
    retried: dict[tuple[int, int], list[str]] = {}
    warned: dict[tuple[int, str], list[str]] = {}
    for name, job in terms.jobs.items():
        for exit_code in job.retried:
            retried.setdefault((exit_code, job.retries), []).append(name)
        for exit_code in _allowed(job):
            warned.setdefault((exit_code, ""), []).append(name)
    for choice, jobs in terms.choices.items():
        for name, job in jobs.items():
            for exit_code in _allowed(job):
                warned.setdefault((exit_code, f", with `{choice.replace('=', ': ')}`"), []).append(name)
    for (exit_code, condition), names in sorted(warned.items()):
        yield f"| {_exit(exit_code)} | shows a warning{condition} | {_jobs(names)} | {_errors(exit_code)} |"
    for (exit_code, times), names in sorted(retried.items()):
        yield f"| {_exit(exit_code)} | runs it again, at most {times} times | {_jobs(names)} | {_errors(exit_code)} |"


def _allowed(job: JobTerms) -> tuple[int, ...]:
    return () if isinstance(job.allowed, bool) else job.allowed


def _exit(exit_code: int) -> str:
    return f"[{exit_code}](errors.md#exit-codes)"


def _errors(exit_code: int) -> str:
    found = sorted(error.code for error in every_error() if error.exit_code == exit_code)
    return ", ".join(f"[{name}](errors.md#{name.lower()})" for name in found)


def _variables(item: Component, terms: ComponentTerms) -> list[str]:
    carried = {entry.variable: entry.name for entry in item.inputs if entry.variable}
    own = [name for name in terms.variables if name not in carried]
    rows = [f"| `{variable}` | `{name}` |" for variable, name in carried.items()]
    table = ["septum reads the inputs from the environment:", "", "| Variable | Input |", "| --- | --- |", *rows, ""]
    others = f"Beside these, the CI jobs set {', '.join(map(code, own))}." if own else ""
    return [*(table if rows else []), *([others] if others else [])]


def _jobs(names: Sequence[str]) -> str:
    """Their names, with numbered ones such as the hops as one."""
    shown: list[str] = []
    for stem, group in groupby((name.removeprefix(_PREFIX) for name in names), _stem):
        alike = list(group)
        shown += [f"{code(alike[0])} to {code(alike[-1])}"] if stem and alike[1:] else map(code, alike)
    return ", ".join(shown)


def _stem(name: str) -> str:
    """What stands before the number at the end of a name; empty if there is none."""
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else ""
