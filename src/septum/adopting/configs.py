"""The `septum.yaml` of an analysis that was submitted by shell lines. Pure but for the files that it reads."""

from __future__ import annotations

import itertools
import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from septum.adopting import shell, submitfile
from septum.adopting.jobs import Read
from septum.adopting.merges import Merge, joins, merges_of
from septum.adopting.recognize import MIXED
from septum.adopting.units import Chain, Unit
from septum.adopting.values import Found, Step

MKSHAPESRDF, FRAMEWORK, ANALYSIS = "mkshapesrdf", "framework", "analysis"
RUNS = frozenset({Step.ENVIRONMENT, Step.OTHER, Step.COMPILE, Step.SUBMIT, Step.UPLOAD, Step.ELSEWHERE})
"""What still has to run before the submission, where lines can be kept."""
_BASH = re.compile(
    r"\[\[|(?:^|\s)(?:function|shopt|pushd|popd|declare|local|mapfile|readarray|select)\s|<\(|>\(|<<<|&>|\$'|\w+\+=|=\(|"
    r"\$\{\w+(?:\[|\^|,|:\d|/)|\(\(|\bset\s+-o\b|\{\d+\.\.\d+\}"
)
_CALL = re.compile(r"condor_submit(?![\w.-])(?P<words>[^|;&<>)`\n]*)")
_HERE = re.compile(
    r"(?:cat|tee)\s*(?:>{1,2}\s*)?(?:(?P<first>[\w./-]+)\s*)?<<-?\s*(?P<quote>['\"\\]?)\w+['\"]?\s*"
    r"(?:>{1,2}\s*(?P<second>[\w./-]+)\s*)?\n"
)
_COPIES = re.compile(r"(?:sed|envsubst)\s(?P<words>[^\n]*?)>\s*(?P<path>[\w./-]+)\s*$")
_FILE = re.compile(r"[\w./-]+")
_REMOTE = re.compile(r"(?:root|xroot|https|davs)://[A-Za-z0-9.:/_+~{}-]+")


@dataclass(slots=True, kw_only=True)
class Config:
    """What was made for one analysis.

    Attributes:
        component: Which component runs it.
        keys: The keys of its `septum.yaml`.
        inputs: Inputs of the component that follow from it.
        image: The image that its description asks for.
        commands: The lines of its description, with the file.
        files: Further files, such as a script of the lines before the submission.
        questions: What a person has to look at.
        published: The statements that `publish` replaces.
        places: For statements that are kept, which key has them.
    """

    component: str
    keys: dict[str, object] = field(default_factory=dict)
    inputs: dict[str, object] = field(default_factory=dict)
    image: str = ""
    commands: list[tuple[str, submitfile.Command]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)
    published: list[Found] = field(default_factory=list)
    places: dict[int, str] = field(default_factory=dict)


def config_of(unit: Unit, chain: Chain, name: str, read: Read) -> Config:
    """The configuration of one analysis.

    Args:
        unit: The analysis.
        chain: All of the old pipeline.
        name: Of the analysis.
        read: Gives the files of the repository.
    """
    if any(each.rule.startswith(MKSHAPESRDF) for each in unit.before if each.step in {Step.SUBMIT, Step.COMPILE}):
        return _mkshapesrdf(unit, name)
    after = _of_unit(unit, chain)
    merges = merges_of([*unit.before, *after], unit.values)
    made = _analysis(unit, merges, read) or _framework(unit, merges, _with_written(read, unit))
    made.keys = {"name": name, **made.keys}
    _add_merge(made, merges)
    if merges:
        made.questions.append(
            "hadd took what each file had. septum refuses outputs with other objects than the rest: if samples have "
            "histograms of their own, write 'policies: {missing-objects: groups}'"
        )
    _add_publication(made, unit, after, merges)
    return made


