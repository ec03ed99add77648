"""The process that reads a recorded submit description with HTCondor's own parser; `septum.capture.procs` starts it.

The parser runs programs and reads files that a description names, some of it while it is only looked at, and a macro
that refers to itself keeps it busy for ever. So it works here, where no file, pipe, socket or program can be opened any
more, and with a limit of memory.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from typing import Any

import classad2
import htcondor2

from septum.capture.queueing import Queue, QueueError, Statement, chosen, count_of, parse, split_item, statements

_LIVE = frozenset({"process", "procid", "cluster", "clusterid", "step", "row", "itemindex", "jobid", "submit_file"})
_MARK, _END = "septum_queue", "SEPTUM_END"
# What HTCondor leaves behind in the variables of a queue statement.
_SPENT = "<Queue_item>"
_UNKNOWN = re.compile(
    r"\$(RANDOM_(?:CHOICE|INTEGER))\(|\$\((SUBMIT_TIME|YEAR|MONTH|DAY)\b|\$(F[a-z]*f[a-z]*)\(", re.IGNORECASE
)
# The last folders of a path, one for each 'd'.
_PARENTS = re.compile(r"\$F([a-z]*d[a-z]*d[a-z]*)\(((?:[^()]|\([^()]*\))*)\)", re.IGNORECASE)
_MAX_SEARCHED = 1000
_MAX_MEMORY_B = 4 * 1024**3


class _Reader:
    """Reads one call of condor_submit."""

    def __init__(self, call: dict[str, Any]) -> None:
        self._call = call
        self._recorded: list[str] | None = call["items"]
        self._answers: list[list[int]] = [list(answer) for answer in call["answers"]]
        self._submit = htcondor2.Submit("\n")
        self._macros: dict[str, str] = {}
        self._proc = 0

    def read(self) -> list[dict[str, Any]]:
        """All queue statements in order: what is the same for all its jobs, and what is each job's own."""
        self._macros = dict(self._call["presets"])
        found = []
        given = list(statements(self._call["text"]))
        if self._call["queue"] is not None:
            # A list of items in the words of the call is one line.
            bodies = [statement.body for statement in given] or [""]
            given = [Statement(body=bodies[0], arguments=self._call["queue"], inline=())]
        for statement in given or [Statement(body="", arguments="", inline=())]:
            self._parse(statement.body)
            queue = parse(self._expand_text(statement.arguments), statement.inline, self._recorded)
            found.append(self._jobs(queue))
            if queue.foreach:
                self._macros |= dict.fromkeys(queue.variables, _SPENT)
        return found

    def _parse(self, body: str) -> None:
        lines = [_assignment(name, value) for name, value in self._macros.items()]
        text = "\n".join([*lines, body, *self._call["appended"], f"queue {_MARK}", ""])
        try:
            self._submit = htcondor2.Submit(text)
        except Exception as error:
            raise QueueError(f"HTCondor cannot parse it: {_refused_line(lines, body) or error}") from error
        if self._submit.getQArgs() != _MARK:
            raise QueueError("a statement that is not 'queue' ends the description before its end")
        self._macros = {name: self._submit[name] for name in self._submit}
        _refuse_circles(self._macros)

    def _expand_text(self, text: str) -> str:
        if "$" not in text:
            return text
        self._submit[_MARK] = text
        return self._expand(_MARK)

    def _jobs(self, queue: Queue) -> dict[str, Any]:
        rows = chosen(queue) if queue.foreach else [(0, "")]
        count = count_of(queue.count, lambda text: classad2.ExprTree(text).eval())
        # HTCondor takes `queue 0` for `queue`.
        count = count or (0 if queue.foreach else 1)
        live = {name.lower() for name in queue.variables} | _LIVE
        self._refuse_unknown(live)
        names = [name for name in self._macros if name.lower() not in {item.lower() for item in queue.variables}]
        changing = _changing({name: self._macros[name] for name in names}, live)
        common = {name: self._expand(name) for name in names if name not in changing} if rows and count else {}
        jobs: list[list[Any]] = []
        values = [""] * len(queue.variables)
        for row, item in rows:
            # As HTCondor does it: an empty item leaves the variables as the one before has set them.
            if queue.foreach and item.strip():
                values = split_item(item, len(queue.variables))
                values += [""] * (len(queue.variables) - len(values))
            for step in range(count):
                cluster = self._cluster(first=not jobs)
                self._set_live(queue, values, cluster, row, step)
                self._refuse_short_paths(changing)
                own = {name: self._expand(name) for name in changing}
                pairs = [
                    [name, self._expand(name) if "$" in value else value]
                    for name, value in zip(queue.variables, values, strict=True)
                ]
                jobs.append([cluster, self._proc, pairs if queue.foreach else [], own])
                self._proc += 1
        return {"common": common, "jobs": jobs}

    def _cluster(self, *, first: bool) -> int:
        """The ClusterId of the next job: the answers of the call say how many jobs each has."""
        if self._answers and self._proc >= self._answers[0][0]:
            if not first:
                raise QueueError("the call answered with fewer jobs than the queue statement has")
            self._answers.pop(0)
            self._proc = 0
        if not self._answers:
            raise QueueError("the call answered with fewer jobs than the description has")
        return self._answers[0][1]

    def check_all_used(self) -> None:
        """See that the description has as many jobs as the call answered with."""
        if [(jobs, cluster) for jobs, cluster in self._answers[:1]] and self._answers[0][0] == self._proc:
            self._answers.pop(0)
        if any(jobs for jobs, _ in self._answers):
            raise QueueError("the call answered with more jobs than the description has")

    def _set_live(self, queue: Queue, values: list[str], cluster: int, row: int, step: int) -> None:
        process = str(self._proc)
        live = {"Process": process, "ProcId": process, "Cluster": str(cluster), "ClusterId": str(cluster)}
        live |= {"Row": str(row), "ItemIndex": str(row), "Step": str(step), "JobId": f"{cluster}.{process}"}
        live |= {"SUBMIT_FILE": self._call["name"], **dict(zip(queue.variables, values, strict=True))}
        for name, value in live.items():
            self._submit[name] = value

    def _refuse_unknown(self, known: set[str] | frozenset[str]) -> None:
        """Refuse what gives another value at each reading, or the time of the call."""
        own = known | {name.lower() for name in self._macros}
        for name, value in self._macros.items():
            for found in _UNKNOWN.finditer(value):
                what = next(group for group in found.groups() if group)
                if what.lower() not in own:
                    raise QueueError(f"{name} uses {what}, whose value only the call itself knew: {value[:80]!r}")

    def _refuse_short_paths(self, names: set[str]) -> None:
        """Refuse `$Fdd(path)` of a path with one folder: HTCondor reads beyond the beginning of the text."""
        for name in names:
            for letters, inside in _PARENTS.findall(self._macros[name]):
                self._submit[_MARK] = f"$F({inside})"
                # What is no name of a macro is taken apart as it stands.
                path = self._expand(_MARK) if re.fullmatch(r"[\w.]*", inside) else inside
                if 0 < path.count("/") < letters.lower().count("d"):
                    raise QueueError(f"{name} uses $F{letters}({inside}) of {path[:80]!r}, which has fewer folders")

    def _expand(self, name: str) -> str:
        try:
            return str(self._submit.expand(name))
        except KeyError:
            # What expands to nothing; a function with an unfit argument does as well, here and in condor_submit.
            return ""


