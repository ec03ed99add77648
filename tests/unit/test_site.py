"""The site of the documentation: built without a complaint, every link leads somewhere, pages say what GitLab shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from markdown_it import MarkdownIt

from tests.committed import ROOT, committed_files
from tools.docs import links
from tools.docs.pages import Source, added, anchors, destination, navigation

URL = "https://gitlab.example.org/my-group/septum"
TAG = "0.1.0"
DATE = "1760000000"


def _build(target: Path, config: Path = ROOT / "mkdocs.yml", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run MkDocs as `make docs` does, as in a CI job of a tag."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", target],
        cwd=ROOT,
        env={
            **kept,
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_MKDOCS_2_WARNING": "1",
            "SOURCE_DATE_EPOCH": DATE,
            "CI_PROJECT_URL": URL,
            "CI_COMMIT_TAG": TAG,
            **environ,
        },
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The site of this checkout, built once, and what MkDocs said."""
    target = tmp_path_factory.mktemp("site") / "public"
    return target, _build(target)


@pytest.fixture(scope="module")
def site(built: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """The folder of the site; it is there also if MkDocs complained of a page."""
    folder, done = built
    assert (folder / "index.html").is_file(), done.stderr
    return folder


def _places() -> dict[str, str]:
    """The place on the site of each page and file that is committed."""
    inside = [path.relative_to(ROOT / "docs").as_posix() for path in committed_files() if ROOT / "docs" in path.parents]
    return {f"docs/{place}": place for place in inside if not place.endswith(".py")} | added(ROOT)


PAGES = {name: place for name, place in _places().items() if place.endswith(".md")}


# ── the site of this checkout ───────────────────────────────────────────────────────────────────────────────────


def test_the_site_is_built_without_a_complaint(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """No page is missing in the navigation, no link leads nowhere, no heading is gone."""
    _, done = built

    assert [line for line in done.stderr.splitlines() if "WARNING" in line or "ERROR" in line] == []
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def found(site: Path) -> links.Found:
    """What its links lead to."""
    return links.look(site)


def test_make_docs_stops_at_a_complaint() -> None:
    """With `--quiet`, MkDocs counts no warnings, and `--strict` means nothing."""
    (line,) = re.findall(r"^\t.*-m mkdocs build.*$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert "--strict" in line.split()
    assert not {"-q", "--quiet"} & set(line.split())


def test_every_link_of_the_site_leads_somewhere(found: links.Found) -> None:
    """Pages, headings, pictures, schemas; and nothing is loaded from another host."""
    assert found.pages == len(PAGES) + 1, "all pages, and the one for addresses that do not exist"
    assert found.inside > 5000
    assert found.broken == ()
    assert found.foreign == ()


def test_links_to_files_of_the_repository_lead_to_this_version(found: links.Found) -> None:
    """Each to a file that is there."""
    addresses = [unquote(urldefrag(address).url) for address in found.external if address.startswith(URL)]

    assert addresses
    for address in addresses:
        kind, ref, path = address.removeprefix(f"{URL}/-/").split("/", 2)
        assert ref == TAG
        assert (ROOT / path).is_dir() if kind == "tree" else (ROOT / path).is_file(), address


def test_links_to_elsewhere_are_whole(found: links.Found) -> None:
    """Listed, not followed: what is behind them is nothing that a commit changes."""
    assert len(found.external) >= 5
    assert [address for address in found.external if not re.match(r"https://[a-z0-9.-]+/?", address)] == []


def test_every_page_is_in_the_navigation(site: Path) -> None:
    """A reader finds it without knowing its name."""
    home = links._Page()
    home.feed((site / "index.html").read_text(encoding="utf-8"))

    assert {place.removesuffix(".md") + ".html" for place in PAGES.values()} <= {unquote(link) for link in home.links}


def test_the_site_says_which_version_it_describes(site: Path) -> None:
    """At the foot of every page."""
    for place in PAGES.values():
        text = (site / place).with_suffix(".html").read_text(encoding="utf-8")
        assert re.search(rf"septum \d+\.\d+\.\d+, {re.escape(TAG)}\.", text), place


def test_the_same_commit_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    """Whatever the folder; the date is that of the commit."""
    _build(tmp_path / "again")

    assert _tree(tmp_path / "again") == _tree(site)


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Text(HTMLParser):
    """What a reader sees of an article: its text without blanks, and how many of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.elements = "", Counter[str]()
        self._inside, self._hidden = False, 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count it; what the site adds is left out: links to headings, titles of files, buttons."""
        names = str(dict(attrs).get("class"))
        self._inside = self._inside or tag == "article"
        if self._hidden or names in {"headerlink", "filename"} or tag in {"script", "style", "button"}:
            self._hidden += tag not in {"img", "br", "hr", "input"}
        elif self._inside and tag in {"li", "pre", "tr", "td", "th", "img", "h1", "h2", "h3", "h4", "em", "strong"}:
            self.elements[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        """Go on after it."""
        self._inside = self._inside and tag != "article"
        self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        """Add it."""
        if self._inside and not self._hidden:
            self.text += "".join(data.split())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_on_the_site_what_it_says_on_gitlab(site: Path, name: str) -> None:
    """The two read Markdown differently: blocks inside of a list need four blanks, and an empty line behind them."""
    text = (ROOT / name).read_text(encoding="utf-8")
    gitlab = _Text(f"<article>{MarkdownIt('commonmark').enable('table').render(text)}</article>")
    shown = _Text((site / PAGES[name]).with_suffix(".html").read_text(encoding="utf-8"))

    assert shown.text == gitlab.text
    assert shown.elements == gitlab.elements


# ── what stops a build ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[a](nothing.md)", "nothing.md"),
        ("[a](../components/run/nothing.md)", "nothing.md"),
        ("[a](other.md#nothing)", "#nothing"),
        ("[a](../../outside.md)", "outside.md"),
        ("[a](/other.md)", "absolute link"),
    ],
)
def test_a_page_with_a_link_to_nowhere_stops_the_build(tmp_path: Path, line: str, complaint: str) -> None:
    """And the complaint names it."""
    config = _small(tmp_path, line)
    done = _build(tmp_path / "public", config)

    assert done.returncode == 1
    assert "WARNING" in done.stderr
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CI_PROJECT_URL", "javascript:alert(1)"),
        ("CI_PROJECT_URL", 'https://x.example.org/a/b" onclick="x'),
        ("CI_COMMIT_TAG", "../../../other"),
        ("CI_COMMIT_TAG", '0.1.0"><script>'),
    ],
)
def test_an_address_that_is_none_stops_the_build(tmp_path: Path, variable: str, value: str) -> None:
    """Where the links lead comes from variables, and stands on every page."""
    done = _build(tmp_path / "public", _small(tmp_path, ""), **{variable: value})

    assert done.returncode == 1
    assert "expected" in done.stderr
    assert "Traceback" not in done.stderr


