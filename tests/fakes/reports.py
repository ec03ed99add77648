"""Runs to be shown: manifests of any size and end, merged files as an analysis writes them, and comparisons.

All numbers come from seeded generators, so that the same run has the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from uproot.writing.identify import to_TAxis, to_TH1x, to_TH2x, to_THashList, to_TObjString, to_TProfile

from septum.compare.verdicts import Comparison, Entry, Reference, Verdict
from septum.manifest import Asked, Failure, Held, Manifest, PartFacts, PartOutput, ResultFile, to_json
from septum.report.histograms import Array, Axis, Histogram

BEGAN_S = 1_772_000_000.0
_MB = 1024**2

HOSTILE = (
    "<script>alert(1)</script>",
    "]]><!-- </title><img src=x onerror=alert(1)>",
    "a|b`c`\n/close\n@all ![x](https://tracker.example.org/p.gif)",
    "gpj.\u202etnemucod\u202c",
    "nul\x00bel\x07esc\x1b[31mred",
    "Z\u0335\u0321\u0322\u031b\u0327algo" + "\u0336" * 50,
    "x" * 10_000,
    "{{ 7 * 7 }} {% raw %} ${IFS} $[[ inputs.x ]]",
    '" onmouseover="alert(1)" x=\'',
    r"\frac{1}{0}$ $_{#font[",
)
"""Names that somebody may give to an object, a title, a label or a part."""


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CAUSES = (
    (
        "E301",
        "the command ended with exit code 7",
        7,
        "no such dataset: /DYJetsToLL_M-50/NANOAODSIM\nTraceback: KeyError 'nMuon'",
    ),
    (
        "E304",
        "its job is held and will not go on",
        None,
        "hold code 34 (JobOutOfResources): used 2.1 GB, asked for 2 GB",
    ),
    ("E307", "the command was stopped after 2 h", None, "it ran into 'resources: time'"),
)


def part(number: int, *, failed: int | None = None, seed: int = 1) -> PartFacts:
    """One part of a run: times, memory and CPU as on a cluster; `failed` chooses a cause."""
    rng = np.random.default_rng([seed, number])
    submitted = BEGAN_S + 40 + rng.uniform(0, 5)
    started = submitted + rng.gamma(2.0, 300)
    wall = float(rng.gamma(9.0, 90) + 60)
    values = {"sample": ("DY", "TT", "WW", "ggH", "data")[number % 5], "first": str(1000 * number)}
    common: dict[str, Any] = {
        "id": f"{number:04d}",
        "values": values,
        "fingerprint": hashlib.sha256(str(number).encode()).hexdigest(),
        "job": f"4711.{number}",
        "host": f"wn-{number % 37:03d}.example.org",
        "attempts": 2 if number % 29 == 3 else 1,
        "submitted_s": submitted,
        "started_s": started,
        "ended_s": started + wall,
        "cpu_s": wall * float(rng.beta(30, 4)),
        "memory_b": int((520 + rng.gamma(4.0, 25)) * _MB),
    }
    if failed is None:
        output = PartOutput(path="hists.root", size_b=40_000 + number, sha256="a" * 64, content="b" * 64)
        return PartFacts(**common, state="merged", exit_code=0, outputs=(output,))
    code, message, exit_code, evidence = _CAUSES[failed % len(_CAUSES)]
    log = f"logs/septum-{number:04d}.stderr"
    fix = f"run it here to see more: septum run --cluster local --parts {number:04d}"
    return PartFacts(
        **common, state="failed", cause=code, message=message, exit_code=exit_code, evidence=evidence, fix=fix, log=log
    )


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def write_file(
    path: Path, *, seed: int = 1, only: Sequence[str] = (), extra: Mapping[str, Any] | None = None
) -> dict[str, Held]:
    """A merged file as a dimuon analysis writes it: spectra, a map, a profile, cut flow, names with folders.

    Returns:
        What it holds, for a manifest.
    """
    rng = np.random.default_rng(seed)
    n = 24_000
    is_z = rng.random(n) < 0.6
    mass = np.clip(np.where(is_z, 91.19 + 1.25 * rng.standard_cauchy(n), 40 + rng.exponential(30, n)), 1, 500)
    pt, eta = 15 + rng.exponential(20, n), rng.normal(0, 1.3, n)
    weight = rng.integers(-1, 5, n) / 4
    ones = np.ones(n)
    log_edges = np.array([20, 25, 30, 40, 50, 60, 80, 100, 140, 200, 300, 500.0])
    objects: dict[str, Any] = {
        "mass": th1("m(#mu#mu) [GeV]", mass, weight, np.linspace(40, 120, 81)),
        "sr/pt_lead": th1("p_{T}^{lead} [GeV]", pt, ones, np.linspace(0, 200, 51)),
        "sr/pt_bins": th1("p_{T}(#mu) [GeV]", pt, weight, log_edges, variable=True),
        "sr/eta": th1("#eta(#mu)", eta, ones, np.linspace(-2.4, 2.4, 49)),
        "top_cr/mass_wide": th1("m_{#mu#mu} [GeV]", mass, ones, np.linspace(0, 500, 101)),
        "top_cr/pt_eta": th2(
            "#eta(#mu)", "p_{T}(#mu) [GeV]", eta, pt, np.linspace(-2.4, 2.4, 25), np.linspace(10, 110, 26)
        ),
        "response": profile(
            "p_{T}^{gen} [GeV]", "p_{T}^{reco} / p_{T}^{gen}", pt, rng.normal(1, 0.02, n), np.linspace(15, 115, 21)
        ),
        "cutflow": th1(
            "", np.repeat([0.5, 1.5, 2.5, 3.5], [n, int(0.81 * n), int(0.62 * n), int(0.23 * n)]),
            np.ones(n + int(0.81 * n) + int(0.62 * n) + int(0.23 * n)), np.linspace(0, 4, 5),
            labels=["all events", "trigger", "#geq 2 muons", "|#eta| < 2.4, p_{T} > 25"],
        ),
    }  # fmt: skip
    objects = {name: item for name, item in objects.items() if not only or name in only} | dict(extra or {})
    with uproot.recreate(path) as file:
        for name, item in objects.items():
            file[name] = item
        file.mktree("events", {"mass": "f8"}).extend({"mass": mass[:500]})
    with uproot.open(path) as file:
        kinds = file.classnames(recursive=True, cycle=False)
        return {
            name: Held(kind=kind, entries=500.0 if kind == "TTree" else float(file[name].member("fEntries")))
            for name, kind in kinds.items()
            if kind != "TDirectory"
        }


def th1(
    title: str, values: Array, weights: Array, edges: Array, *, variable: bool = False, labels: Sequence[str] = ()
) -> Any:
    """A TH1D as ROOT's Fill would leave it, flow bins included."""
    content = np.histogram(values, [-np.inf, *edges, np.inf], weights=weights)[0]
    squares = np.histogram(values, [-np.inf, *edges, np.inf], weights=weights**2)[0]
    axis = _axis(title, edges, variable=variable, labels=labels)
    total = float(weights.sum())
    return to_TH1x(None, "", content, float(len(values)), total, float((weights**2).sum()), 0.0, 0.0, squares, axis)