def _of_unit(unit: Unit, chain: Chain) -> list[Found]:
    """What ran behind the submission, but in the CI jobs of other analyses."""
    others = {one.job.name for one in chain.units} - {unit.job.name}
    return [each for each in chain.after if each.statement.job not in others]


def _with_written(read: Read, unit: Unit) -> Read:
    """The same function, which also gives the descriptions that the lines before the submission write."""
    written: dict[str, str] = {}
    for each in unit.before:
        text = each.statement.text
        if here := _HERE.match(text):
            body = text.split("\n")[1:-1]
            # The shell takes these off.
            whole = "\n".join(line if here["quote"] else line.replace("\\$", "$") for line in body)
            written |= {path: whole for path in (here["first"], here["second"]) if path}
        elif copied := _COPIES.match(text):
            given = shell.words(copied["words"])
            source = next((read(word) for word in reversed(given) if _FILE.fullmatch(word) and read(word)), None)
            written |= {copied["path"]: source} if source else {}
    return lambda path: written[path] if path in written else read(path)


# ── mkShapesRDF ─────────────────────────────────────────────────────────────────────────────────────────────────


def _mkshapesrdf(unit: Unit, name: str) -> Config:
    made = Config(component=MKSHAPESRDF, keys={"name": name})
    calls = [
        each for each in unit.before if each.step in {Step.COMPILE, Step.SUBMIT} and each.rule.startswith(MKSHAPESRDF)
    ]
    folders = {each.statement.folder for each in calls}
    given = [word for each in calls for word in shell.words(each.statement.text.replace("\\\n", " "))]
    options = dict(itertools.pairwise(given))
    folder = unit.filled(calls[0].statement.folder if len(folders) == 1 else ".")
    chosen = unit.filled(options.get("-f") or options.get("--folder") or ".")
    folder = posixpath.normpath(posixpath.join(folder, chosen))
    if folder != ".":
        made.inputs["folder"] = folder
    if "$" in folder or len(folders) > 1:
        made.questions.append("the folder of configuration.py is not sure: look at the input 'folder'")
    configs = options.get("-configs") or options.get("--configsFolder")
    if configs and configs != "configs":
        made.inputs["configs"] = configs
    if "-l" in options or "--limitEvents" in options:
        made.questions.append("-l never reached the jobs of mkShapesRDF; the input 'limit' runs the first parts only")
    for each in unit.before:
        if each.step is Step.ENVIRONMENT and not each.statement.text.startswith("cd ") and not _literal(each):
            made.questions.append(
                f"{_at(each)} {_first_line(each)!r} sets something up: the component runs mkShapesRDF as its image "
                "has it on PATH. Put it into the image (ENV in its Containerfile), or see that it is not needed"
            )
    return made


def _literal(found: Found) -> bool:
    """Whether it gives a variable a plain text, which can stand in the pipeline's `variables`."""
    return bool(exported(found))


def exported(found: Found) -> tuple[str, str] | None:
    """The name and the plain text that an `export` gives it; None if it is another command."""
    match = re.fullmatch(r"export\s+([A-Za-z_]\w*)=(\"[^\"$`]*\"|'[^'$]*'|[\w./:@=+,-]*)", found.statement.text)
    return (match[1], match[2].strip("\"'")) if match and match[1] not in {"PATH", "LD_LIBRARY_PATH"} else None


# ── a plain submit description ──────────────────────────────────────────────────────────────────────────────────


def descriptions(unit: Unit) -> list[tuple[str, list[str]]]:
    """The submit descriptions that `condor_submit` is called with, by their paths, and the other words of the call."""
    found = []
    for each in unit.before:
        for match in _CALL.finditer(each.statement.text) if each.rule == "condor_submit" else ():
            words = shell.words(match["words"])
            names = [word for word in words if not word.startswith("-") and "=" not in word]
            path = posixpath.normpath(posixpath.join(each.statement.folder, unit.filled(names[-1]))) if names else ""
            found.append((path, [word for word in words if word not in {"-spool", "-terse", *names[-1:]}]))
    return found


