"""A plan as a Snakefile that people can read and that needs nothing of septum: a rule a part, a rule a result. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from septum.errors import ExportError
from septum.plan import InputFile, Merge, Part, Plan, all_values, argv, path_of

FILE = "Snakefile"
_RULES_BEGIN = "# ── from here on, in the Snakefile ──\n"
LONGEST_B = 90_000
"""Of a rule's command. The kernel takes 128 kB as one word, and REANA sends four bytes for three."""
_STRANGE_TO_ROOT = re.compile(r"[^\w./+,=@%:-]")
_JOINED = {
    ".root": "hadd -f {output:q} {input:q}",
    ".txt": "awk 1 {input:q} > {output:q}",
    ".log": "awk 1 {input:q} > {output:q}",
    ".csv": "awk 'FNR > 1 || NR == 1' {input:q} > {output:q}",
    ".tsv": "awk 'FNR > 1 || NR == 1' {input:q} > {output:q}",
}
"""What merges files of an ending, where septum is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a rule says of the place that it runs in.

    Attributes:
        image: The container image, `docker://…` or a path below /cvmfs.
        resources: REANA's resources that all rules ask for: `kerberos`, `compute_backend` and the like.
    """

    image: str
    resources: Mapping[str, str | int | bool] = field(default_factory=dict)


def folder_of(part: Part) -> str:
    """Where the outputs of a part come to stand."""
    return f"results/parts/{part.id}"


def outputs_of(plan: Plan, part: Part) -> list[str]:
    """The outputs of a part, in the workspace."""
    return [f"{folder_of(part)}/{plan.output_path(part, number)}" for number in range(len(plan.outputs))]


def is_merged(merge: Merge) -> bool:
    """Whether a result can be made without septum."""
    return merge.command is not None or ending_of(merge.result) in _JOINED


def ending_of(result: str) -> str:
    """The ending of a result, with its dot."""
    return "." + result.rpartition("/")[2].rpartition(".")[2]


def way_of(merge: Merge) -> str:
    """The program that makes a result."""
    return "its own command" if merge.command is not None else _JOINED[ending_of(merge.result)].split()[0]


def results_of(plan: Plan) -> list[str]:
    """The results that the workflow makes, in the workspace."""
    return [f"results/{merge.result}" for merge in plan.merges if is_merged(merge)]


def left_outputs(plan: Plan) -> list[str]:
    """The outputs that go into no result of the workflow, and so are what it leaves."""
    taken = {(merge.output, part) for merge in plan.merges if is_merged(merge) for part in merge.parts}
    return [
        path
        for part in plan.parts
        for number, path in enumerate(outputs_of(plan, part))
        if (number, part.id) not in taken
    ]


def text_of(plan: Plan, site: Site, head: Sequence[str] = ()) -> str:
    """The Snakefile.

    Args:
        plan: The plan.
        site: What the rules say of their place.
        head: Comments for its top.

    Raises:
        ExportError: Snakemake has no way to say something of the plan: braces in the name of a file, a command that no
            shell takes as one word.
    """
    _check_paths(plan)
    rules = [_all(plan), *(_part(plan, part, site) for part in plan.parts), *_merges(plan, site)]
    return "\n\n".join(["\n".join(_head(plan, site, head)), *rules]) + "\n"


def _head(plan: Plan, site: Site, head: Sequence[str]) -> Iterator[str]:
    yield from head
    yield f"IMAGE = {literal(site.image)}"
    yield from _constant("INPUTS", [file.path for file in plan.inputs])
    yield from _constant("EXECUTABLE", _executable(plan.inputs))
    yield f"SHELL = {literal(plan.shell)}"
    yield from _constant("ENVIRONMENT", dict(plan.environment))
    yield from _constant("SETUP", [line for line in plan.setup if line.strip() and not line.lstrip().startswith("#")])
    if isinstance(plan.command, str):
        yield f"COMMAND = {literal(plan.command)}"
    yield ""
    yield "# From here to `rule all`: how the job of a rule is put together."
    source = files("septum.reana").joinpath("rules.py").read_text(encoding="utf-8")
    yield "import shlex\n\n"
    yield source.partition(_RULES_BEGIN)[2].rstrip("\n") + "\n"


def _executable(inputs: Iterable[InputFile]) -> list[str]:
    return [file.path for file in inputs if file.executable]


