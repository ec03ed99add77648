"""The container image: its name, whether the registry has it, and whether the workers' path can be seen."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from septum.doctor.analysis import ANALYSIS, PLAN, PROFILE
from septum.doctor.report import Outcome, ok, skipped, warning
from septum.doctor.runner import Context
from septum.errors import PartImageError, PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CVMFS = Path("/cvmfs")
_CONNECT_S, _READ_S, _ALL_S = 5, 10, 30.0
_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_MUTABLE = frozenset({"", "latest", "main", "master", "dev", "develop", "devel", "nightly", "stable", "edge"})
_FOUND, _LOGIN, _FORBIDDEN, _ABSENT = 200, 401, 403, 404
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}"
    for kind in (
        "oci.image.index.v1+json",
        "oci.image.manifest.v1+json",
        "docker.distribution.manifest.list.v2+json",
        "docker.distribution.manifest.v2+json",
    )
)
# The grammar of the distribution project: lower-case names, a tag, a digest.
_NAME = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)??(?P<name>{_NAME}(?:/{_NAME})*)(?::(?P<tag>[A-Za-z0-9_][\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The name of an image in a registry."""

    host: str
    name: str
    tag: str
    digest: str

    @property
    def url(self) -> str:
        """Where its manifest is."""
        host = _HUB_API if self.host == _HUB else self.host
        return f"https://{host}/v2/{self.name}/manifests/{self.digest or self.tag or 'latest'}"


def parse(text: str) -> Reference | None:
    """Read a reference as Docker does; None if it is none."""
    found = _REFERENCE.fullmatch(text.removeprefix("docker://"))
    if found is None:
        return None
    host, name = found["host"] or "", found["name"]
    if not host:
        first, slash, rest = name.partition("/")
        # Docker takes the first piece for a host if it looks like one.
        if slash and ("." in first or first == "localhost"):
            host, name = first, rest
    elif not (set(host) & set(".:[") or host == "localhost"):
        if not re.fullmatch(_NAME, host, re.ASCII):
            return None
        host, name = "", f"{host}/{name}"
    if not host or host in {_HUB, "index.docker.io"}:
        host, name = _HUB, name if "/" in name else f"library/{name}"
    return Reference(host=host, name=name, tag=found["tag"] or "", digest=found["digest"] or "")


def chosen(context: Context) -> str:
    """The image that the parts ask for; empty if none."""
    plan, analysis = context.value(PLAN), context.value(ANALYSIS)
    named = plan.image if plan is not None else analysis.image if analysis is not None else None
    return context.options.image or named or ""


def _is_reference(image: str) -> bool:
    return image.startswith("docker://") or not (image.startswith("/") or "://" in image or image.endswith(".sif"))


# ── the name ────────────────────────────────────────────────────────────────────────────────────────────────────


def image(context: Context) -> Outcome | None:
    """The image has a good name, one that means the same tomorrow, and the registry has it."""
    text = chosen(context)
    if not text:
        return None
    if not _is_reference(text):
        scheme = text.partition("://")[0] if "://" in text else ""
        return skipped(f"{scheme}:// cannot be tried from here") if scheme else None
    found = parse(text)
    if found is None:
        raise PlanError(
            f"image: {text[:100]!r} is not the name of an image",
            evidence="expected HOST/PATH:TAG or HOST/PATH@sha256:…, the path in lower case",
            fix="correct 'image' in septum.yaml, or the input 'image'",
        )
    answer = ask_registry(found)
    if answer.absent:
        raise PartImageError(
            f"the registry has no image {text}",
            evidence=answer.text,
            fix="check name and tag; a tag may have been deleted, or its image not been built yet",
        )
    doubts, fixes = [], []
    if not answer.found:
        doubts.append(answer.text)
        fixes.append("Nothing to do, if the workers take it from elsewhere; otherwise check the name.")
    if not found.digest and found.tag in _MUTABLE:
        which = f"the tag {found.tag!r}" if found.tag else "no tag, so 'latest',"
        doubts.append(f"{which} names another image tomorrow")
        fixes.append("Name a version, or a digest: IMAGE@sha256:…")
    if doubts:
        return warning(text, cause="\n".join(doubts), fix="\n".join(fixes))
    return ok(f"{text} is there" + ("" if found.digest else "; a digest would name it for ever"))


