"""The crate of a result under the checker that its profile's authors publish, and without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from septum.manifest import Failure
from septum.provenance.crate import NAME
from tests.fakes.result_folders import ResultFolder

_PROFILE = "workflow-run-crate-0.5"
_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
# rocrate ships the context of RO-Crate 1.3. These are all terms with another meaning in 1.1, by the change log of the
# profile; `sha256` did not exist then, so the crate must bring its own.
_OF_1_1 = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
_PUBLISHED = "https://storage.example.org/run/all.partial.root"
# Recommendations that are not followed, each for a reason.
_NOT_FOLLOWED = {
    # Without a network, nobody can say.
    (f"Web-based Data Entity {_PUBLISHED} is not available", ""),
    # The profile itself allows it for a file of the crate, which the plan is.
    ("The SoftwareApplication id SHOULD be an absolute URI", "plan.json"),
    # There is no README.md, and it asks for one all the same.
    ("The README.md SHOULD be about the crate", "./README.md"),
    ("The README.md SHOULD have text/markdown as its encodingFormat", "./README.md"),
    # Nobody told septum who the authors are, and who publishes.
    ("The Root Data Entity SHOULD have a link to a Contextual Entity representing the `author` of the RO-Crate", "./"),
    ("The `publisher` property of a `Root Data Entity` SHOULD be an `Organization`", "./"),
}
# Fills the checker's cache with the one context, as if it had been fetched, and judges folders with nothing but it.
_CHECK = """
import io, json, sys
import requests, requests_cache, urllib3
from rocrate.vocabs import RO_CRATE
from rocrate_validator.services import validate

cache, url, profile, changed, *folders = sys.argv[1:]

class Shelf(requests.adapters.HTTPAdapter):
    def send(self, request, **_):
        terms = {name: term for name, term in RO_CRATE["@context"].items() if name != "sha256"}
        body = json.dumps({"@context": {**terms, **json.loads(changed)}}).encode()
        raw = urllib3.HTTPResponse(
            io.BytesIO(body), {"Content-Type": "application/ld+json"}, 200, preload_content=False
        )
        return self.build_response(request, raw)

session = requests_cache.CachedSession(cache, backend="sqlite", expire_after=-1)
session.mount("https://", Shelf())
session.get(url, headers={"Accept": "application/ld+json, application/json"})
found = {}
for folder in folders:
    result = validate({
        "rocrate_uri": folder, "profile_identifier": profile, "requirement_severity": "RECOMMENDED",
        "cache_path": cache, "offline": True,
    })
    found[folder] = [
        [issue.severity.name, issue.message, issue.violatingEntity, issue.violatingPropertyValue]
        for issue in result.get_issues()
    ]
    assert result.context.profiles and not result.skipped_checks
sys.stdout.write("RESULT" + json.dumps(found))
"""

Issues = list[tuple[str, str, str]]


def _judge(cache: Path, folders: Mapping[str, Path]) -> dict[str, Issues]:
    """What the checker finds in each folder: severity, message, and the entity that it is about."""
    command = [
        sys.executable,
        "-c",
        _CHECK,
        str(cache),
        _CONTEXT,
        _PROFILE,
        json.dumps(_OF_1_1),
        *map(str, folders.values()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[list[str | None]]] = json.loads(done.stdout.partition("RESULT")[2])
    return {
        name: [
            (severity or "", message or "", (value if "id SHOULD" in (message or "") else entity) or "")
            for severity, message, entity, value in found[str(folder)]
        ]
        for name, folder in folders.items()
    }


# Two results, one in a folder, names that need quoting, hostile values, inputs, a kept output, a part that failed.
_HOSTILE = """
name: dimuon
command: [run, /opt/x, "{sample}"]
inputs: ["*.py", "*.txt"]
outputs: [h.root, log.txt]
merge: {"2024/µ=1,a+b@c.root": h.root, all.root: h.root}
parts: {list: [{sample: "<script>\\"'"}, {sample: "\\u202ez"}, {sample: "../../x"}]}
tolerance: 1
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Issues]:
    """The crates of several runs, judged at once."""
    root = tmp_path_factory.mktemp("crates")
    (root / "partial").mkdir()
    for name in ("analyse.py", "a b & c.txt"):
        (root / "partial" / name).write_text("1")
    partial = ResultFolder(root=root / "partial", text=_HOSTILE, failed=["0001"])
    partial.change_result(1, url=_PUBLISHED)
    partial.write()

    none = ResultFolder(root=root / "none", origin={})
    error = Failure(code="E301", exit_code=30, what="part 0000: the command ended with exit code 3")
    failed = tuple(replace(part, state="failed", outputs=()) for part in none.manifest.parts)
    none.path().unlink()
    none.change(results=(), parts=failed, complete=False, error=error, image=None, schedd="")
    none.write()

    spoiled = ResultFolder(root=root / "spoiled")
    _take_instrument(spoiled)
    spoiled.path().unlink()
    return _judge(root / "cache", {"partial": partial.folder, "none": none.folder, "spoiled": spoiled.folder})


def _take_instrument(made: ResultFolder) -> None:
    path = made.folder / NAME
    crate = json.loads(path.read_text(encoding="utf-8"))
    for entity in crate["@graph"]:
        entity.pop("instrument", None)
    path.write_text(json.dumps(crate), encoding="utf-8")


def _of(issues: Issues, severity: str) -> set[tuple[str, str]]:
    return {(message, about.rsplit("/result/", 1)[-1]) for level, message, about in issues if level == severity}


@pytest.mark.parametrize("name", ["partial", "none"])
def test_a_crate_meets_all_requirements_of_its_profile(name: str, judged: dict[str, Issues]) -> None:
    """Of Workflow Run Crate 0.5 and of all that it builds on: for a partial result, and for a run without one."""
    assert _of(judged[name], "REQUIRED") == set()


def test_a_crate_follows_the_recommendations(judged: dict[str, Issues]) -> None:
    """All but those that have a reason."""
    assert _of(judged["partial"], "RECOMMENDED") == _NOT_FOLLOWED


def test_the_checker_finds_what_is_wrong(judged: dict[str, Issues]) -> None:
    """It would say so if the crate did not name the plan as what was run, or a file that is not there."""
    found = [message for message, _ in _of(judged["spoiled"], "REQUIRED")]

    assert any("MUST have an instrument" in message for message in found)
    assert any("h.root" in message for message in found)
