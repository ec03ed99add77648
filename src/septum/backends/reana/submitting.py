"""Makes workflows of parts: each once, all of its files or none, whatever was interrupted before."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from septum.backends.base import Run
from septum.backends.reana.access import check_backend
from septum.backends.reana.client import Client
from septum.backends.reana.model import CREATED, DELETED, Secret, Workflow, newest
from septum.backends.reana.rules import Shape, shape_of, snakefile, specification
from septum.backends.reana.runs import Runs, by_key
from septum.backends.reana.sending import Freight, Sent, freight, of_bytes
from septum.backends.reana.workflow import FOLDER, LEASE, LISTED, Offer, image_of, lease_text, name_of, resources_of
from septum.credentials.provider import Kind
from septum.errors import ClusterFailedError, SeptumError, SubmitRefusedError
from septum.plan import Part

if TYPE_CHECKING:
    from septum.clusters.profile import Profile
    from septum.credentials import Credentials

SENDINGS = 3
"""How often files are sent before their sizes are taken for what the server makes of them."""
_CLOCKS_APART_S = 60
_PROXY_FILE = "septum-x509-proxy"
Each = Callable[[Callable[[Any], None], Sequence[Any]], None]
"""Does something for each of some items, a few at a time."""


class Submitter:
    """Submits parts of one run.

    Args:
        run: The run.
        profile: The cluster.
        credentials: Files that somebody else keeps fresh.
        client: The server.
        runs: What is known of the run's workflows.
        each: Does something for each of some items, a few at a time.
    """

    def __init__(
        self, run: Run, profile: Profile, credentials: Credentials, *, client: Client, runs: Runs, each: Each
    ) -> None:
        self._run, self._profile, self._credentials = run, profile, credentials
        self._client, self._runs, self._each = client, runs, each
        self._offer: Offer | None = None
        self._proxy_handed: float | None = None

    def submit(
        self, parts: Sequence[Part], *, lease_until_s: float, number: int = 1, memory_b: int | None = None
    ) -> Mapping[str, str]:
        """Submit parts as one workflow: made, filled, looked at, and only then started.

        Args:
            parts: In the order of the plan.
            lease_until_s: Seconds since the epoch after which steps end themselves.
            number: Which job of these parts it is.
            memory_b: What they ask for; None for what the plan says.

        Returns:
            Part to job.
        """
        plan, profile = self._run.plan, self._profile
        image, unpacked = image_of(plan, profile, self._run.image_digest)
        proxy = self.hand_over_proxy()
        resources = resources_of(plan, profile, self._offered(), memory_b=memory_b, unpacked=unpacked, proxy=proxy)
        load = freight(plan, parts, self._run.sent, self._run.folder / "reana")
        shape = shape_of(
            plan, profile, image=image, resources=resources, program=load.program.name,
            shared=[sent.name for sent in load.shared],
        )  # fmt: skip
        name = name_of(plan.name, self._run.tag, [part.id for part in parts], number)
        self._runs.forget()
        workflow = self._make(name, shape, load, number=number, lease_until_s=lease_until_s)
        self._runs.note([replace(workflow, status="queued")])
        return {part.id: f"{workflow.full_name}/{part.id}" for part in parts}

    def _make(self, name: str, shape: Shape, load: Freight, *, number: int, lease_until_s: float) -> Workflow:
        """The started workflow of this name: one that is there already, finished where it was left, or a new one."""
        rules = of_bytes("Snakefile", snakefile(shape, load.steps).encode())
        told = specification(
            shape, self._profile, load.steps, snakefile_path=rules.path, tag=self._run.tag, number=number
        )
        made = None
        workflow = self._there(name, rules.path)
        if workflow is None:
            made = self._client.create(name, told)
            # Somebody else may have done the same at this moment: the first stays.
            workflow = self._there(name, rules.path, ours=made.id) or made
            if workflow.id != made.id:
                self._client.delete(made.id, workspace=True)
                made = None
        if workflow.status != CREATED:
            return workflow
        try:
            self._send(workflow, [*load.all, rules], lease_until_s, fresh=made is not None)
            return self._start(workflow)
        except SeptumError:
            # All or none; of one that was started after all, the server refuses this.
            if made is not None:
                with contextlib.suppress(SeptumError):
                    self._client.delete(made.id, workspace=True)
            raise

    def _there(self, name: str, rules: str, *, ours: str = "") -> Workflow | None:
        """The first workflow of this name that may deliver, or that another septum is about to start."""
        groups = by_key(each for each in self._client.find(name) if each.name == name)
        for key in sorted(groups):
            workflow = newest(groups[key])
            if workflow.status == "stopped" or not self._runs.is_mine(key, workflow):
                continue
            if workflow.status != CREATED or workflow.id == ours:
                return workflow
            made_of = self._client.specification(workflow.id).get("workflow")
            if isinstance(made_of, dict) and made_of.get("file") == rules:
                return workflow
            # Of an earlier try with other resources, or by another version: nobody starts it.
            self._client.delete(workflow.id, workspace=True)
        return None

    def _send(self, workflow: Workflow, sent: Sequence[Sent], lease_until_s: float, *, fresh: bool) -> None:
        """Send what is not there, and look that all of it is: a cut upload leaves a short file."""
        missing = list(sent) if fresh else self._missing(workflow, sent)
        self._client.upload(workflow.id, LEASE, lease_text(self.there_s(lease_until_s)))
        for _ in range(SENDINGS):
            self._each(lambda each: self._client.upload(workflow.id, each.path, each.data), missing)
            missing = self._missing(workflow, sent)
            if not missing:
                return
        raise ClusterFailedError(
            f"cluster: {missing[0].name} does not arrive as a whole on {self._profile.access_point}",
            evidence=f"sent {SENDINGS} times; {len(missing)} of {len(sent)} files are short",
            fix="try again; if it stays, the server's disk, or the account's quota there, is full",
        )

    def _missing(self, workflow: Workflow, sent: Iterable[Sent]) -> list[Sent]:
        there = self._client.files(workflow.id, under=FOLDER, pattern=LISTED)
        return [each for each in sent if each.path not in there or there[each.path].size_b != each.size_b]

    def _start(self, workflow: Workflow) -> Workflow:
        try:
            return replace(workflow, status=self._client.start(workflow.id).status)
        except SubmitRefusedError:
            # Another septum was faster.
            status = self._runs.status(workflow)
            if status in {CREATED, DELETED}:
                raise
            return replace(workflow, status=status)

    def _offered(self) -> Offer:
        """What the server offers; asked once.

        Raises:
            ClusterUnusableError: The profile's compute backend is not among it.
        """
        if self._offer is None:
            offer = Offer.read(self._client.info())
            check_backend(self._profile, offer)
            self._offer = offer
        return self._offer

    def there_s(self, at_s: float) -> float:
        """A time on the server's clock, where the two differ by more than a little."""
        ahead_s = self._client.ahead_s
        return at_s + (ahead_s if abs(ahead_s) > _CLOCKS_APART_S else 0.0)

    def hand_over_proxy(self) -> bool:
        """Store the proxy as a secret of the account, where it is new; returns whether there is one."""
        held = self._credentials.held.get(Kind.PROXY)
        if held is None:
            return False
        if self._proxy_handed != held.expires_at:
            from septum.credentials.x509 import parse_proxy

            pem = held.path.read_bytes()
            attributes = parse_proxy(pem).attributes
            vo = self._profile.expect_vo or (attributes.vo if attributes is not None else "")
            found = {
                "VOMSPROXY_FILE": Secret(value=_base64(_PROXY_FILE.encode()), type="env"),
                _PROXY_FILE: Secret(value=_base64(pem), type="file"),
            }
            if vo:
                found["VONAME"] = Secret(value=_base64(vo.encode()), type="env")
            self._client.store_secrets(found)
            self._proxy_handed = held.expires_at
        return True

    def refresh_proxy(self) -> None:
        """Store a renewed proxy; steps that start from now on get it.

        Another septum may have submitted: then the first one that is held here counts as renewed.
        """
        self.hand_over_proxy()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