def th2(title_x: str, title_y: str, x: Array, y: Array, edges_x: Array, edges_y: Array) -> Any:
    """A TH2D."""
    content = np.histogram2d(x, y, [[-np.inf, *edges_x, np.inf], [-np.inf, *edges_y, np.inf]])[0]
    flat = content.T.ravel()
    axes = [_axis(title_x, edges_x), _axis(title_y, edges_y, name="yaxis")]
    return to_TH2x(None, "", flat, float(len(x)), flat.sum(), flat.sum(), 0.0, 0.0, 0.0, 0.0, 0.0, flat, *axes)


def profile(title: str, title_y: str, x: Array, y: Array, edges: Array) -> Any:
    """A TProfile."""
    bins = [-np.inf, *edges, np.inf]
    count, total, squares = (np.histogram(x, bins, weights=weight)[0] for weight in (np.ones_like(x), y, y**2))
    return to_TProfile(
        None, "", total, float(len(x)), count.sum(), count.sum(), 0.0, 0.0, 0.0, 0.0, squares, count,
        np.asarray([], ">f8"), _axis(title, edges), to_TAxis("yaxis", title_y, 1, 0.0, 1.0),
    )  # fmt: skip


def _axis(title: str, edges: Array, *, variable: bool = False, labels: Sequence[str] = (), name: str = "xaxis") -> Any:
    strings = [to_TObjString(text) for text in labels]
    for number, string in enumerate(strings, 1):
        string._bases[0]._members["@fUniqueID"] = number
    return to_TAxis(
        name, title, len(edges) - 1, float(edges[0]), float(edges[-1]),
        np.asarray(edges, ">f8") if variable else None, fLabels=to_THashList(strings) if strings else None,
    )  # fmt: skip


