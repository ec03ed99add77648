"""The submit description: values only, and HTCondor itself reads them as they were meant."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from septum.backends.htcondor.description import (
    NEVER_S,
    describe,
    items,
    lease_expression,
    quote,
)
from septum.clusters.profile import Profile
from septum.errors import ImageNameError, SubmitRefusedError
from septum.plan import OutputFile, Part, Plan
from septum.states import MAX_RELEASES, releasable_codes
from septum.worker.sandbox import SHARED
from tests.fakes.analyses import plan_of, seeds

AVOIDS = '!stringListIMember(TARGET.Machine ?: "", MY.SeptumAvoid ?: "")'
classad2 = pytest.importorskip("classad2", reason="HTCondor's bindings exist for Linux only")
htcondor2 = pytest.importorskip("htcondor2", reason="HTCondor's bindings exist for Linux only")

LEASE_S = 1_800_000_000.5
DOLLARS = ["$(sent)", "$$(Arch)", "$ENV(HOME)", "$RANDOM_CHOICE(1,2)", "$F(x)", "$(DOLLAR)", "$"]
NASTY = [
    '"', '""', "\\", 'a\\"b', "'", "a b",
    "a,b", "#", "queue 5", "a=b", "+X", "ü€", "%", "{x}", "@", "/*", "//", "executable = /bin/evil", "`id`",
]  # fmt: skip


def profile_of(**values: Any) -> Profile:
    """A cluster that takes images by the attribute."""
    return Profile(
        name="c", method="htcondor", collector="cm.example.org:9618", schedd="s", image_method="singularity-image",
    ).model_copy(update=values)  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan with every kind of request."""
    resources = "{cpus: 2, memory: 1.5 GB, memory-retries: [3 GB], disk: 10 kB, time: 90 min}"
    more = f"name: dimuon\nresources: {resources}\nretries: 2\n"
    return plan_of(seeds(3, more=more), tmp_path_factory.mktemp("plan"))


def _describe(plan: Plan, profile: Profile | None = None, *, proxy_file: Path | None = None) -> dict[str, str]:
    return describe(plan, profile or profile_of(), tag="laptop/-/-/-/0", lease_until_s=LEASE_S, proxy_file=proxy_file)


def _read(commands: Mapping[str, str]) -> Any:
    """What HTCondor makes of them; nothing may be lost or added on the way."""
    read = htcondor2.Submit(dict(commands))

    assert {name.lower() for name in read} == {name.lower() for name in commands}
    assert {name: read[name] for name in commands} == dict(commands)
    assert read.getQArgs() in {"", None}
    return read


# ── what HTCondor reads ─────────────────────────────────────────────────────────────────────────────────────────


def test_commands(plan: Plan) -> None:
    """Requests in HTCondor's units, rounded up; the lease as a whole number."""
    commands = _describe(plan)
    _read(commands)

    assert commands["batch_name"] == "dimuon"
    assert (commands["request_cpus"], commands["request_memory"], commands["request_disk"]) == ("2", "1536", "10")
    assert commands["retry_request_memory"] == "3072"
    assert (commands["max_retries"], commands["allowed_execute_duration"]) == ("2", "5400")
    assert commands["getenv"] == "False"
    assert commands["MY.TimerRemove"] == f"ifThenElse(JobStatus == 4, {NEVER_S}, 1800000001)"
    assert commands["MY.SeptumRun"] == '"laptop/-/-/-/0"'
    assert commands["MY.SeptumPart"] == '"$(part)"'
    assert "container_image" not in commands
    assert "MY.SingularityImage" not in commands
    assert "x509userproxy" not in commands
    assert commands["requirements"] == AVOIDS


def test_what_the_workers_fetch(tmp_path: Path) -> None:
    """The address stands in the description once, and not among what is sent with each job."""
    (tmp_path / "in.txt").write_text("x")
    plan = plan_of(seeds(2, more="inputs: [in.txt]\n"), tmp_path)
    url = "cms+https://storage.example.org:1094/store/a_b~c+d=/2026-11/0123.tar.gz"
    commands = describe(plan, profile_of(), tag="t", lease_until_s=LEASE_S, proxy_file=None, shared_url=url)
    _read(commands)

    assert commands["transfer_input_files"] == f"$(sent),{url}"
    assert _describe(plan)["transfer_input_files"] == "$(sent)"
    assert SHARED in items(plan, plan.parts)[0]["sent"].split(",")
    assert SHARED not in items(plan, plan.parts, by_url=True)[0]["sent"].split(",")