def _analysis(unit: Unit, merges: Sequence[Merge], read: Read) -> Config | None:
    """One command and a list, if the description says no more than that; None if it has to be recorded."""
    calls = descriptions(unit)
    submits = [each for each in unit.before if each.step is Step.SUBMIT]
    if len(submits) != 1 or len(calls) != 1 or calls[0][1] or submits[0].statement.block or unit.environment:
        return None
    path = calls[0][0]
    text = read(path) if path else None
    if text is None:
        return None
    try:
        globs = [glob for merge in merges for glob in merge.globs]
        plain = submitfile.translate(text, folder=posixpath.dirname(path) or ".", read=read, globs=globs)
    except submitfile.NotPlainError:
        return None
    made = Config(component=ANALYSIS, keys=plain.keys, image=plain.image)
    made.commands = [(path, command) for command in plain.commands]
    _drop_unused(made)
    if re.search(r"'#", str(made.keys["parts"])):
        made.questions.append(
            f"the list that {path} queues from has a line with '#': HTCondor makes a job of it as well, and so does "
            "'parts'. Take it away there if it was a comment"
        )
    _prepare(made, unit)
    return made


def _drop_unused(made: Config) -> None:
    """Take the number of the job out of a list of parts whose command does not use it."""
    parts, used = made.keys["parts"], str([made.keys["command"], made.keys["outputs"]])
    rows = parts.get("list") if isinstance(parts, dict) else None
    if isinstance(rows, list) and "{Process}" not in used:
        for row in rows:
            row.pop("Process", None)


def _prepare(made: Config, unit: Unit) -> None:
    lines = [each for each in unit.before if each.step in RUNS - {Step.SUBMIT} and each.rule != MIXED]
    if not lines:
        return
    made.keys["prepare"] = [_as_written(each) for each in lines]
    if any(_BASH.search(each.statement.text) for each in lines):
        made.keys["shell"] = "bash"
    made.places = {id(each): "prepare" for each in lines}
    if any(re.match(r"export\s|source\s|\.\s|module\s|conda\s|cmsenv", each.statement.text) for each in lines):
        made.questions.append(
            "lines under 'prepare' that set up an environment reach only the lines below them: what the jobs need "
            "themselves belongs under 'setup', which runs in each part"
        )


# ── anything else that calls condor_submit ──────────────────────────────────────────────────────────────────────


def _framework(unit: Unit, merges: Sequence[Merge], read: Read) -> Config:
    made = Config(component=FRAMEWORK)
    kept = [each for each in unit.before if each.step in RUNS and each.rule != MIXED]
    lines = [f"export {name}={shlex.quote(value)}" for name, value in unit.environment.items()]
    lines += [_as_written(each) for each in kept]
    if any(_BASH.search(line) for line in lines):
        script = f".gitlab/before-{unit.slug or 'septum'}.sh"
        head = [
            "#!/usr/bin/env bash",
            "# The lines of the old pipeline up to condor_submit, which septum records.",
            "set -eo pipefail",
        ]
        made.files[script] = "\n".join([*head, *lines]) + "\n"
        made.keys["framework"] = {"script": [f"bash {script}"]}
    else:
        made.keys["framework"] = {"script": lines}
    made.places = {id(each): "framework: script" for each in kept}
    _find_outputs(made, unit, merges, read)
    for path, _ in descriptions(unit):
        for number, line in enumerate((read(path) or "").splitlines() if path else (), 1):
            if re.match(r"\s*num_retries\s*=", line, re.IGNORECASE):
                told = submitfile.Command(line=number, text=line.strip(), becomes="taken as max_retries",
                                          why="num_retries is no submit command: HTCondor ignores it")  # fmt: skip
                made.commands.append((path, told))
    return made


