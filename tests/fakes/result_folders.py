"""A result folder as a run leaves it: parts, results merged by ROOT's hadd with the stamp inside, manifest, crate."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from septum.assembly import choose
from septum.errors import EngineMissingError, PartialResultError
from septum.manifest import NAME, Failure, Held, Manifest, PartFacts, PartOutput, ResultFile, to_json
from septum.merge.hadd import find_hadd
from septum.plan import Merge, Plan, partial_name
from septum.provenance.crate import write_crate
from septum.provenance.stamp import inscription, stamp
from septum.verify import measure
from septum.worker.sandbox import output_name
from tests.fakes.analyses import plan_of, seeds
from tests.fakes.rootfiles import H, write_root

ORIGIN = {
    "commit": "4f1d1b7b1d3f4e0a9c2b5d6e7f8091a2b3c4d5e6",
    "ref": "main",
    "pipeline": "4711",
    "pipeline-url": "https://gitlab.example.org/higgs/dimuon/-/pipelines/4711",
    "project-url": "https://gitlab.example.org/higgs/dimuon",
    "instance": "https://gitlab.example.org",
    "user": "analyst",
    "component": "analysis@0.1.0",
    "septum-image": "registry.example.org/septum:0.1.0",
}
SOFTWARE = {"python": "3.11.2", "numpy": "2.4.6", "uproot": "5.7.7", "platform": "Linux-6.1-x86_64"}
IMAGE = "registry.example.org/higgs/mkshapesrdf:1.2@sha256:" + "ab" * 32


@cache
def hadd() -> Path:
    """The hadd of this machine, or of the PyPI package."""
    try:
        return find_hadd(os.environ).program
    except EngineMissingError as error:
        pytest.skip(error.what)


def merge(target: Path, sources: Sequence[Path], name: str) -> Path:
    """Merge with hadd; `name` goes into the file as its name."""
    command = [str(hadd()), "-f", "-v", "0", f"{target.name}?reproducible={name}", *map(str, sources)]
    subprocess.run(command, cwd=target.parent, check=True, capture_output=True, timeout=60)
    return target


@dataclass(kw_only=True)
class ResultFolder:
    """A run of `text` with its result in `folder`, and the outputs of its parts in `outputs`."""

    root: Path
    text: str = seeds(3)
    failed: Collection[str] = ()
    only: str | None = None
    origin: Mapping[str, str] = field(default_factory=lambda: dict(ORIGIN))
    plan: Plan = field(init=False)
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        self.folder, self.outputs = self.root / "result", self.root / "outputs"
        self.folder.mkdir(parents=True)
        self.outputs.mkdir()
        plan = plan_of(self.text, self.root, image=IMAGE, leave_out=["result", "outputs"])
        self.plan = choose(plan, self.only) if self.only else plan
        parts = tuple(self._part(index) for index in range(len(self.plan.parts)))
        contents = {(part.id, output.path): output.content for part in parts for output in part.outputs}
        results = tuple(self._result(one, contents) for one in self.plan.merges)
        partial = bool(self.failed)
        error = Failure(
            code=PartialResultError.code, exit_code=PartialResultError.exit_code, what=f"{len(self.failed)} missing"
        )
        self.manifest = Manifest(
            septum="0.1.0",
            name=self.plan.name,
            complete=not partial and not self.plan.whole_count,
            whole_count=self.plan.whole_count or len(self.plan.parts),
            plan=self.plan.hash,
            work=self.plan.work,
            run="gitlab.example.org/42/4711/0123456789abcdef",
            cluster="infn-af",
            schedd="ap.example.org",
            image=IMAGE,
            policies=dict(self.plan.policies),
            error=error if partial else None,
            results=results,
            parts=parts,
            origin=self.origin,
            software=SOFTWARE,
            began_s=1_750_000_000.0,
            ended_s=1_750_003_600.0,
        )
        self.write()

    def write(self, manifest: Manifest | None = None) -> None:
        """Write manifest, plan and crate: those of the run, or those that somebody made of another manifest."""
        self.manifest = manifest or self.manifest
        self.write_manifest()
        write_crate(self.folder, self.manifest, self.plan)

    def write_manifest(self) -> None:
        """Write the manifest alone, as an editor does."""
        (self.folder / NAME).write_text(to_json(self.manifest), encoding="utf-8")

    def change(self, **changes: object) -> None:
        """Change the manifest."""
        self.manifest = replace(self.manifest, **changes)  # type: ignore[arg-type]

    def change_result(self, number: int = 0, **changes: object) -> None:
        """Change a result in the manifest."""
        results = list(self.manifest.results)
        results[number] = replace(results[number], **changes)  # type: ignore[arg-type]
        self.change(results=tuple(results))

    def path(self, number: int = 0) -> Path:
        """The file of a result."""
        return self.folder / self.manifest.results[number].file

    def _part(self, index: int) -> PartFacts:
        part = self.plan.parts[index]
        lost = part.id in self.failed
        outputs = () if lost else tuple(self._output(part.id, number) for number in range(len(self.plan.outputs)))
        return PartFacts(
            id=part.id,
            values=dict(part.values),
            fingerprint=part.fingerprint,
            state="failed" if lost else "merged",
            attempts=2 if lost else 1,
            job=f"17.{index}",
            host="wn042.example.org",
            exit_code=3 if lost else 0,
            cause="E301" if lost else None,
            message="the command ended with exit code 3" if lost else None,
            submitted_s=1_750_000_010.0,
            started_s=1_750_000_100.0,
            ended_s=1_750_000_200.0 + index,
            outputs=outputs,
        )

    def _output(self, part: str, number: int) -> PartOutput:
        output = self.plan.outputs[number].path
        path = self.outputs / output_name(part, number)
        if output.endswith(".root"):
            write_root(path, {"h": H(cells=[1, int(part), 2 + number, 0])})
        else:
            path.write_text(f"part {part}\n")
        merged = number in self.plan.merged_outputs
        if not merged:
            kept = self.folder / "parts" / part / output
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(path.read_bytes())
        size_b, sha256 = measure(path)
        # The factory's own content hash: septum has another one, and stamps any.
        content = hashlib.sha256(f"{part} {output}".encode()).hexdigest() if merged else ""
        return PartOutput(path=output, size_b=size_b, sha256=sha256, content=content)

    def _result(self, one: Merge, contents: Mapping[tuple[str, str], str]) -> ResultFile:
        there = tuple(part for part in one.parts if part not in self.failed)
        missing = tuple(part for part in one.parts if part in self.failed)
        output = self.plan.outputs[one.output].path
        mark = stamp(self.plan.work, [(part, contents[part, output]) for part in there])
        file = partial_name(one.result) if missing or self.plan.whole_count else one.result
        target = self.folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        merge(target, [self.outputs / output_name(part, one.output) for part in there], inscription(mark, one.result))
        size_b, sha256 = measure(target)
        return ResultFile(
            name=one.result,
            file=file,
            size_b=size_b,
            sha256=sha256,
            stamp=mark,
            engine=f"hadd 6.40.00 ({hadd()})",
            parts=there,
            missing=missing,
            objects={"h": Held(kind="TH1D", entries=3.0 * len(there))},
        )
