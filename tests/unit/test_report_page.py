"""The page of a run: complete, whole without any other host, harmless whatever the names, and never too large."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from septum.compare.verdicts import Comparison, Verdict
from septum.manifest import Held
from septum.report import page, plots
from septum.report.histograms import Axis, Histogram
from septum.report.material import Material, gather, items
from tests.fakes import reports

_VOID = {"meta", "input", "br", "link", "img", "hr"}


class Parsed(HTMLParser):
    """A page as a tree walker saw it: elements with attributes, and the text of all."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As SVG has them."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """It closes the last one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def _checked(text: str) -> Parsed:
    """What is true of every page, whatever it shows."""
    parsed = Parsed(text)
    tags = Counter(tag for tag, _ in parsed.elements)
    assert tags["script"] == 1
    assert tags["h1"] == tags["main"] == tags["header"] == 1
    assert not {"link", "iframe", "object", "embed", "form", "base", "img", "audio", "video"} & set(tags)
    for tag, attributes in parsed.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("href", "src", "action", "xlink:href"):
            target = attributes.get(name) or ""
            assert re.match(r"(#|https?://|data:image/png;base64,|[^:]*$)", target), (tag, target)
            assert tag == "a" or not target.startswith("http"), "nothing but a link leads elsewhere"
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(target["href"] or "")[1:] for target in parsed.all("use")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert tags["table"] == tags["caption"]
    assert all(attributes.get("scope") in {"row", "col"} for attributes in parsed.all("th"))
    pictures = [attributes for attributes in parsed.all("svg") if attributes.get("role") == "img"]
    assert tags["title"] == len(pictures) + 1
    assert len(pictures) == tags["svg"] - 1, "only the shared definitions are no picture"
    return parsed


@pytest.fixture(scope="module")
def dimuon(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A whole run with a result and a reference, read from files."""
    folder = tmp_path_factory.mktemp("dimuon")
    run = reports.manifest(objects=reports.write_file(folder / "dimuon.root"))
    reports.write_file(folder / "reference.root", seed=2)
    verdicts = {"mass": Verdict.DIFFERENT, "sr/eta": Verdict.COMPATIBLE, "gone": Verdict.MISSING}
    compared = reports.comparison(run, verdicts, detail="bin 52")
    return gather(folder, run, compared, references={"dimuon.root": folder / "reference.root"})


@pytest.fixture(scope="module")
def whole_page(dimuon: Material) -> str:
    """Its page."""
    return page.html(dimuon)


def test_a_run_of_411_parts(whole_page: str) -> None:
    """Everything that a reader looks for is there, in its order."""
    parsed = _checked(whole_page)
    text = "".join(parsed.text)
    places = [
        whole_page.index(f'<h2 id="{name}">')
        for name in (
            "verdict", "results", "comparison", "plots", "objects", "yields", "cutflows", "parts", "timeline", "usage",
            "provenance",
        )
    ]  # fmt: skip

    assert places == sorted(places)
    assert "All 411 parts of the plan are in the result." in text
    assert "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" in text
    assert "7 of 9 identical" in text
    assert "pull 4.2" in text
    assert "bin 52" in text
    assert "resources: {memory: 950 MB}" in text
    assert "3b18e512dba79e4c8300dd08aeb37f8e728b8dad" in text
    assert "|η| < 2.4, pT > 25" in text
    assert len(parsed.all("figure")) == 8
    assert "underflow 46.25, overflow 300" in text, "flow bins are noted"
    assert "bins of different width" in text
    assert "On a linear scale" in text


def test_the_worst_plots_come_first(whole_page: str) -> None:
    """In plots, shapes and list alike."""
    figures = re.findall(r"<figcaption><strong><code>(.+?)</code>", whole_page)
    listed = re.findall(r'<tr><th scope="row" class="name"><code>(.+?)</code></th><td>T', whole_page)

    assert figures[:2] == ["mass", "sr/eta"]
    assert listed[:2] == ["mass", "sr/eta"]
    assert sorted(listed) == sorted([*figures, "events"])