def _constant(name: str, value: Sequence[str] | Mapping[str, str]) -> Iterator[str]:
    """An assignment, a line for each item if there are some."""
    opening, closing = ("{", "}") if isinstance(value, Mapping) else ("[", "]")
    if not value:
        yield f"{name} = {opening}{closing}"
        return
    yield f"{name} = {opening}"
    if isinstance(value, Mapping):
        yield from (f"    {literal(key)}: {literal(item)}," for key, item in value.items())
    else:
        yield from (f"    {literal(item)}," for item in value)
    yield closing


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _all(plan: Plan) -> str:
    return "\n".join(["rule all:", "    input:", *_items([*results_of(plan), *left_outputs(plan)])])


def _items(paths: Iterable[str]) -> Iterator[str]:
    return (f"        {literal(path)}," for path in paths)


def _rule(name: str, sections: Mapping[str, Iterable[str]], shell: str, *, about: str = "") -> str:
    lines = [f"# {about}"] if about else []
    lines.append(f"rule {name}:")
    for keyword, items in sections.items():
        found = list(items)
        lines += [f"    {keyword}:", *found] if found else []
    return "\n".join([*lines, "    shell:", f"        {shell}"])


def _part(plan: Plan, part: Part, site: Site) -> str:
    values = {
        key: value if isinstance(value, str) else "\n".join(value) for key, value in all_values(plan, part).items()
    }
    words = argv(plan, part)
    _check_length(plan, part, values, words)
    command = "COMMAND" if words is None else _list(words)
    own = list(_items(file.path for file in part.inputs))
    arguments = [literal(part.id), _mapping(values), command, "SHELL, ENVIRONMENT, SETUP, EXECUTABLE"]
    if programs := _executable(part.inputs):
        arguments[-1] += f" + {_list(programs)}"
    call = "part(\n" + "".join(f"            {argument},\n" for argument in arguments) + "        )"
    sections = {
        "input": ["        *INPUTS,", *own] if plan.inputs else own,
        "output": _items(outputs_of(plan, part)),
        **_place(site, plan.request.memory_b, plan.request.time_s),
        "threads": [f"        {plan.request.cpus}"] if (plan.request.cpus or 1) > 1 else [],
    }
    return _rule(f"part_{part.id}", sections, call, about=part.describe())


def _place(site: Site, memory_b: int | None, time_s: int | None) -> dict[str, Iterable[str]]:
    resources: dict[str, str | int | bool] = dict(site.resources)
    if memory_b is not None:
        resources["kubernetes_memory_limit"] = memory_text(memory_b)
    if time_s is not None:
        resources["kubernetes_job_timeout"] = time_s
    shown = (f"{key}={literal(value) if isinstance(value, str) else value}" for key, value in resources.items())
    return {"container": ["        IMAGE"], "resources": [f"        {item}," for item in shown]}


def memory_text(size_b: int) -> str:
    """A size as Kubernetes writes it, exactly: `2Gi`, `500Mi`."""
    for unit, factor in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if size_b % factor == 0:
            return f"{size_b // factor}{unit}"
    return str(size_b)


def _merges(plan: Plan, site: Site) -> Iterator[str]:
    taken: set[str] = set()
    for number, merge in enumerate(plan.merges):
        if not is_merged(merge):
            continue
        name = "merge_" + re.sub(r"\W", "_", merge.result, flags=re.ASCII)
        name = f"{name}_{number}" if name in taken else name
        taken.add(name)
        sources = [outputs_of(plan, plan.by_id[part])[merge.output] for part in merge.parts]
        if merge.command is not None:
            yield _own_merge(plan, merge, name, sources, site)
        else:
            yield from _joined(merge.result, name, sources, site)


def _own_merge(plan: Plan, merge: Merge, name: str, sources: Sequence[str], site: Site) -> str:
    places = {
        source: path_of(merge.at, plan, plan.by_id[part]) for source, part in zip(sources, merge.parts, strict=True)
    }
    command = literal(merge.command) if isinstance(merge.command, str) else _list(merge.command or ())
    lines = ["merge(", f"            {literal(name)}, INPUTS,", "            {"]
    lines += [f"                {literal(source)}: {literal(place)}," for source, place in places.items()]
    lines += [
        "            },",
        f"            {literal(merge.product)},",
        f"            {command},",
        "            SHELL, EXECUTABLE,",
    ]
    inputs = [file.path for file in plan.inputs]
    executable = _executable(plan.inputs)
    text = rules_call("merge", name, inputs, places, merge.product, merge.command, plan.shell, executable)
    _refuse_long(text, f"the merge of {merge.result}")
    sections = {
        "input": [*(["        *INPUTS,"] if plan.inputs else []), *_items(sources)],
        "output": _items([f"results/{merge.result}"]),
        **_place(site, None, None),
    }
    return _rule(name, sections, "\n".join([*lines, "        )"]))