def _small(folder: Path, line: str) -> Path:
    """A checkout with two pages, and the configuration of this one."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(f"# Pages\n\n## Learn\n\n- [Other](other.md)\n\n{line}\n")
    (folder / "docs" / "other.md").write_text("# Other\n")
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    hooks = str(ROOT / "tools" / "docs" / "hooks.py")
    assert "tools/docs/hooks.py]" in text
    # The plain theme is quicker, and reads pages in the same way.
    text = re.sub(r"^theme:\n(?: .*\n)+", "theme: mkdocs\n", text, flags=re.MULTILINE)
    (folder / "mkdocs.yml").write_text(text.replace("tools/docs/hooks.py]", f"{hooks}]"))
    return folder / "mkdocs.yml"


# ── where a link leads ──────────────────────────────────────────────────────────────────────────────────────────

SOURCE = Source(url=URL, ref=TAG)


@pytest.mark.parametrize(
    ("page", "target", "leads_to"),
    [
        ("docs/how-to/choose-parts.md", "../reference/septum-yaml.md#numbers", "../reference/septum-yaml.md#numbers"),
        ("docs/how-to/choose-parts.md", "../../components/run/README.md", "../components/run.md"),
        ("docs/index.md", "../README.md", "overview.md"),
        ("README.md", "docs/index.md#do", "index.md#do"),
        ("README.md", "docs/images/dimuon.svg", "images/dimuon.svg"),
        ("README.md", "LICENSE", f"{URL}/-/blob/{TAG}/LICENSE"),
        ("README.md", "examples", f"{URL}/-/tree/{TAG}/examples"),
        ("README.md", ".", f"{URL}/-/tree/{TAG}"),
        ("components/run/README.md", "../submit/README.md", "submit.md"),
        ("components/run/README.md", "../../docs/reference/errors.md#e110", "../reference/errors.md#e110"),
        ("examples/minimal/README.md", "septum.yaml", f"{URL}/-/blob/{TAG}/examples/minimal/septum.yaml"),
        ("docs/images/x.md", "make_dimuon.py", f"{URL}/-/blob/{TAG}/docs/images/make_dimuon.py"),
        ("docs/index.md", "#do", "#do"),
        ("docs/index.md", "https://htcondor.org/", "https://htcondor.org/"),
        ("docs/index.md", "mailto:someone@example.org", "mailto:someone@example.org"),
        ("docs/index.md", "nothing.md", "nothing.md"),
        ("docs/index.md", "../../outside", "../../outside"),
        ("docs/index.md", "/etc/passwd", "/etc/passwd"),
        ("docs/index.md", "//example.org/x", "//example.org/x"),
    ],
)
def test_a_link_leads_to_the_page_or_to_the_file_at_gitlab(page: str, target: str, leads_to: str) -> None:
    """What leads nowhere is left as it is, and MkDocs complains of it."""
    places = _places() | {page: _places().get(page, page.removeprefix("docs/"))}

    assert destination(page, target, places=places, source=SOURCE, root=ROOT) == leads_to


def test_names_with_blanks_and_signs_stay_one_address(tmp_path: Path) -> None:
    """As a browser needs them."""
    (tmp_path / "a file?.txt").touch()
    places = {"docs/index.md": "index.md", "docs/a page.md": "a page.md"}
    inside = destination("docs/index.md", "a%20page.md", places=places, source=SOURCE, root=tmp_path)
    outside = destination("docs/index.md", "../a%20file%3F.txt", places=places, source=SOURCE, root=tmp_path)

    assert inside == "a%20page.md"
    assert outside == f"{URL}/-/blob/{TAG}/a%20file%3F.txt"


def test_headings_get_the_anchors_of_gitlab() -> None:
    """A link that was tried on GitLab works on the site."""
    found = anchors(["The `wait: hops` way - what's new?", "Same", "Same", "Über x", "E110", "Same"])

    assert list(found) == ["the-wait-hops-way-whats-new", "same", "same-1", "über-x", "e110", "same-2"]


# ── navigation ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_navigation_is_that_of_the_page_of_all_pages() -> None:
    """Sections, sections in them, entries by the names that they have there; files that are no pages are left out."""
    index = (
        "# x\n\n[no entry](a.md)\n\n## Learn\n\n- [First](learn/a.md): words, [b](learn/b.md)\n\n## Do\n\n### Run\n\n"
        "- [Second](do/c.md)\n- [A schema](x.json)\n- [Read](../README.md)\n- [Second again](do/c.md)\n\n## Empty\n"
    )
    pages = ["index.md", "learn/a.md", "do/c.md", "x.json"]
    places = {f"docs/{place}": place for place in pages} | {"README.md": "overview.md"}

    assert navigation(index, places) == [
        {"Home": "index.md"},
        {"Learn": [{"First": "learn/a.md"}]},
        {"Do": [{"Run": [{"Second": "do/c.md"}, {"Read": "overview.md"}]}]},
    ]


def test_a_page_that_nobody_listed_stands_beside_those_of_its_folder() -> None:
    """It is found before somebody has written its line."""
    index = "## Do\n\n- [Old](do/old.md)\n\n## Look up\n\n- [Codes](reference/codes.md)\n"
    pages = ["index.md", "do/old.md", "do/brand-new.md", "reference/codes.md", "alone.md"]
    places = {f"docs/{place}": place for place in pages}

    assert navigation(index, places) == [
        {"Home": "index.md"},
        {"Do": [{"Old": "do/old.md"}, {"Brand new": "do/brand-new.md"}]},
        {"Look up": [{"Codes": "reference/codes.md"}]},
        {"Alone": "alone.md"},
    ]


# ── the look at the links ───────────────────────────────────────────────────────────────────────────────────────


def _made(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("b/c.html", None),
        ("b/c.html#there", None),
        ("b/c.html#named", None),
        ("b/", None),
        ("#here", None),
        ("b/c.html?x=1#there", None),
        ("/b/c.html", None),
        ("https://example.org/x", None),
        ("mailto:someone@example.org", None),
        ("b/nothing.html", "no such file"),
        ("d/", "no such file"),
        ("b/c.html#nothing", "no such heading"),
        ("x.svg#nothing", "no such heading"),
        ("#", None),
        ("#nothing", "no such heading"),
        ("../../etc/passwd", "no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, target: str, why: str | None) -> None:
    """Within the built pages, as a browser would follow it."""
    other = '<h2 id="there">x</h2><a name="named">y</a>'
    page = f'<h1 id="here">x</h1><a href="{target}">z</a>'
    site = _made(tmp_path, {"a.html": page, "b/c.html": other, "b/index.html": other, "x.svg": "", "d/e.txt": ""})

    assert [line.rpartition(": ")[2] for line in links.look(site).broken] == ([why] if why else [])


def test_a_site_below_a_folder_of_its_host_does_not_leave_it(tmp_path: Path) -> None:
    """The page for addresses that do not exist has whole paths; they begin where the site stands."""
    page = '<a href="/septum/404.html">a</a><a href="/404.html">b</a><a href="/other/">c</a>'
    found = links.look(_made(tmp_path, {"404.html": page}), base="/septum/")

    assert found.broken == (
        "404.html: '/404.html': leads out of the site",
        "404.html: '/other/': leads out of the site",
    )


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<script src="//cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.org/css">',
        '<link rel="preconnect" href="https://fonts.example.org" crossorigin>',
        '<img src="https://badge.example.org/x.svg">',
        '<iframe src="https://video.example.org/x"></iframe>',
        '<div style="background: url(https://pictures.example.org/x.png)"></div>',
    ],
)
def test_what_another_host_would_be_asked_for_is_found(tmp_path: Path, page: str) -> None:
    """A reader's browser must not tell anybody what is read."""
    assert len(links.look(_made(tmp_path, {"a.html": page})).foreign) == 1


def test_styles_that_ask_another_host_are_found(tmp_path: Path) -> None:
    """By import, and by a font."""
    style = '@import "https://a.example.org/x.css"; p {src: url("//b.example.org/f.woff2")} q {x: url(data:abc)}'
    found = links.look(
        _made(tmp_path, {"x.css": style, "a.html": '<link rel="canonical" href="https://c.example.org/">'})
    )

    assert found.foreign == ("x.css: https://a.example.org/x.css", "x.css: //b.example.org/f.woff2")


def test_the_look_ends_with_1_if_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what; a folder without a page is no site."""
    monkeypatch.delenv("CI_PAGES_URL", raising=False)
    assert links.main([str(tmp_path)]) == 1
    _made(tmp_path, {"a.html": '<a href="https://example.org/">x</a>'})
    assert links.main([str(tmp_path)]) == 0
    _made(tmp_path, {"b.html": '<a href="nothing">x</a><img src="//example.org/x">'})
    capsys.readouterr()

    assert links.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "not looked at: //example.org/x",
        "not looked at: https://example.org/",
        "broken: b.html: 'nothing': no such file",
        "from another host: b.html: //example.org/x",
        "2 pages, 1 links inside of the site, 1 broken",
    ]