def test_every_picture_says_its_numbers(whole_page: str) -> None:
    """For those who do not see it."""
    described = re.findall(r"<title>([^<]+)</title><desc>([^<]+)</desc>", whole_page)
    titles = dict(described)

    assert titles["mass, with the reference"].startswith("24000 entries; integral")
    assert "at most" in titles["Jobs that ran and jobs that waited, over time"]
    assert "each asked for 2048 MB" in titles["Memory of the jobs"]
    assert re.search(r"<title>mass: 24000 entries, integral [\d.]+, 80 bins from 40 to 120</title>", whole_page)


def test_the_same_run_gives_the_same_bytes(dimuon: Material) -> None:
    """No clock, no counter, no order of a set; a map is a picture of pixels, too."""
    chosen = ("mass", "top_cr/pt_eta", "cutflow")
    material = replace(dimuon, histograms=tuple(item for item in dimuon.histograms if item.path in chosen))

    assert page.html(material) == page.html(material)


def test_scripts_that_are_not_ours_do_not_run(whole_page: str) -> None:
    """The policy names the hash of the one script, and allows no request at all."""
    import base64
    import hashlib

    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', whole_page)[0].replace("&#39;", "'")
    script = re.findall(r"<script>(.*?)</script>", whole_page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert whole_page.index("Content-Security-Policy") < whole_page.index("<style")


def test_hostile_names() -> None:
    """Not one of them becomes an element, an attribute, a link, or a line of its own."""
    run = reports.hostile()
    verdicts = {reports.HOSTILE[0]: Verdict.DIFFERENT, reports.HOSTILE[6]: Verdict.MISSING}
    evil = reports.histograms(len(reports.HOSTILE), result=run.results[0].name)
    named = tuple(
        replace(
            histogram, path=text, title=text, y_title=text,
            axes=(Axis(title=text, edges=np.linspace(0, 50, 51), labels=(text,) * 50 if number % 2 else ()),),
        )
        for number, (histogram, text) in enumerate(zip(evil, reports.HOSTILE, strict=True))
    )  # fmt: skip
    compared = replace(reports.comparison(run, verdicts, detail=reports.HOSTILE[1]), notes=reports.HOSTILE)
    material = Material(
        manifest=run, comparison=compared, items=items(run, compared), histograms=named,
        unread={(text, text): text for text in reports.HOSTILE},
        logs={part.id: reports.HOSTILE[1] for part in run.parts},
    )  # fmt: skip
    text = page.html(material)
    parsed = _checked(text)

    assert len(parsed.all("figure")) == len(reports.HOSTILE)
    assert "Not drawn" not in text
    assert "\u202e" not in text
    assert "x" * 200 not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    assert len(text) < 2_000_000


def test_a_run_without_result() -> None:
    """The failure and its fix stand first; there are no empty sections."""
    text = page.html(Material(manifest=reports.without_result(parts=50, failed=(2, 7, 30))))
    parsed = _checked(text)
    headings = re.findall(r'<h2 id="(\w+)"', text)

    assert headings == ["verdict", "parts", "timeline", "usage", "provenance"]
    assert "no such dataset" in "".join(parsed.text)
    assert "septum run --cluster local --parts 0002" in "".join(parsed.text)


def test_thousands_of_parts_and_of_objects() -> None:
    """Stay a page of a few megabytes that says how much it leaves out."""
    objects = {f"d{number // 100}/h{number}": Held(kind="TH1D", entries=float(number)) for number in range(50_000)}
    run = reports.manifest(parts=5000, failed=tuple(range(0, 5000, 3)), objects=objects)
    compared = reports.comparison(run, dict.fromkeys(list(objects)[::10], Verdict.DIFFERENT))
    histograms = tuple(replace(item, path=path) for item, path in zip(reports.histograms(2000), objects, strict=False))
    shown = items(run, compared)
    material = Material(manifest=run, comparison=compared, items=shown, histograms=histograms, unlooked=48_000)
    text = page.html(material, max_plots=1)
    _checked(text)

    assert len(text.encode()) < 5_000_000
    assert "and 48,000 more objects" in text
    assert "and 48,500 more histograms" in text
    assert "and 1,999 more; their shapes are below" in text
    assert "and 4,950 more objects to look at" in text
    assert re.search(r"All 556 parts.+?and 356 more parts", text, re.DOTALL)


def test_few_jobs_get_a_line_each() -> None:
    """With their ids, what failed marked by more than a colour; many are counted over time."""
    few = page.html(Material(manifest=reports.manifest(parts=24, failed=(3,))))
    many = page.html(Material(manifest=reports.manifest(parts=411)))

    assert "Jobs in the queue and running, one line each" in few
    assert few.count("✕</text>") == 1
    assert ">0003</text>" in few
    assert "Jobs that ran and jobs that waited, over time" in many


def test_relaxed_policies_are_named() -> None:
    """With what each of them means."""
    run = replace(reports.manifest(parts=2), policies={"labels": "by-name", "sums": "plain"})
    text = page.html(Material(manifest=run))

    assert re.search(r"<code>labels</code></th><td><code>by-name</code></td><td>Labels of axes that differ", text)
    assert re.search(r"<code>sums</code></th><td><code>plain</code>", text)
    assert "Relaxed policies" not in page.html(Material(manifest=reports.manifest(parts=2)))


def test_nothing_to_compare_with() -> None:
    """Is said, and is no good news."""
    run = reports.manifest(parts=2)
    none = page.html(Material(manifest=run, comparison=Comparison(nothing="main has no pipeline yet")))
    empty = page.html(
        Material(
            manifest=run,
            comparison=reports.comparison(replace(run, results=(replace(run.results[0], objects={}),)), {}),
        )
    )

    assert "nothing to compare with: main has no pipeline yet" in none
    assert "Not one object was compared" in empty


# ── plots that cannot be ────────────────────────────────────────────────────────────────────────────────────────


def test_without_matplotlib(dimuon: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shapes are there all the same, and the page says what to install."""
    find = importlib.util.find_spec

    def absent(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in {"matplotlib", "mplhep"} else find(name, package)

    monkeypatch.setattr("importlib.util.find_spec", absent)
    text = page.html(dimuon)
    _checked(text)

    assert "matplotlib and mplhep are not installed" in text
    assert "pip install &#39;septum[report]&#39;" in text
    assert text.count('class="spark"') == 7
    assert "<figure" not in text


def test_a_plot_that_fails(dimuon: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says why in its place; all others are drawn."""
    draw = plots.draw

    def failing(histogram: Histogram, reference: Histogram | None = None, *, log: bool = False) -> str:
        if histogram.path == "mass":
            raise RuntimeError("no font has <this> glyph")
        return draw(histogram, reference, log=log)

    monkeypatch.setattr(plots, "draw", failing)
    parsed = _checked(text := page.html(dimuon, max_plots=2))

    assert [attributes["class"] for attributes in parsed.all("svg")].count("plot") == 1
    assert len(parsed.all("figure")) == 2
    assert "Not drawn: RuntimeError: no font has &lt;this&gt; glyph" in text


@pytest.mark.parametrize(
    "values", [[0.0] * 50, [np.nan] * 50, [np.inf, *[1.0] * 49], [1e308] * 50, [-5.0] * 50, [1e-300] * 50]
)
@pytest.mark.parametrize("bins", [50, 1])
def test_odd_contents(values: list[float], bins: int) -> None:
    """Empty, infinite, negative, tiny: each is drawn, or says why not."""
    histogram = reports.histograms(1)[0]
    content = np.asarray(values[:bins])
    with np.errstate(all="ignore"):
        errors = np.sqrt(np.abs(content))
    odd = replace(histogram, values=content, errors=errors, axes=(Axis(title="x", edges=np.linspace(0, 1, bins + 1)),))
    run = reports.manifest(parts=1, objects={odd.path: Held(kind="TH1D", entries=1.0)})
    text = page.html(
        Material(manifest=run, items=items(run, None), histograms=(odd,), references={(odd.result, odd.path): odd})
    )
    _checked(text)

    assert text.count('class="plot"') >= 1


def test_a_reference_with_other_axes(dimuon: Material) -> None:
    """Is not drawn beside the run, and the page says so."""
    key = ("dimuon.root", "mass")
    other = replace(dimuon.references[key], axes=(Axis(title="", edges=np.linspace(0, 1, 81)),))
    text = page.html(replace(dimuon, references={key: other}), max_plots=1)

    assert "the reference has other axes, and is not drawn" in text


def test_a_histogram_of_very_many_bins() -> None:
    """Is drawn with bins joined, and says so; a profile of as many says why it is not."""
    fine = reports.histograms(1)[0]
    edges = np.linspace(0, 1, 100_001)
    fine = replace(fine, values=np.ones(100_000), errors=np.ones(100_000), axes=(Axis(title="x", edges=edges),))
    run = reports.manifest(parts=1, objects={fine.path: Held(kind="TH1D", entries=1.0)})
    material = Material(
        manifest=run, items=items(run, None), histograms=(fine,), references={(fine.result, fine.path): fine}
    )
    text = page.html(material)
    profile = page.html(replace(material, histograms=(replace(fine, profile=True),)))

    assert "250 bins are joined into one" in text
    assert len(text) < 200_000
    assert "Not drawn: a profile of 100000 bins" in profile


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_read(dimuon: Material) -> None:
    """Contents with errors, flow bins, labels, titles, dimensions, profiles."""
    by_path = {histogram.path: histogram for histogram in dimuon.histograms}

    assert [item.path for item in dimuon.items][:2] == ["mass", "sr/eta"]
    assert by_path["cutflow"].axes[0].labels[1:3] == ("trigger", "#geq 2 muons")
    assert by_path["sr/pt_bins"].variable_bins
    assert by_path["top_cr/pt_eta"].values.shape == (24, 25)
    assert by_path["response"].profile
    assert by_path["response"].y_title == "p_{T}^{reco} / p_{T}^{gen}"
    assert by_path["mass"].x_title == "m(#mu#mu) [GeV]"
    assert by_path["mass"].values.sum() + by_path["mass"].under + by_path["mass"].over == pytest.approx(
        9031.25, abs=200
    )
    assert dimuon.unread == {}


@pytest.mark.parametrize("damage", ["gone", "truncated", "text", "empty"])
def test_results_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Cost the plots, not the page."""
    path = tmp_path / "dimuon.root"
    run = reports.manifest(parts=3, objects=reports.write_file(path))
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(
            {"truncated": content[: len(content) // 8], "text": b"<html>sorry</html>", "empty": b""}[damage]
        )
    material = gather(tmp_path, run)
    text = page.html(material)
    _checked(text)

    assert material.unread
    assert "dimuon.root:</strong>" in text or "could not be read" in text


def test_names_in_the_manifest_lead_nowhere_else(tmp_path: Path) -> None:
    """A path out of the folder is not opened, neither for a result nor for a log."""
    outside = tmp_path / "secret.root"
    held = reports.write_file(outside)
    (tmp_path / "token").write_text("s3cr3t")
    folder = tmp_path / "result"
    run = reports.manifest(parts=2, failed=(1,), objects=held)
    run = replace(
        run,
        results=(replace(run.results[0], file="../secret.root"),),
        parts=(run.parts[0], replace(run.parts[1], log="../token")),
    )
    reports.store(folder, run)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "link").symlink_to(tmp_path / "token")
    linked = replace(run, parts=(run.parts[0], replace(run.parts[1], log="logs/link")))

    assert gather(folder, run).histograms == ()
    assert gather(folder, run).logs == {}
    assert gather(folder, linked).logs == {}


def test_hostile_texts_in_a_file(tmp_path: Path) -> None:
    """Names, titles and labels, through ROOT's format and back."""
    texts = [text.replace("/", "") for text in reports.HOSTILE if "\x00" not in text]
    edges = np.linspace(0, len(texts), len(texts) + 1)
    flat = reports.th1("", edges[:-1] + 0.5, np.ones(len(texts)), edges, labels=texts)
    extra = {text: reports.th1(text, edges[:-1], np.ones(len(texts)), edges) for text in texts} | {"labels": flat}
    run = reports.manifest(parts=1, objects=reports.write_file(tmp_path / "dimuon.root", only=("none",), extra=extra))
    material = gather(tmp_path, run)
    shown = page.html(material)
    _checked(shown)

    assert material.unread == {}
    assert next(step for step in material.histograms if step.path == "labels").axes[0].labels == tuple(texts)
    assert "Not drawn" not in shown
    assert "\u202e" not in shown


def test_secrets_in_logs(tmp_path: Path) -> None:
    """What this process knows to be secret is not shown."""
    from septum.credentials.secret import Secret

    secret = Secret("correct-horse-battery-staple-4711")
    run = reports.manifest(parts=2, failed=(1,))
    reports.store(tmp_path, run)
    (tmp_path / "logs" / "septum-0001.stderr").write_text(f"Authorization: Bearer {secret.reveal()}\n")

    assert gather(tmp_path, run).logs == {"0001": "Authorization: Bearer ***"}
