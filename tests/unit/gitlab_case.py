"""A repository and a fake GitLab for the tests of `septum gitlab`, and the command run against them."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import ssl
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from septum.cli import main, parser
from septum.forge import TOKEN
from septum.gitlab import door
from tests.fakes import gitlab_project, gitlab_server
from tests.fakes.gitlab_endpoint import Project
from tests.fakes.gitlab_server import GitlabServer
from tests.fakes.gitlab_variables import add_schedule, add_variable

PROJECT = "my-group/my-analysis"
SECRET = "Client0Secret1With2A$Dollar3"
PIPELINE = """\
include:
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/analysis@0.1
    inputs: {cluster: infn-af}
  - component: $CI_SERVER_FQDN/cms-analysis/general/septum/sweep@0.1
    inputs: {cluster: infn-af}
"""
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBhTCCASugAwIBAgIQ\n-----END CERTIFICATE-----\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    writes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything that it printed."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Its document."""
        return json.loads(self.out)


@dataclass(slots=True, kw_only=True)
class Case:
    """A repository, a GitLab, a token, and how long GitLab may take for an answer."""

    root: Path
    server: GitlabServer
    monkeypatch: pytest.MonkeyPatch
    token: str = gitlab_server.MAINTAINER
    question_s: float = 30.0

    def run(self, action: str, *more: str, ready: bool = True) -> Ended:
        """Run `septum gitlab`, by default with the values of all variables, and without questions."""
        self.monkeypatch.setenv(TOKEN, self.token)
        place = [] if "--project" in more else ["--project", PROJECT]
        arguments = ["gitlab", action, "--root", str(self.root), "--url", self.server.url, *place, *more]
        if action == "setup" and ready:
            arguments += ["--yes", *self.values()]
        before = len(self.server.requests)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
        writes = [one.endpoint for one in self.server.requests[before:] if one.changes]
        return Ended(code=code, out=out.getvalue(), err=err.getvalue(), writes=writes)

    def values(self) -> list[str]:
        """Options that give a value to each variable that the cluster needs."""
        files = {"SEPTUM_CLUSTER_SCHEDD": "schedd.txt", "IAM_CLIENT_ID": "id.txt", "IAM_CLIENT_SECRET": "secret.txt"}
        files["SEPTUM_CA"] = "ca.pem"
        return [text for key, file in files.items() for text in ("--value", f"{key}=@{self.root / file}")]

    def flawed(self) -> Project:
        """A project in which everything differs that can differ without being absent."""
        project = self.server.add_project(PROJECT, default_branch="main", description="Dimuons")
        gitlab_project.protect(project, "branches", "main", allow_force_push=True)
        project.kept["inbound_enabled"] = False
        add_variable(project, "IAM_CLIENT_ID", "a-client")
        owner = {"id": 1, "username": self.server.tokens[self.token].user}
        add_schedule(project, "septum sweep", active=False, inputs=[{"name": "keep", "value": "1 d"}], owner=owner)
        return project


@contextlib.contextmanager
def a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A case; nothing waits longer than it must."""
    (tmp_path / ".gitlab-ci.yml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "id.txt").write_text("a-client\n", encoding="utf-8")
    (tmp_path / "secret.txt").write_text(f"{SECRET}\n", encoding="utf-8")
    (tmp_path / "schedd.txt").write_text("schedd.example.org\n", encoding="utf-8")
    (tmp_path / "ca.pem").write_text(CERTIFICATE, encoding="utf-8")
    # What is the same in every run of these tests, and takes longer than they do.
    monkeypatch.setattr("septum.cli.parser", _parser)
    monkeypatch.setattr("ssl.create_default_context", _authorities)
    # python-gitlab's pauses between two attempts.
    monkeypatch.setattr("gitlab.utils.time", types.SimpleNamespace(sleep=lambda _: None, time=lambda: 0.0))
    opened = door.opened
    with gitlab_server.serving(*gitlab_project.ENDPOINTS) as server:
        made = Case(root=tmp_path, server=server, monkeypatch=monkeypatch)

        def in_time(*args: Any, **options: Any) -> Any:
            return opened(*args, **{**options, "question_s": made.question_s})

        monkeypatch.setattr(door, "opened", in_time)
        yield made


_parser = functools.cache(parser)
_authorities = functools.cache(ssl.create_default_context)
