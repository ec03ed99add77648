"""The page of a run in a real browser: it asks nobody for anything, complains of nothing, and can be used by all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from septum.compare.verdicts import Verdict
from septum.manifest import Held
from septum.report import page
from septum.report.material import Material, gather, items
from tests.browser.chromium import Seen, Visit, look, unavailable
from tests.fakes import reports

_WIDTHS = (360, 800, 1400)
# Where to leave pictures of all pages, for people who work on them.
_PICTURES = os.environ.get("SEPTUM_TEST_PICTURES", "")
_USE_OBJECTS = """async () => {
  const input = document.querySelector("#objects-filter input");
  const rows = () => Array.from(document.querySelectorAll("#objects-table tbody tr")).filter((row) => !row.hidden);
  const names = () => rows().map((row) => row.cells[0].textContent.trim());
  const all = names();
  input.value = "SR/ ident"; input.dispatchEvent(new Event("input"));
  const told = document.querySelector("#objects-filter output").textContent;
  const filtered = names();
  const shapes = Array.from(document.querySelectorAll("#sparklines > li")).filter((item) => !item.hidden).length;
  input.value = ""; input.dispatchEvent(new Event("input"));
  const head = document.querySelectorAll("#objects-table thead th")[2];
  head.querySelector("button").click();
  const up = [head.getAttribute("aria-sort"), names()[0]];
  head.querySelector("button").click();
  const down = [head.getAttribute("aria-sort"), names()[0]];
  return { all, told, filtered, shapes, up, down };
}"""
_ATTACKED = """() => ({
  alerts: typeof window.attacked, names: document.querySelectorAll("#objects-table tbody tr").length,
  inputs: document.querySelectorAll("input").length, scripts: document.scripts.length,
})"""


def _whole(folder: Path) -> Material:
    run = reports.manifest(objects=reports.write_file(folder / "dimuon.root"))
    reports.write_file(folder / "reference.root", seed=2)
    verdicts = {"mass": Verdict.DIFFERENT, "top_cr/mass_wide": Verdict.DIFFERENT, "sr/eta": Verdict.COMPATIBLE,
                "response": Verdict.ROUNDING, "sr/gone": Verdict.MISSING, "cutflow": Verdict.NEW}  # fmt: skip
    run = replace(run, policies={"labels": "by-name"})
    compared = reports.comparison(run, verdicts, detail="bin 52: 1312 instead of 1188")
    return gather(folder, run, compared, references={"dimuon.root": folder / "reference.root"})


def _failed(folder: Path) -> Material:
    run = reports.without_result(parts=24, failed=(2, 5, 11))
    return gather(reports.store(folder, run), run)


def _large() -> Material:
    objects = {
        f"d{number // 60}/histogram_{number}": Held(kind="TH1D", entries=float(number)) for number in range(1200)
    }
    run = reports.manifest(parts=5000, failed=tuple(range(0, 5000, 9)), objects=objects)
    histograms = tuple(replace(item, path=path) for item, path in zip(reports.histograms(1200), objects, strict=True))
    return Material(manifest=run, items=items(run, None), histograms=histograms)


def _hostile() -> Material:
    run = reports.hostile()
    compared = reports.comparison(run, {reports.HOSTILE[0]: Verdict.DIFFERENT}, detail=reports.HOSTILE[1])
    plain = reports.histograms(len(reports.HOSTILE), result=run.results[0].name)
    histograms = tuple(replace(item, path=text, title=text) for item, text in zip(plain, reports.HOSTILE, strict=True))
    return Material(
        manifest=run, comparison=compared, items=items(run, compared), histograms=histograms,
        logs={part.id: "<script>window.attacked = 1</script>" for part in run.parts},
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Seen]:
    """What the browser saw on all pages, by page and how it was looked at; one browser for all."""
    if reason := unavailable():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("pages")
    materials = {
        "whole": _whole(folder),
        "failed": _failed(folder / "failed"),
        "large": _large(),
        "hostile": _hostile(),
    }
    urls = {}
    for name, material in materials.items():
        path = folder / f"{name}.html"
        path.write_text(page.html(material, max_plots=8 if name == "whole" else 2), encoding="utf-8")
        urls[name] = path.as_uri()
    visits = {f"whole {width} light": Visit(url=urls["whole"], width=width) for width in _WIDTHS}
    visits |= {f"whole {width} dark": Visit(url=urls["whole"], width=width, scheme="dark") for width in _WIDTHS}
    visits |= {
        "failed 360 dark": Visit(url=urls["failed"], width=360, scheme="dark"),
        "large 320 light": Visit(url=urls["large"], width=320, axe=False),
        "hostile 360 light": Visit(url=urls["hostile"], width=360, script=f"({_ATTACKED})()"),
        "hostile 800 dark": Visit(url=urls["hostile"], width=800, scheme="dark", axe=False),
        "whole 800 keys": Visit(url=urls["whole"], width=800, axe=False, keys=["Tab"] * 12),
        "whole 800 use": Visit(url=urls["whole"], width=800, axe=False, script=f"({_USE_OBJECTS})()"),
        "whole 800 print": Visit(url=urls["whole"], width=800, media="print", axe=False),
        "whole 800 without JavaScript": Visit(url=urls["whole"], width=800, javascript=False, axe=False),
    }
    if _PICTURES:
        names = {name: str(Path(_PICTURES) / f"{name.replace(' ', '-')}.png") for name in visits}
        visits = {name: replace(visit, screenshot=names[name]) for name, visit in visits.items()}
    return dict(zip(visits, look(list(visits.values())), strict=True))


_NAMES = [
    *(f"whole {width} {scheme}" for scheme in ("light", "dark") for width in _WIDTHS), "failed 360 dark",
    "large 320 light", "hostile 360 light", "hostile 800 dark", "whole 800 keys", "whole 800 use", "whole 800 print",
    "whole 800 without JavaScript",
]  # fmt: skip


@pytest.mark.parametrize("name", _NAMES)
def test_nothing_is_asked_for_and_nothing_complained_of(seen: Mapping[str, Seen], name: str) -> None:
    """One request, for the page itself; an empty console; no scrolling from side to side."""
    assert len(seen[name].requests) == 1
    assert seen[name].requests[0].startswith("file:///")
    assert seen[name].console == []
    assert seen[name].overflow == 0


@pytest.mark.parametrize("name", [*_NAMES[:7], "hostile 360 light"])
def test_everybody_can_use_it(seen: Mapping[str, Seen], name: str) -> None:
    """Contrast, names, headings, landmarks, tables, regions that scroll: axe-core finds nothing to complain of."""
    assert seen[name].passes > 30, "axe-core has looked"
    assert seen[name].axe == []


def test_the_keyboard_alone(seen: Mapping[str, Seen]) -> None:
    """The first stop leads past the contents; each stop can be seen."""
    stops = seen["whole 800 keys"].focus

    assert stops[0]["text"] == "Skip to the content"
    assert [stop["text"] for stop in stops[1:4]] == ["Results", "Comparison", "Plots"]
    assert {stop["outline"] for stop in stops} == {"solid"}


def test_objects_are_filtered_and_sorted(seen: Mapping[str, Seen]) -> None:
    """By words in any order and case, shapes included; by numbers, up and down."""
    answer = seen["whole 800 use"].answer

    assert answer["all"][:2] == ["mass", "top_cr/mass_wide"]
    assert answer["filtered"] == ["sr/pt_lead", "sr/pt_bins"]
    assert (answer["told"], answer["shapes"]) == ("2 of 9 listed", 2)
    assert answer["up"] == ["ascending", "events"]
    assert answer["down"] == ["descending", "cutflow"]


def test_hostile_names_do_nothing(seen: Mapping[str, Seen]) -> None:
    """No script ran, no element was made."""
    assert seen["hostile 360 light"].answer == {
        "alerts": "undefined", "names": len(reports.HOSTILE), "inputs": 1, "scripts": 1,
    }  # fmt: skip
