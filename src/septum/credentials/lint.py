"""Refuse plans that would send a credential to the workers: there, and in the queue, others can read it.

What jobs get is chosen here and nowhere else: a proxy by delegation (`x509userproxy`), and tokens that the access
point's own monitor fetches (`use_oauth_services`, `SendCredential`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from septum.credentials.detect import find
from septum.credentials.redact import KNOWN
from septum.errors import CredentialExposedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from septum.plan import InputFile, Plan

_SHOWN = 5
_UNSURE = frozenset({"password in a URL", "token in a URL", "authorization header"})
"""What a page of documentation may hold as well; a plan is not refused for it."""
_DELEGATED = "x509userproxy"
"""The one command that may name a file of ours: HTCondor delegates the proxy, and sends no copy of it."""
_FIX = (
    "Take it out, and replace it: whoever could read it may have done so. "
    "Jobs get a proxy by the profile's 'proxy', and tokens by its 'job-tokens'."
)


def lint_plan(plan: Plan, place: Callable[[InputFile], Path]) -> None:
    """Look at all that a plan would send: its values, its command, its files.

    Args:
        plan: The plan.
        place: Where an input file stands now.

    Raises:
        CredentialExposedError: One of them holds a credential; says which, and not what.
    """
    sent = {place(file) for file in (*plan.inputs, *(file for part in plan.parts for file in part.inputs))}
    _lint(plan, sorted(sent))


def lint_sent(plan: Plan, archives: Iterable[Path]) -> None:
    """Look again where the secrets of the cluster are known, at what an earlier CI job has packed.

    Args:
        plan: The plan.
        archives: The packed inputs.

    Raises:
        CredentialExposedError: A credential is in there.
    """
    _lint(plan, archives)


def _lint(plan: Plan, files: Iterable[Path]) -> None:
    from septum.credentials.scan import scan
    from septum.plan import to_json

    wrong = [f"the command, or a value of the parts: {hit.kind}" for hit in find(to_json(plan).encode(), KNOWN)]
    found = scan(files, KNOWN).findings
    wrong += [f"{finding.path}: {finding.kind}" for finding in found if finding.kind not in _UNSURE]
    if wrong:
        raise CredentialExposedError(
            "plan: it would send a credential to the workers", evidence="\n".join(wrong[:_SHOWN]), fix=_FIX
        )


def lint_description(commands: Mapping[str, str], private: Path) -> None:
    """Look at a submit description; everybody can read the ads that follow from it.

    Args:
        commands: Submit commands and their values.
        private: The folder of the credential files.

    Raises:
        CredentialExposedError: It would hand on our environment, a file of ours, or a secret.
    """
    wrong = []
    for name, value in commands.items():
        if name.lower() == "getenv" and value.lower() != "false":
            wrong.append(f"{name} = {value}: the job would get the environment of septum")
        if str(private) in value and name.lower() != _DELEGATED:
            wrong.append(f"{name}: it names a credential file of septum")
        wrong += [f"{name}: {hit.kind}" for hit in find(value.encode(), KNOWN)]
    if wrong:
        raise CredentialExposedError(
            "cluster: the submit description would expose a credential",
            evidence="\n".join(wrong[:_SHOWN]),
            fix="Remove it from 'attributes' or 'requirements' of the cluster's profile.",
        )