def _find_outputs(made: Config, unit: Unit, merges: Sequence[Merge], read: Read) -> None:
    """Say what the jobs write, unless their description does."""
    texts = [read(path) or "" for path, _ in descriptions(unit) if path]
    if texts and all(re.search(r"(?im)^\s*transfer_output_(?:files|remaps)\s*=", text) for text in texts):
        return
    globs = [posixpath.basename(glob) for merge in merges for glob in merge.globs]
    what = f", such as the old merge took: {', '.join(globs[:3])}" if globs else ""
    made.questions.append(
        "what does each job write? No description here says it (transfer_output_files): name it under 'outputs' in "
        f'{unit.config}, with the variables of the queue statement, outputs: ["hists_{{Folder}}.root"]{what}'
    )


def _as_written(found: Found) -> str:
    text = found.statement.text
    sourced = re.fullmatch(r"source\s+(\S+)(.*)", text, re.DOTALL)
    if sourced:
        path = sourced[1]
        text = f". {path if '/' in path or path[:1] in '$~' else './' + path}{sourced[2]}"
    return text


# ── merge and publication ───────────────────────────────────────────────────────────────────────────────────────


def _add_merge(made: Config, merges: Sequence[Merge]) -> None:
    outputs = made.keys.get("outputs")
    said = made.component == FRAMEWORK and not made.questions
    targets = list(dict.fromkeys(posixpath.basename(merge.target) for merge in merges))
    named = [target for target in targets if re.fullmatch(r"[\w.+=@-]+", target)]
    if said and len(targets) == 1 and named == targets:
        # The description says what the jobs bring back, and there is no more than that to merge.
        made.keys["merge"] = {named[0]: {}}
        return
    if not isinstance(outputs, list) or len(outputs) != 1:
        if targets:
            made.questions.append(f"which of the outputs is merged into {', '.join(targets[:5])}? Say it under 'merge'")
        return
    output = str(outputs[0])
    ending = posixpath.splitext(output)[1]
    if len(named) == 1 and len(targets) == 1 and posixpath.splitext(named[0])[1] == ending:
        made.keys["merge"] = {named[0]: output}
    elif len(targets) > 1 or named != targets:
        names = re.findall(r"\{(\w+)\}", str(made.keys.get("command")))
        groups = [name for name in dict.fromkeys(names) if name != "Process"]
        if groups:
            whole = [merge.target for merge in merges if joins(merge, targets) and len(merge.globs) == len(targets) - 1]
            made.keys["merge"] = {f"{{{groups[0]}}}{ending}": output, **dict.fromkeys(whole[:1], output)}
        made.questions.append(
            f"the old pipeline merged into {', '.join(targets[:5])}: look whether 'merge' says the same; "
            "docs/how-to/merge-into-several-results.md"
        )


def _add_publication(made: Config, unit: Unit, after: Sequence[Found], merges: Sequence[Merge]) -> None:
    """A merged file that was copied to storage is published by septum, with its checksum."""
    targets = {posixpath.basename(merge.target) for merge in merges}
    for each in after:
        if each.step is not Step.UPLOAD:
            continue
        given = [unit.filled(word) for word in shell.words(each.statement.text)[1:] if not word.startswith("-")]
        if len(given) == 2 and posixpath.basename(given[0]) in targets and _REMOTE.fullmatch(given[1]):  # noqa: PLR2004
            to = given[1].replace("davs://", "https://").replace("xroot://", "root://")
            folder = to if to.endswith("/") else posixpath.dirname(to) if posixpath.splitext(to)[1] else to
            made.keys["publish"] = {"to": folder.rstrip("/") + "/{run}"}
            made.published.append(each)
            made.questions.append(
                f"{_at(each)} copied the merged file to {folder}: 'publish' writes a folder a run there, and nothing "
                "over an older result; it needs a token or proxy with the right to write"
            )
            return


def _at(found: Found) -> str:
    return f"{found.statement.file}:{found.statement.first}"


def _first_line(found: Found) -> str:
    return found.statement.text.splitlines()[0][:100]
