"""Tokens for the tests, and a service that answers as a script says."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import jwt

import septum
from septum.credentials.https import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OURS = str(Path(septum.__file__).parent)
NOW = 1_790_000_000.0
ISSUER = "https://iam.example.org/"
AUDIENCE = "condor://schedd.example.org"
SCOPES = ["wlcg", "compute.read", "compute.create", "compute.modify", "compute.cancel"]
CLAIMS = {
    "iss": ISSUER,
    "sub": "ci-robot",
    "aud": AUDIENCE,
    "exp": NOW + 3600,
    "iat": NOW,
    "nbf": NOW - 60,
    "wlcg.ver": "1.0",
    "scope": " ".join(SCOPES),
    "jti": "1",
}


def make_token(**changes: object) -> str:
    """A signed token; a claim that is None is left out."""
    claims = {key: value for key, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode(claims, "k" * 32, algorithm="HS256")


@dataclass
class Call:
    """What a service was asked."""

    method: str
    url: str
    form: dict[str, str]
    headers: dict[str, str]
    secret_form: dict[str, str]


@dataclass
class Scripted:
    """Answers as the script says, and remembers what it was asked. Stands for `Https`."""

    answers: list[Answer | Exception]
    calls: list[Call] = field(default_factory=list, repr=False)

    def call(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Callable[[], dict[str, str]],
        secret_form: Callable[[], dict[str, str]] | None = None,
    ) -> Answer:
        """The next answer."""
        self.calls.append(Call(method, url, dict(form or {}), headers(), secret_form() if secret_form else {}))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(data: object, status: int = 200, date: float = NOW) -> Answer:
    """An answer with JSON, or with bytes as they are."""
    return Answer(status, data if isinstance(data, bytes) else json.dumps(data).encode(), date)


def seen_in(error: BaseException) -> str:
    """All that septum shows of an error: texts, repr, and a traceback with all local variables of its own frames."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    report = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join([str(error), repr(error), repr(vars(error)), *report.format()])
