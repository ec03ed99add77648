"""From the old pipeline to the proposal: files, what replaces what, what a person has to decide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import septum
from septum.adopting import configs, dumping, extras, facts, secrets
from septum.adopting.configs import MKSHAPESRDF, Config
from septum.adopting.extras import AFTER, Extra
from septum.adopting.include import extra_rules, image_name, include_of, uses_broker
from septum.adopting.jobs import OldPipeline, Read
from septum.adopting.kept import Kept, kept_of
from septum.adopting.rows import MAIN, RowMaker
from septum.adopting.secrets import Secret
from septum.adopting.units import Chain, Unit, chain_of
from septum.adopting.values import Found, Proposal, Row, Step
from septum.errors import AdoptError
from septum.preview.assemble import stages_of

BACKUP = ".gitlab-ci.before-septum.yml"
"""Where the old pipeline is kept."""
LEAKED = "docs/how-to/when-a-secret-has-leaked.md"
_IMAGE_VARIABLES = re.compile(r"(?:SINGULARITY|APPTAINER)_\w+")


def propose(pipeline: OldPipeline, *, name: str, cluster: str, read: Read) -> Proposal:
    """Make the proposal.

    Args:
        pipeline: The old pipeline.
        name: Of the analysis.
        cluster: A profile that the user has named; empty if none.
        read: Gives the files of the repository.

    Raises:
        AdoptError: It cannot be adopted.
    """
    chain = _chain_of(pipeline)
    way = facts.access(chain.jobs, chosen=cluster, shared=pipeline.body.get("variables"))
    texts = dict(pipeline.texts)
    made = [(unit, configs.config_of(unit, chain, _name(name, unit), _noting(read, texts))) for unit in chain.units]
    hidden = _secrets(texts)
    references = {each.value: f"${{SECRET_{number}}}" for number, each in enumerate(_each_value(hidden), 1)}
    _refer(made, hidden, references)
    extra = extras.extra_of(chain, made)
    variables = _variables(pipeline, chain, made, way.variables, hidden)
    ci, kept, asked = _pipeline(pipeline, chain, made, extra, way.cluster, variables, (hidden, references))
    new = {MAIN: ci, **_configs(made), f"clusters/{facts.SITE}.yaml": way.profile}
    files = {path: secrets.refer_by_line(text, hidden, references) for path, text in new.items() if text}
    maker = RowMaker(
        pipeline=pipeline, chain=chain, configs=made, files=files, cluster=way.cluster,
        broker=any(uses_broker(job) for job in chain.jobs), kept_before=extra.before, kept_after=extra.after,
        variables=variables, secret_values=frozenset(references),
    )  # fmt: skip
    rows = maker.rows()
    said = [
        *_secret_questions(hidden, references, files), *chain.questions, *way.questions, *asked,
        *(text for _, each in made for text in each.questions), *maker.asked, *kept.questions,
        *_about_the_rest(pipeline, chain, extra, rows, kept),
    ]  # fmt: skip
    return Proposal(
        source=pipeline.source, component=made[0][1].component, cluster=way.cluster, variables=way.project,
        rows=tuple(_hidden(row, hidden) for row in rows), files=files, kept=kept.names,
        questions=tuple(secrets.hide(text, hidden) for text in dict.fromkeys(said)),
    )  # fmt: skip


def _pipeline(
    pipeline: OldPipeline,
    chain: Chain,
    made: Sequence[tuple[Unit, Config]],
    extra: Extra,
    cluster: str,
    variables: Mapping[str, object],
    secret: tuple[Sequence[Secret], Mapping[str, str]],
) -> tuple[str, Kept, list[str]]:
    """The text of the new pipeline, what stays in it of the old one, and what a person has to look at."""
    last = [unit.prefix + ("result" if each.component == MKSHAPESRDF else "collect") for unit, each in made]
    after = ["after-septum"] if extra.after else []
    gone = frozenset(job.name for job in chain.jobs)
    kept = kept_of(pipeline, gone, [*last, *after], chain.results)
    includes = [
        include_of(unit, each, cluster=cluster, version=_version(), gone=gone, stages="stages" in pipeline.body)
        for unit, each in made
    ]
    entries = [each.entry for each in includes]
    rules = extra_rules(entries[0], cluster)
    jobs = extras.jobs_of(pipeline, chain, _referring(extra, *secret), last, rules)
    asked = [text for each in includes for text in each.questions]
    top: dict[str, object] = {}
    if not kept.names and not jobs and any("rules" in entry for entry in entries):
        top, said = _rules_for_all(pipeline, entries)
        asked += said
    return _pipeline_text(pipeline, kept, entries, {**top, "variables": variables}, jobs), kept, asked


def _rules_for_all(pipeline: OldPipeline, entries: Sequence[dict[str, object]]) -> tuple[dict[str, object], list[str]]:
    """Rules of the includes as those of the pipeline: GitLab refuses a file in which no CI job remains."""
    each = [entry.pop("rules", None) for entry in entries]
    if "workflow" not in pipeline.body and all(rules == each[0] for rules in each):
        return {"workflow": {"rules": each[0]}}, []
    said = (
        "the 'rules' of what goes are not taken over: nothing else is in the pipeline, and GitLab refuses a file in "
        "which no CI job remains. Write them under 'workflow': docs/how-to/choose-when-it-runs.md"
    )
    return {}, [said]


def _about_the_rest(pipeline: OldPipeline, chain: Chain, extra: Extra, rows: Sequence[Row], kept: Kept) -> list[str]:
    """Questions about what septum does not do."""
    return [
        *extras.questions_of(extra, chain.results),
        *_left(rows, pipeline),
        *_apart(chain),
        *_images(chain),
        *_later(kept, pipeline, chain),
    ]


def _noting(read: Read, texts: dict[str, str]) -> Read:
    """The same function, which leaves the texts that it gave: descriptions may hold secrets as well."""

    def noting(path: str) -> str | None:
        text = read(path)
        if text is not None:
            texts[path] = text
        return text

    return noting


def _secrets(texts: Mapping[str, str]) -> tuple[Secret, ...]:
    return tuple(each for file, text in texts.items() for each in secrets.find(text, file))


def _drop_from_environment(made: Sequence[tuple[Unit, Config]], hidden: Sequence[Secret]) -> None:
    """Take secrets out of the environment of the jobs, which is in the plan of every run."""
    for _, each in made:
        environment = each.keys.get("environment")
        if not isinstance(environment, dict):
            continue
        for name in [key for key, value in environment.items() if any(one.value in str(value) for one in hidden)]:
            del environment[name]
            each.questions.append(f"{name} is not in the environment of the jobs any more: it was a secret")
        if not environment:
            del each.keys["environment"]


def _chain_of(pipeline: OldPipeline) -> Chain:
    """What is replaced; an error about it shows lines, and not their secrets."""
    try:
        return chain_of(pipeline)
    except AdoptError as error:
        error.evidence = secrets.hide(error.evidence, _secrets(pipeline.texts))
        raise


def _refer(made: Sequence[tuple[Unit, Config]], hidden: Sequence[Secret], references: Mapping[str, str]) -> None:
    """Take secrets out of the configurations: shell lines read them from variables."""

    def safe(lines: list[str]) -> list[str]:
        return [secrets.refer_in_shell(line, hidden, references) for line in lines]

    _drop_from_environment(made, hidden)
    for _, each in made:
        prepare, framework = each.keys.get("prepare"), each.keys.get("framework")
        if isinstance(prepare, list):
            each.keys["prepare"] = safe(prepare)
        if isinstance(framework, dict):
            framework["script"] = safe(framework["script"])
        each.files = {path: safe([text])[0] for path, text in each.files.items()}
        command = each.keys.get("command")
        if isinstance(command, list) and any(one.value in word for one in hidden for word in command):
            # A name in braces would be that of a value of the parts.
            bare = {value: re.sub(r"[{}]", "", reference) for value, reference in references.items()}
            each.keys["command"] = [secrets.hide(word, hidden, bare) for word in command]
            each.questions.append(
                "the command of the jobs held a secret, which all who see the queue could read: septum gives them "
                "none. Let the program do without it, or get what it is for before the submission, under 'prepare'"
            )


def _referring(extra: Extra, hidden: Sequence[Secret], references: Mapping[str, str]) -> Extra:
    """The same statements, with variables in the place of secrets."""

    def safe(found: Sequence[Found]) -> tuple[Found, ...]:
        texts = (secrets.refer_in_shell(each.statement.text, hidden, references) for each in found)
        return tuple(
            replace(each, statement=replace(each.statement, text=text)) for each, text in zip(found, texts, strict=True)
        )

    return Extra(before=safe(extra.before), after=safe(extra.after))


def _configs(made: Sequence[tuple[Unit, Config]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for unit, each in made:
        found[unit.config] = _config_text(each)
        found |= each.files
    return found


def _version() -> str:
    return ".".join(septum.__version__.split(".")[:2])


def _name(name: str, unit: Unit) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:40] or "analysis"
    return f"{base}-{unit.slug}" if unit.slug else base


def _each_value(hidden: Sequence[Secret]) -> list[Secret]:
    return list({each.value: each for each in hidden}.values())


def _hidden(row: Row, hidden: tuple[Secret, ...]) -> Row:
    return replace(row, text=secrets.hide(row.text, hidden))


# ── what is left to a person ────────────────────────────────────────────────────────────────────────────────────


def _left(rows: Sequence[Row], pipeline: OldPipeline) -> list[str]:
    """Lines that nothing takes over."""
    found = [
        f"{row.file}:{row.first} {row.text.splitlines()[0][:100]!r} is not understood: keep it by hand"
        for row in rows
        if row.step in AFTER and not row.becomes
    ]
    return [*found, *(f"not read: {each}" for each in pipeline.unread)]


def _images(chain: Chain) -> list[str]:
    """The CI jobs that go and had another image than the one that submits."""
    own = image_name(chain.units[0].job.keywords.get("image"))
    others = {job.name: image_name(job.keywords.get("image")) for job in chain.jobs}
    return [
        f"CI job {name} ran in the image {image}: the component takes one, so see that it has what that one had"
        for name, image in others.items()
        if image and image != own
    ]


def _apart(chain: Chain) -> list[str]:
    """Constructs of which only single lines are left."""
    places = {f"{each.statement.file}:{each.statement.within}" for each in chain.found if each.statement.within}
    return [
        f"{place} is a construct that was taken apart, line by line: its loop or condition is gone" for place in places
    ]


def _later(kept: Kept, pipeline: OldPipeline, chain: Chain) -> list[str]:
    if not kept.names:
        return []
    stages = {name: number for number, name in enumerate(stages_of(pipeline.body))}
    submits = stages.get(str(chain.units[0].job.keywords.get("stage") or "test"), 0)
    later = [
        job.name for job in pipeline.jobs
        if job.name in kept.names and stages.get(str(job.keywords.get("stage") or "test"), 0) > submits
    ]  # fmt: skip
    return (
        [f"CI jobs that run later ({', '.join(later[:5])}) find the merged files in {chain.results} now"]
        if later
        else []
    )


# ── texts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _variables(
    pipeline: OldPipeline,
    chain: Chain,
    made: Sequence[tuple[Unit, Config]],
    more: Mapping[str, str],
    hidden: Sequence[Secret],
) -> dict[str, object]:
    """The variables of the new pipeline: the old ones that still mean something, and those of the cluster."""
    values = {each.value for each in hidden}
    found: dict[str, object] = {}
    top = pipeline.body.get("variables")
    listed = dict(top) if isinstance(top, dict) else {}
    if len(chain.units) == 1:
        for job in (*chain.jobs, chain.units[0].job):
            own = job.own.get("variables")
            listed |= own if isinstance(own, dict) else {}
    for name, value in listed.items():
        text = value.get("value") if isinstance(value, dict) else value
        if not name.startswith("_condor_") and not _IMAGE_VARIABLES.fullmatch(name) and str(text) not in values:
            found[str(name)] = value
    if made[0][1].component == MKSHAPESRDF:
        for each in chain.units[0].before:
            exported = configs.exported(each) if each.step is Step.ENVIRONMENT else None
            if exported and exported[1] not in values:
                found[exported[0]] = exported[1]
    if any(uses_broker(job) for job in chain.jobs):
        found |= {"SEPTUM_CLUSTER_PROXY_FROM": "broker",
                  "SEPTUM_CLUSTER_PROXY_BROKER": "https://cms-cat-grid-proxy-service.app.cern.ch/api"}  # fmt: skip
    return found | dict(more)


def _pipeline_text(
    pipeline: OldPipeline,
    kept: Kept,
    entries: Sequence[dict[str, object]],
    keywords: Mapping[str, object],
    jobs: Mapping[str, object],
) -> str:
    head = f"# Proposed by 'septum adopt' from {pipeline.source}; the old pipeline is kept as {BACKUP}.\n"
    parts = [kept.header + head + dumping.dumped({"include": [*kept.includes, *entries]})]
    parts += [dumping.dumped({name: value}) for name, value in keywords.items() if value]
    if kept.text.strip():
        parts.append(kept.text.strip("\n") + "\n")
    parts += [dumping.dumped({name: body}) for name, body in jobs.items()]
    return "\n".join(parts)


def _config_text(made: Config) -> str:
    head = "# All keys: docs/reference/septum-yaml.md\n"
    if made.component == MKSHAPESRDF:
        head = (
            "# The component mkshapesrdf knows script, outputs and merge of mkShapesRDF. What may stand here as well:\n"
            "# resources, retries, policies, compare, publish (docs/reference/septum-yaml.md).\n"
        )
    return head + dumping.of_septum(made.keys)


def _secret_questions(hidden: Sequence[Secret], references: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    found = []
    for each in hidden:
        name = references[each.value]
        used = any(name in text for text in files.values())
        kept = (
            f"; a line that is kept reads it from the CI/CD variable {name[2:-1]} now: masked, protected"
            if used
            else ""
        )
        found.append(
            f"{each.file}:{each.line} holds a secret: {each.kind}. Everybody who can read the repository has it: "
            f"replace it first ({LEAKED}), and store the new one as a masked, protected CI/CD variable{kept}"
        )
    return found
