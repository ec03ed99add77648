"""What people are told when files did not get to storage. Pure; no secret gets through."""

from __future__ import annotations

from collections.abc import Mapping

from septum.credentials.redact import KNOWN
from septum.errors import SeptumError, TryAgainError, UploadError
from septum.units import count
from septum.upload.attempt import AttemptError, Kind

_WHY: Mapping[Kind, str] = {
    "auth": "the storage and septum did not accept each other",
    "denied": "the storage does not allow it",
    "differs": "another file stands there",
    "space": "the storage has no room for it, or a quota is used up",
    "unsupported": "the storage cannot do what is needed",
    "refused": "the storage refused it",
    "damaged": "what arrived is not what was sent",
    "gone": "the storage did not answer",
}
_FIX: Mapping[Kind, str] = {
    "auth": "see what septum has for this storage: septum credentials show; a site's own CA is named by 'ca-file' or\n"
    "'ca-variable' of the cluster's profile, by X509_CERT_DIR or by REQUESTS_CA_BUNDLE",
    "denied": "let the profile ask for a token that may write there: SEPTUM_CLUSTER_STORAGE_AUDIENCE, and\n"
    "SEPTUM_CLUSTER_STORAGE_SCOPE with storage.create:/PATH; or ask whether the proxy's VO may write there",
    "differs": "give each run a folder of its own, with {run} in 'publish: to:', or take away what stands there;\n"
    "septum overwrites nothing",
    "space": "make room there, or publish elsewhere",
    "unsupported": "the storage's own words stand above; publish elsewhere",
    "refused": "the storage's own words stand above",
    "damaged": "retry this CI job; if it stays so, tell the storage's administrators",
    "gone": "retry this CI job: what is there already is not sent again. If it stays so, check host and port in\n"
    "'publish: to:', and whether the runner may reach them",
}
_STAYS = "the results stay in the result folder"
_OTHERS = 3


def explained(failed: Mapping[str, AttemptError], urls: Mapping[str, str], *, of: int) -> SeptumError:
    """One error for all files that failed: of the first that another attempt would not help, the others counted.

    Args:
        failed: The last fault of each file, at least one.
        urls: Where each should have gone, for people.
        of: How many files there were.
    """
    name, fault = min(failed.items(), key=lambda item: item[1].kind == "gone")
    what = f"publish: {urls[name]} was not written: {_WHY[fault.kind]}"
    others = [other for other in failed if other != name]
    lines = [fault.text, *fault.hints]
    lines += [f"also {urls[other]}: {_WHY[failed[other].kind]}" for other in others[:_OTHERS]]
    if len(failed) > 1:
        lines.append(f"{len(failed)} of {count(of, 'file')} failed")
    evidence = "\n".join(_clean(line) for line in [*lines, _STAYS])
    kind = TryAgainError if fault.kind == "gone" else UploadError
    return kind(_clean(what), evidence=evidence, fix=_FIX[fault.kind])


def _clean(text: str) -> str:
    """In one line, without secrets: it goes into logs and into the manifest."""
    return KNOWN.text("".join(c if c.isprintable() else " " for c in text))[:1000]