def test_what_the_plan_leaves_out_comes_from_the_profile(tmp_path: Path) -> None:
    """And nothing else."""
    profile = profile_of(default_memory=1 << 30, default_disk=1, default_time=60, default_cpus=4, keep_outputs=77)
    commands = _describe(plan_of(seeds(1), tmp_path), profile)

    assert (commands["request_cpus"], commands["request_memory"], commands["request_disk"]) == ("4", "1024", "1")
    assert (commands["allowed_execute_duration"], commands["max_retries"]) == ("60", "0")
    assert "< 77" in commands["leave_in_queue"]
    assert "retry_request_memory" not in commands


def test_items_name_parts_and_files_of_septum_alone(plan: Plan) -> None:
    """Item data takes no quotes, no comma but its own, no line break."""
    found = items(plan, plan.parts)

    assert [item["part"] for item in found] == ["0000", "0001", "0002"]
    assert all(re.fullmatch(r"[a-z0-9.,-]+", text) for item in found for text in item.values())
    assert all(item["part"] in item["sent"] for item in found)


@pytest.mark.parametrize("text", [*NASTY, *DOLLARS, string.printable, "a\nqueue 9", "\r", ""])
def test_no_text_of_the_user_reaches_the_description(tmp_path: Path, text: str) -> None:
    """Two plans that differ in the user's own texts alone give the same description and items."""

    def one(word: str) -> Plan:
        part = Part(id="0000", index=0, values=(("v", word),), inputs=(), fingerprint="")
        base = plan_of(seeds(1), tmp_path)
        return replace(
            base, command=("run", word), setup=(word,), environment=(("X", word),), parts=(part,),
            outputs=(OutputFile(path=word, objects=(word,)),), tolerance="0",
        )  # fmt: skip

    hostile, tame = one(text), one("zebra")

    assert _describe(hostile) == _describe(tame)
    assert items(hostile, hostile.parts) == items(tame, tame.parts)
    assert "zebra" not in str(_describe(tame)) + str(items(tame, tame.parts))


def test_output_names_of_the_user_are_not_in_the_description(tmp_path: Path) -> None:
    """They travel under septum's own names."""
    text = 'command: [run]\noutputs: ["a, b = $(x).root"]\nparts: {list: [{v: 1}]}\nmerge: {}\n'
    commands = _describe(plan_of(text, tmp_path))

    assert commands["transfer_output_files"] == "septum-$(part).status,septum-$(part).out0"
    assert "$(x)" not in str(commands)


# ── hostile values that do stand there ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["singularity-image", "container-image"])
def test_a_strange_image_stays_the_name_of_an_image(plan: Plan, method: str) -> None:
    """No command is added or changed, nothing of it is expanded, and the attribute holds the very name."""
    image = "/a=b/@~+:x/queue.5-_"
    commands = _describe(replace(plan, image=image), profile_of(image_method=method))
    read = _read(commands)
    name = "MY.SingularityImage" if method == "singularity-image" else "container_image"
    expanded = read.expand(name)

    assert {key: value for key, value in commands.items() if key in _describe(plan)} == _describe(plan)
    assert (classad2.ExprTree(expanded).eval() if name.startswith("MY.") else expanded) == image


@pytest.mark.parametrize("text", [*NASTY, *DOLLARS])
@pytest.mark.parametrize("method", ["singularity-image", "container-image"])
def test_a_hostile_image_is_not_the_name_of_an_image(plan: Plan, text: str, method: str) -> None:
    """It is refused before a description is made, in whatever form it comes."""
    for image in (f'docker://x/{text}"', f"/{text};", f"https://x/{text} .sif"):
        with pytest.raises(ImageNameError) as caught:
            _describe(replace(plan, image=image), profile_of(image_method=method))
        assert caught.value.fix


@pytest.mark.parametrize(
    "text", ["a\nqueue 9", "a\r\nqueue 9", "a\x0bb", "a\0b", "a\x1b[2J", 'a\n+Owner = "root"', "a\\", *DOLLARS]
)
def test_what_would_be_another_command_is_refused(plan: Plan, text: str) -> None:
    """A line break is a new command, and a backslash at the end takes the next one in; both are errors with a fix."""
    dollar = "$" in text
    for hostile, profile in (
        (replace(plan, image="/" + text), profile_of(image_method="container-image")),
        (replace(plan, name="x" if dollar else text), profile_of(attributes={"Site": text} if dollar else {})),
        (plan, profile_of(attributes={"Site": text})),
    ):
        if dollar and hostile.image is None:
            continue  # the profile refuses it, and a plan's name has none
        with pytest.raises((SubmitRefusedError, ImageNameError)) as caught:
            _describe(hostile, profile)
        assert caught.value.fix