# ── whole runs ──────────────────────────────────────────────────────────────────────────────────────────────────


def manifest(
    *, parts: int = 411, failed: Sequence[int] = (), objects: Mapping[str, Held] | None = None, name: str = "dimuon"
) -> Manifest:
    """A run of so many parts with one result; `failed` names those that are missing in it."""
    facts = tuple(part(number, failed=failed.index(number) if number in failed else None) for number in range(parts))
    missing = tuple(item.id for item in facts if item.cause)
    file = "dimuon.partial.root" if missing else "dimuon.root"
    held = dict(objects) if objects is not None else {"mass": Held(kind="TH1D", entries=24000.0)}
    result = ResultFile(
        name="dimuon.root",
        file=file,
        size_b=48_213,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        stamp="0c1f" * 16,
        engine="septum strict 1",
        parts=tuple(item.id for item in facts if not item.cause),
        missing=missing,
        objects=held,
    )
    within = Failure(
        code="E310",
        exit_code=39,
        what=f"{len(missing)} of {parts} parts are missing, within the tolerance",
        evidence="3 × the command ended with another exit code than 0 [E301]",
        fix="look at the causes below; set 'tolerance: 0' to make such a run fail",
    )
    return Manifest(
        septum="0.1.0",
        name=name,
        complete=not missing,
        whole_count=parts,
        plan="5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        work="6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
        run="gitlab.example.org/12/3456/5f70bf18",
        cluster="infn-af",
        schedd="ap.example.org",
        image="registry.example.org/analysis/dimuon:2.1",
        asked=Asked(cpus=1, memory_b=2048 * _MB, disk_b=1024 * _MB, time_s=7200),
        error=within if missing else None,
        results=(result,),
        parts=facts,
        origin={
            "commit": "3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
            "ref": "main",
            "pipeline-url": "https://gitlab.example.org/group/dimuon/-/pipelines/3456",
            "project-url": "https://gitlab.example.org/group/dimuon",
        },
        software={"ROOT": "6.40.00", "Python": "3.12.8", "HTCondor": "25.14.1"},
        began_s=BEGAN_S,
        ended_s=BEGAN_S + 4_321,
    )


def without_result(*, parts: int = 411, failed: Sequence[int] = (2, 11, 208)) -> Manifest:
    """A run whose failed parts cost the result."""
    run = manifest(parts=parts, failed=failed)
    first = next(item for item in run.parts if item.cause)
    error = Failure(
        code="E301",
        exit_code=30,
        what=f"part {first.id} (sample=WW, first={first.values['first']}): the command ended with exit code 7",
        evidence=f"job {first.job} on {first.host}, 1 attempt\nthe end of its stderr:\n  no such dataset\n"
        f"{len(failed)} of {parts} parts failed; there is no result",
        fix=f"run it here to see more: septum run --cluster local --parts {first.id}",
    )
    facts = tuple(item if item.cause else replace(item, state="verified") for item in run.parts)
    return replace(run, complete=False, results=(), error=error, parts=facts)