def _joined(result: str, name: str, sources: Sequence[str], site: Site) -> Iterator[str]:
    """A rule that joins files in their order; where one shell cannot name them all, rules for ranges of them before."""
    ending = ending_of(result)
    if ending == ".root":
        _check_for_root([f"results/{result}", *sources])
    groups = _groups(sources)
    if len(groups) > 1:
        ranges = [f"work/{name}_{number}{ending}" for number in range(len(groups))]
        for number, group in enumerate(groups):
            yield _join(f"{name}_range_{number}", group, ranges[number], ending, site)
        yield from _joined(result, name, ranges, site)
        return
    yield _join(name, sources, f"results/{result}", ending, site)


def _join(name: str, sources: Sequence[str], target: str, ending: str, site: Site) -> str:
    sections = {"input": _items(sources), "output": _items([target]), **_place(site, None, None)}
    # REANA does not make the folders of outputs, as Snakemake does; `results` and `work` are those of the parts.
    folder = target.rpartition("/")[0]
    made = f"mkdir -p {shlex.quote(folder)} && " if "/" in folder else ""
    return _rule(name, sections, literal(made + _JOINED[ending]))


def _groups(sources: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    length = 0
    for source in sources:
        size = len(shlex.quote(source).encode()) + 1
        if groups[-1] and length + size > LONGEST_B * 2 // 3:
            groups.append([])
            length = 0
        groups[-1].append(source)
        length += size
    return groups


# ── what cannot be said ─────────────────────────────────────────────────────────────────────────────────────────


def rules_call(function: str, *arguments: object) -> str:
    """What a function of the Snakefile gives for these arguments, as Snakemake will have it."""
    from septum.reana import rules

    text: str = getattr(rules, function)(*arguments)
    return text


def _check_length(plan: Plan, part: Part, values: dict[str, str], words: Sequence[str] | None) -> None:
    command = plan.command if words is None else list(words)
    setup = [line for line in plan.setup if line.strip()]
    programs = _executable((*plan.inputs, *part.inputs))
    text = rules_call("part", part.id, values, command, plan.shell, dict(plan.environment), setup, programs)
    paths = [file.path for file in (*plan.inputs, *part.inputs)] + outputs_of(plan, part)
    _refuse_long(text + " ".join(map(shlex.quote, paths)), part.describe())


def _refuse_long(text: str, whose: str) -> None:
    size_b = len(text.encode())
    if size_b > LONGEST_B:
        raise ExportError(
            f"export: the command of {whose} is too long for a rule of Snakemake",
            evidence=f"{size_b} bytes with its values and inputs; a shell takes {LONGEST_B}",
            fix="give the part the name of a file that holds the list, or fewer files in each part; "
            "septum itself has no such limit",
        )


def _check_paths(plan: Plan) -> None:
    paths = [file.path for file in plan.inputs]
    for part in plan.parts:
        paths += [file.path for file in part.inputs] + outputs_of(plan, part)
        paths += [path_of(merge.at, plan, part) for merge in plan.merges if merge.at and part.id in merge.parts]
    paths += [f"results/{merge.result}" for merge in plan.merges] + [merge.product for merge in plan.merges]
    for path in paths:
        if "{" in path or "}" in path or path.startswith("~"):
            raise ExportError(
                f"export: Snakemake cannot name the file {path!r}",
                evidence="braces are wildcards to it, and ~ is the home folder",
                fix="rename the file",
            )


def _check_for_root(paths: Iterable[str]) -> None:
    for path in paths:
        if strange := _STRANGE_TO_ROOT.search(path):
            raise ExportError(
                f"export: hadd does not take the file {path!r} by its name",
                evidence=f"ROOT reads {strange[0]!r} in its own way",
                fix="use letters, digits and . _ + , = @ % : - in the names of ROOT outputs",
            )


# ── Python text ─────────────────────────────────────────────────────────────────────────────────────────────────


def literal(text: str) -> str:
    """A text as Python writes it: in three quotes if it has lines and can be read so, else with escapes."""
    has_lines = "\n" in text.rstrip("\n") and all(c.isprintable() or c == "\n" for c in text)
    if has_lines and '"""' not in text and "\\" not in text and not text.endswith('"'):
        return f'"""{_BREAK}{text}"""'
    return '"' + "".join(map(_escaped, text)) + '"'


_BREAK = "\\\n"
"""Continues the line, so that a text begins at the left."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 - what four digits hold


def _list(words: Iterable[str]) -> str:
    return "[" + ", ".join(map(literal, words)) + "]"


def _mapping(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{literal(key)}: {literal(value)}" for key, value in values.items()) + "}"
