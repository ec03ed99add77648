"""Submit descriptions as manuals and sites have them: the parts that septum makes are the jobs that the pool makes.

The descriptions stand in `tests/descriptions`, written anew, each with its source. Their first lines say what the call
needs: files, environment, words in front of the file's name (`Words`) and behind it (`After`), and the items that only
the call itself could know (`Item`).
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from septum.capture.procs import Proc, procs
from septum.capture.recording import Submission

if TYPE_CHECKING:
    from septum.facility import Facility

FOLDER = Path(__file__).parent.parent / "descriptions"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sub"))
AT_LEAST = 35
_UNITS_B = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A description and what its call needs."""

    name: str
    text: str
    source: str
    files: tuple[str, ...]
    contents: tuple[tuple[str, str], ...]
    environment: Mapping[str, str]
    words: tuple[str, ...]
    after: tuple[str, ...]
    items: tuple[str, ...] | None


def read_case(name: str) -> Case:
    """Read a description of `tests/descriptions` with the head that says what it needs."""
    text = (FOLDER / f"{name}.sub").read_bytes().decode()
    head: dict[str, list[str]] = {}
    for line in text.splitlines():
        found = re.fullmatch(r"# (Source|Files|Content|Environment|Words|After|Item): ?(.*)", line)
        if found is None:
            break
        head.setdefault(found[1], []).append(found[2])
    contents = [line.partition("=")[::2] for line in head.get("Content", [])]
    return Case(
        name=name,
        text=text,
        source=head.get("Source", [""])[0],
        files=tuple(head.get("Files", [])),
        contents=tuple((path, content.replace("\\n", "\n")) for path, content in contents),
        environment=dict(line.partition("=")[::2] for line in head.get("Environment", [])),
        words=tuple(word for line in head.get("Words", []) for word in shlex.split(line)),
        after=tuple(word for line in head.get("After", []) for word in shlex.split(line)),
        items=tuple(head["Item"]) if "Item" in head else None,
    )


class DryRun:
    """What the pool's own condor_submit makes of a description."""

    def __init__(self, facility: Facility, case: Case) -> None:
        self.pool = facility.pool
        self.case = case
        self.inside = f"/tmp/capture-{case.name}"
        outside = facility.pool.folder / "tmp" / f"capture-{case.name}"
        shutil.rmtree(outside, ignore_errors=True)
        outside.mkdir()
        for path, content in (*((path, "#!/bin/sh\n") for path in case.files), *case.contents):
            (outside / path).parent.mkdir(parents=True, exist_ok=True)
            (outside / path).write_text(content)
            (outside / path).chmod(0o755)
        (outside / "f.sub").write_bytes(case.text.encode())
        self.outside = outside

    def ads(self, *more: str) -> list[dict[str, str]]:
        """One ad for each job, as text."""
        case = self.case
        self.pool.run(
            "env",
            "_condor_SUBMIT_PREVENT_MULTI_QUEUE=false",
            *(f"{name}={value}" for name, value in case.environment.items()),
            "condor_submit",
            *("-dry-run", "out.ads", *(word for word in case.words if word != "-spool"), *more, "f.sub", *case.after),
            cwd=self.inside,
        )
        found: list[dict[str, str]] = []
        first: dict[str, str] = {}
        for block in (self.outside / "out.ads").read_text().split("\n\n"):
            ad = dict(line.partition("=")[::2] for line in block.strip().splitlines() if "=" in line)
            if "ClusterId" in ad:
                first = ad
            if ad:
                # Jobs after the first have what differs from it.
                found.append({**first, **ad})
        return found

    def submission(self, count: int) -> Submission:
        """The call as it would have been recorded."""
        return Submission(
            number=1,
            text=self.case.text,
            words=(*self.case.words, "f.sub", *self.case.after),
            folder=PurePosixPath(self.inside),
            environment=self.case.environment,
            answers=((count, 1),),
            items=self.case.items,
            files={},
            left_out={},
        )


def _text(ad: Mapping[str, str], name: str) -> str:
    """A text of an ad, without the quotes around it."""
    # A dry run writes ads in the old way: only quotes stand behind a backslash.
    return ad.get(name, '""')[1:-1].replace('\\"', '"')