def _assignment(name: str, value: str) -> str:
    if "\n" in value or value.endswith("\\"):
        return f"{name} @={_END}\n{value}\n@{_END}"
    return f"{name} = {value}"


def _refused_line(lines: list[str], body: str) -> str:
    """The first line with which the parser fails, for people; empty if it is none alone."""
    pieces = body.split("\n")
    if len(pieces) > _MAX_SEARCHED:
        return ""
    for end in range(1, len(pieces) + 1):
        if pieces[end - 1].rstrip().endswith("\\") or not pieces[end - 1].strip():
            continue
        try:
            htcondor2.Submit("\n".join([*lines, *pieces[:end], "queue", ""]))
        except Exception:  # noqa: BLE001 - the bindings raise plain exceptions
            if not re.match(r"\s*(?:if|el\w+)\b|.*@=", pieces[end - 1], re.IGNORECASE):
                return repr(pieces[end - 1].strip()[:100])
    return ""


def _references(value: str) -> set[str]:
    """The names of macros that a value may refer to; every word in the brackets of a function counts."""
    return {
        word.lower()
        for inside in re.findall(r"\$[A-Za-z_]*\(([^()]*)", value)
        for word in re.findall(r"[\w.]+", inside)
    }


def _changing(macros: dict[str, str], live: frozenset[str] | set[str]) -> set[str]:
    """The macros whose expansion differs between jobs, as far as one can see; too many do no harm."""
    refers = {name: _references(value) for name, value in macros.items() if "$" in value}
    # $INT(name), $EVAL(name) … take an expression, in which a name stands without '$'.
    functions = {name for name, value in macros.items() if re.search(r"\$[A-Za-z_]+\(", value)}
    # A reference inside of brackets of another one: not taken apart here.
    nested = {name for name, value in macros.items() if value.count("$") > 1 and re.search(r"\([^()]*\(", value)}
    found = {name for name, names in refers.items() if names & live} | functions | nested
    size = -1
    while size != len(found):
        size = len(found)
        lower = {name.lower() for name in found}
        found |= {name for name, names in refers.items() if names & lower}
    return found