def test_why_it_is_refused(plan: Plan) -> None:
    """HTCondor would read a second command: if it ever did not, this guard could go."""
    read = htcondor2.Submit({"batch_name": "x\nrequest_memory = 9"})

    assert "request_memory" in read


@pytest.mark.parametrize("literal", ['"condor"', '"a\\"b; queue"', "true", "-1.5e3", "undefined"])
def test_attributes_of_the_site(plan: Plan, literal: str) -> None:
    """The literal arrives as the value that it is."""
    read = _read(_describe(plan, profile_of(attributes={"Owner": literal})))

    assert str(classad2.ExprTree(read.expand("MY.Owner"))) == str(classad2.ExprTree(literal))


def test_requirements_stay_one_expression(plan: Plan) -> None:
    """In parentheses of their own."""
    read = _read(_describe(plan, profile_of(requirements='SiteName == "a" || true')))

    assert read.expand("requirements") == f'(SiteName == "a" || true) && {AVOIDS}'


def test_the_proxy_is_a_path(plan: Plan, tmp_path: Path) -> None:
    """Delegated by HTCondor, never in an environment."""
    assert _read(_describe(plan, proxy_file=tmp_path / "proxy"))["x509userproxy"] == str(tmp_path / "proxy")


@pytest.mark.parametrize("text", NASTY)
def test_quote(text: str) -> None:
    """What HTCondor reads out of the literal is the text."""
    read = htcondor2.Submit({"MY.X": quote(text)})

    assert classad2.ExprTree(read.expand("MY.X")).eval() == text


@pytest.mark.parametrize("text", ["\n", "a\rb", "\0", *DOLLARS])
def test_quote_refuses_what_no_literal_can_hold(text: str) -> None:
    """A line break, and what the submit language would expand."""
    with pytest.raises(SubmitRefusedError, match="cannot stand") as caught:
        quote(text)
    assert caught.value.fix


# ── expressions ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "expected"), [(1, 1_800_000_001), (2, 1_800_000_001), (4, NEVER_S), (5, 1_800_000_001)]
)
def test_the_lease_as_htcondor_evaluates_it(status: int, expected: int) -> None:
    """Idle, running and held jobs remove themselves; one that has ended keeps its outputs."""
    ad = classad2.ClassAd({"JobStatus": status})
    ad["TimerRemove"] = classad2.ExprTree(lease_expression(LEASE_S))

    assert ad.eval("TimerRemove") == expected


def test_the_lease_never_reaches_the_far_end() -> None:
    """The far time is later than any lease of the next years."""
    assert lease_expression(1.0) == f"ifThenElse(JobStatus == 4, {NEVER_S}, 1)"
    assert NEVER_S > LEASE_S


@pytest.mark.parametrize(
    ("status", "ended_ago_s", "stays"),
    [(4, None, True), (4, 10, True), (4, 10**6, False), (3, 10, False), (1, None, False)],
)
def test_outputs_stay_for_a_while(plan: Plan, status: int, ended_ago_s: int | None, *, stays: bool) -> None:
    """A job that has ended stays in the queue with its outputs, and not for ever; a removed one does not."""
    ad = classad2.ClassAd({"JobStatus": status})
    if ended_ago_s is not None:
        ad["CompletionDate"] = classad2.ExprTree(f"time() - {ended_ago_s}")
    ad["Leave"] = classad2.ExprTree(_describe(plan)["leave_in_queue"])

    assert ad.eval("Leave") is stays


@pytest.mark.parametrize(
    ("code", "holds", "held_s", "released"),
    [
        (releasable_codes()[0], 1, 100, True),
        (releasable_codes()[-1], MAX_RELEASES, 100, True),
        (releasable_codes()[0], MAX_RELEASES + 1, 100, False),
        (releasable_codes()[0], 1, 10, False),
        (1, 1, 10**6, False),
        (34, 1, 10**6, False),
        (3, 1, 10**6, False),
    ],
)
def test_release(plan: Plan, code: int, holds: int, held_s: int, *, released: bool) -> None:
    """Transient holds are released a few times after a minute; what a person held never is."""
    ad = classad2.ClassAd({"HoldReasonCode": code, "NumHolds": holds})
    ad["EnteredCurrentStatus"] = classad2.ExprTree(f"time() - {held_s}")
    ad["Release"] = classad2.ExprTree(_describe(plan)["periodic_release"])

    assert ad.eval("Release") is released