def path(context: Context) -> Outcome | None:
    """The image as the workers name it can be seen from here."""
    from septum.backends.htcondor.description import worker_image

    text, loaded = chosen(context), context.value(PROFILE)
    if not text or loaded is None:
        return None
    profile = loaded.profile
    if profile.image_method == "none":
        if profile.method == "local":
            return ok(f"{profile.name} starts no images: the parts run as they are here")
        return warning(
            f"the cluster {profile.name} starts no images",
            cause=f"the parts run as they are, not in {text}",
            fix="If the site starts images, say how: SEPTUM_CLUSTER_IMAGE_METHOD.",
        )
    return see_path(worker_image(text, profile))


def see_path(name: str, cvmfs: Path = _CVMFS) -> Outcome:
    """Look for an image's path on this machine.

    Raises:
        PartImageError: It is on CVMFS, which is here, and it is not there.
    """
    if "://" in name or not name.startswith("/"):
        return ok(f"on the workers {name}") if "://" in name else skipped(f"{name} cannot be seen from here")
    place = Path(name)
    on_cvmfs = place.is_relative_to(cvmfs)
    if place.exists():
        return ok(name)
    repository = cvmfs / place.relative_to(cvmfs).parts[0] if on_cvmfs and place != cvmfs else None
    # CVMFS mounts a repository when it is looked at.
    if repository is None or not _is_mounted(repository):
        return skipped(f"{name} cannot be seen from here{', where no CVMFS is' if on_cvmfs else ''}")
    raise PartImageError(
        f"{name} does not exist",
        evidence=f"{repository} is here, and has it not",
        fix="Ask for the image to be unpacked there (a line in the wish list of unpacked.cern.ch; it takes hours), or "
        "name one that is.",
    )


def _is_mounted(repository: Path) -> bool:
    try:
        return any(True for _ in repository.iterdir())
    except OSError:
        return False


# ── the registry ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a registry says of an image."""

    text: str
    found: bool = False
    absent: bool = False


def ask_registry(reference: Reference, *, verify: str | bool = True) -> Answer:
    """Ask a registry for the head of a manifest, without an account (OCI distribution specification).

    Args:
        reference: The image.
        verify: A file of CA certificates; the usual ones by default.
    """
    import requests

    until = time.monotonic() + _ALL_S
    with requests.Session() as session:
        session.verify = verify
        session.trust_env = verify is True  # variables may name other CAs, and a web proxy
        try:
            answer = _head(session, reference.url, {})
            challenge = answer.headers.get("WWW-Authenticate", "")
            if answer.status_code == _LOGIN and time.monotonic() < until:
                token = _anonymous_token(session, challenge)
                answer = _head(session, reference.url, {"Authorization": f"Bearer {token}"}) if token else answer
        except (requests.exceptions.RequestException, OSError) as error:
            return Answer(text=f"the registry {reference.host} cannot be asked from here: {type(error).__name__}")
    status = answer.status_code
    said = f"{reference.host}: HTTP {status}"
    if status == _FOUND:
        return Answer(text=said, found=True)
    if status == _ABSENT:
        return Answer(text=said, absent=True)
    if status in {_LOGIN, _FORBIDDEN}:
        return Answer(text=f"{said}: it is private, or not there; that was asked without an account")
    return Answer(text=said)


def _head(session: Any, url: str, headers: Mapping[str, str]) -> Any:
    return session.head(
        url, headers={"Accept": _MANIFESTS, **headers}, timeout=(_CONNECT_S, _READ_S), allow_redirects=False
    )


def _anonymous_token(session: Any, challenge: str) -> str:
    """A token for everybody; empty if the registry has none."""
    scheme, _, rest = challenge.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = fields.pop("realm", "")
    if scheme.lower() != "bearer" or urlsplit(realm).scheme != "https":
        return ""
    asked = {name: value for name, value in fields.items() if name in {"service", "scope"}}
    answer = session.get(realm, params=asked, timeout=(_CONNECT_S, _READ_S), allow_redirects=False)
    try:
        data = answer.json() if answer.status_code == _FOUND else {}
    except ValueError:
        return ""
    return str(data.get("token") or data.get("access_token") or "") if isinstance(data, dict) else ""