def _unquoted(raw: str) -> list[str]:
    """The words of an attribute: HTCondor puts single quotes around spaces, and writes a quote in them twice."""
    words = re.findall(r"(?:[^\s']|'(?:[^']|'')*')+", raw)
    return [re.sub(r"'((?:[^']|'')*)'", lambda found: found[1].replace("''", "'"), word) for word in words]


def _words(ad: Mapping[str, str]) -> list[str]:
    return _text(ad, "Args").split() if "Args" in ad else _unquoted(_text(ad, "Arguments"))


def _environment(ad: Mapping[str, str]) -> dict[str, str]:
    pairs = _text(ad, "Env").split(";") if "Env" in ad else _unquoted(_text(ad, "Environment"))
    return dict(pair.partition("=")[::2] for pair in pairs)


def _quantity(text: str, default: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)\s*([KMG]?)B?", text.strip(), re.IGNORECASE).groups()  # type: ignore[union-attr]
    unit_b = _UNITS_B[(unit or default).upper()]
    return -int(-float(number) * unit_b // _UNITS_B[default])


def _check_request(proc: Proc, ad: Mapping[str, str]) -> None:
    for name, unit in (("cpus", ""), ("memory", "M"), ("disk", "K")):
        value = proc.commands.get(f"request_{name}", proc.commands.get(f"request{name}"))
        if value is not None:
            assert int(ad[f"Request{name.title()}"]) == _quantity(value, unit)


def _check(proc: Proc, ad: Mapping[str, str], inside: str) -> None:
    folder = _text(ad, "Iwd")
    assert proc.proc_id == int(ad["ProcId"])
    # HTCondor has the whole path of an executable that travels.
    assert str(PurePosixPath(inside) / proc.executable) == str(PurePosixPath(inside) / _text(ad, "Cmd"))
    assert proc.transfer_executable == (ad.get("TransferExecutable") != "false")
    assert list(proc.arguments) == _words(ad)
    assert dict(proc.environment) == _environment(ad)
    assert (proc.stdin or "/dev/null") == _text(ad, "In")
    assert str(PurePosixPath(inside) / proc.commands.get("initialdir", "")) == folder.rstrip("/")
    assert list(proc.inputs) == [name for name in _text(ad, "TransferInput").split(",") if name]
    outputs = None if "TransferOutput" not in ad else [name for name in _text(ad, "TransferOutput").split(",") if name]
    assert (None if proc.outputs is None else list(proc.outputs)) == outputs
    remaps = [pair.partition("=")[::2] for pair in _text(ad, "TransferOutputRemaps").split(";") if pair]
    assert list(proc.remaps) == [(old.strip(), new.strip()) for old, new in remaps]
    assert [log or "/dev/null" for log in proc.logs[:2]] == [_text(ad, "Out"), _text(ad, "Err")]
    _check_request(proc, ad)
    attributes = {name.lower(): value for name, value in ad.items()}
    for name, value in proc.commands.items():
        if name.startswith("my."):
            assert _squeezed(attributes[name.removeprefix("my.")]) == _squeezed(value)


def _squeezed(expression: str) -> str:
    return re.sub(r"\s+", "", expression).lower()


def _variables(found: tuple[Proc, ...], run: DryRun) -> list[dict[str, Any]]:
    """The variables of the queue statement, as the pool has them: written into attributes of the jobs."""
    names = [name for name, _ in found[0].variables]
    more = [word for name in names for word in ("-append", f'MY.Variable_{name} = "$({name})"')]
    return [{name: _text(ad, f"Variable_{name}") for name in names} for ad in run.ads(*more)]


def test_there_are_enough_descriptions() -> None:
    """Each has a source, and nobody has thinned them out."""
    assert len(NAMES) >= AT_LEAST
    assert [name for name in NAMES if not read_case(name).source.startswith("https://")] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_jobs_are_those_of_the_pool(facility: Facility, name: str) -> None:
    """Command, words, environment, files, requests, attributes and variables of every job are the pool's own."""
    run = DryRun(facility, read_case(name))
    ads = run.ads()

    found = procs(run.submission(len(ads)))

    assert len(found) == len(ads) > 0
    for proc, ad in zip(found, ads, strict=True):
        _check(proc, ad, run.inside)
    assert [dict(proc.variables) for proc in found] == _variables(found, run)