def _refuse_circles(macros: dict[str, str]) -> None:
    """Refuse macros that refer to themselves over others: HTCondor's parser would not come back from them."""
    refers = {
        name.lower(): {found.lower() for found in re.findall(r"\$(?!ENV)[A-Za-z_]*\(\s*([\w.]+)", value, re.IGNORECASE)}
        for name, value in macros.items()
        if "$" in value
    }
    while refers:
        wanted = {other for names in refers.values() for other in names}
        ends = [name for name, names in refers.items() if not names & refers.keys() or name not in wanted]
        if not ends:
            raise QueueError(f"these macros refer to each other in a circle: {', '.join(sorted(refers)[:5])}")
        for name in ends:
            del refers[name]


def _used(call: dict[str, Any]) -> list[str]:
    """The names, in lower case, that the description refers to itself: they need not be submit commands."""
    text = "\n".join(
        [call["text"], *call["appended"], *(value for _, value in call["presets"].items()), call["queue"] or ""]
    )
    conditions = " ".join(re.findall(r"^\s*(?:if|elif)\b(.*)", text, re.IGNORECASE | re.MULTILINE))
    return sorted(_references(text) | {word.lower() for word in re.findall(r"[\w.]+", conditions)})


def _shut_in(environment: dict[str, str]) -> None:
    """From here on this process opens nothing, and sees of the environment what the call saw of it."""
    os.environ.clear()
    os.environ.update(environment)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_B, _MAX_MEMORY_B))
    # Files, folders, pipes (and so programs) and sockets all need a descriptor above the three that are open.
    os.closerange(3, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


def main() -> None:
    """Read one call from standard input, and answer on standard output."""
    call = json.load(sys.stdin)
    # The library reads its configuration and what it says of itself the first time that it is used.
    htcondor2.Submit("executable = a\narguments = $(Process)\nqueue\n").expand("arguments")
    classad2.ExprTree("1 + 1").eval()
    _shut_in(call["environment"])
    reader = _Reader(call)
    try:
        answer: dict[str, Any] = {"statements": reader.read(), "macros": _used(call)}
        reader.check_all_used()
    except QueueError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - such as a text that is not UTF-8, or no memory left
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