def hostile() -> Manifest:
    """A run in which every text is an attack."""
    evil = HOSTILE[0] + HOSTILE[1] + HOSTILE[2]
    facts = []
    for number, text in enumerate(HOSTILE):
        one = part(number, failed=number)
        facts.append(
            replace(
                one, values={text[:300]: text, "list": (text, text)}, message=text, evidence=text, fix=text, host=text,
                job=text, cause=one.cause if number else evil[:40], log=one.log if number % 2 else "../../etc/passwd",
            )
        )  # fmt: skip
    objects = {text: Held(kind="TH1D" if number else evil, entries=1.0) for number, text in enumerate(HOSTILE)}
    run = manifest(parts=3, objects=objects)
    return replace(
        run,
        name=evil,
        parts=tuple(facts),
        complete=False,
        results=(
            replace(
                run.results[0], name=evil, file="../" + evil, engine=evil, url="javascript:alert(1)", missing=("0001",)
            ),
        ),
        error=Failure(code="E310", exit_code=39, what=evil, evidence="\n".join(HOSTILE), fix=evil),
        policies={"labels": "by-name", evil: evil},
        origin={
            "commit": evil,
            "project-url": "javascript:alert(1)",
            evil: evil,
            "pipeline-url": "https://a:b@c.example.org/",
        },
        software={evil: evil},
        cluster=evil,
        image=evil,
    )


def store(folder: Path, run: Manifest) -> Path:
    """Write a result folder: the manifest, and the logs of failed parts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "septum.json").write_text(to_json(run), encoding="utf-8", errors="surrogatepass")
    for item in run.parts:
        if item.log and ".." not in item.log:
            (folder / "logs").mkdir(exist_ok=True)
            lines = [f"event {number}: read" for number in range(40)]
            text = "\n".join([*lines, item.evidence or "", "Error: <b>stopped</b> & done ]]> \x1b[31m\x00"])
            (folder / item.log).write_bytes(text.encode("utf-8", "surrogatepass") + b"\xff\xfe\n")
    return folder


def comparison(run: Manifest, verdicts: Mapping[str, Verdict], *, detail: str = "") -> Comparison:
    """A comparison of all objects of a run's first result; `verdicts` names those that are not identical."""
    result = run.results[0]
    found = []
    for path in {**result.objects, **dict.fromkeys(verdicts)}:
        verdict = verdicts.get(path, Verdict.IDENTICAL)
        entry = Entry(result=result.name, path=path, kind="TH1D", verdict=verdict)
        if verdict is Verdict.DIFFERENT:
            entry = replace(entry, chi2=131.5, ndf=80, p_value=2.1e-4, pull=4.2, detail=detail)
        found.append(entry)
    url = "https://gitlab.example.org/group/dimuon/-/pipelines/3400"
    reference = Reference(asked="default-branch", found="pipeline 3400 of main", commit="89abcdef01", url=url)
    return Comparison(reference=reference, entries=tuple(found))


def histograms(number: int, *, result: str = "dimuon.root", seed: int = 3) -> list[Histogram]:
    """So many spectra as values, without a file."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, 200, 51)
    axis = Axis(title="m_{ll} [GeV]", edges=edges)
    found = []
    for index in range(number):
        shape = np.exp(-edges[:-1] / rng.uniform(20, 80)) * 10 ** rng.uniform(1, 5)
        values = rng.poisson(shape).astype(float)
        found.append(
            Histogram(
                result=result, path=f"cut{index // 60:02d}/var{index // 5 % 12:02d}/histo_{index % 5}", kind="TH1D",
                title="", axes=(axis,), values=values, errors=np.sqrt(values), entries=float(values.sum()),
            )
        )  # fmt: skip
    return found
