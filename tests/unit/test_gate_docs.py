"""Every link of every page leads somewhere, names are spelled as their owners do, nothing tells of one machine."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from tests.committed import ROOT, committed_files
from tools.docs.pages import anchors


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page consists of.

    Attributes:
        links: Targets of links and images, with their line.
        anchors: What a link to this page can name behind the `#`.
        prose: The texts that are not code, with their line.
    """

    links: tuple[tuple[int, str], ...]
    anchors: frozenset[str]
    prose: tuple[tuple[int, str], ...]


def _read(text: str) -> Page:
    links: list[tuple[int, str]] = []
    prose: list[tuple[int, str]] = []
    headings: list[str] = []
    own = set(re.findall(r"""<a\s[^>]*?(?:id|name)=["']([^"']+)["']""", text))
    line, heading = 0, False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        line = token.map[0] + 1 if token.map else line
        heading = token.type == "heading_open" or (heading and token.type == "inline")
        if token.type != "inline":
            continue
        children = token.children or []
        for child in children:
            target = child.attrs.get("href") or child.attrs.get("src")
            if target is not None:
                links.append((line, str(target)))
        words = [child.content for child in children if child.type == "text"]
        # A link that shows its own address is no prose.
        prose += [(line, word) for word in words if not re.fullmatch(r"https?://\S+", word)]
        if heading:
            headings.append("".join(child.content for child in children))
    return Page(links=tuple(links), anchors=frozenset(own | set(anchors(headings))), prose=tuple(prose))


@cache
def _pages() -> dict[str, Page]:
    return {
        path.relative_to(ROOT).as_posix(): _read(path.read_text(encoding="utf-8"))
        for path in committed_files()
        # What `septum new` copies has its links in the copy.
        if path.suffix == ".md" and not path.is_relative_to(ROOT / "starter")
    }


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _broken(name: str, target: str) -> str | None:
    """What is wrong with a link of a page; None if nothing is."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        good = parts.scheme == "https" and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?", parts.netloc)
        return None if good and not re.search(r"[\s<>\"{}|\\^`]", unquote(target)) else "not a whole https address"
    path = (ROOT / name).parent / unquote(parts.path) if parts.path else ROOT / name
    if parts.path.startswith("/") or not path.resolve().is_relative_to(ROOT):
        return "leads out of the repository"
    if not path.exists():
        return "no such file"
    other = path.resolve().relative_to(ROOT).as_posix()
    if parts.fragment and (other not in _pages() or unquote(parts.fragment) not in _pages()[other].anchors):
        return "no such heading"
    return None


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    """And one to elsewhere is a whole address, with https."""
    links = [(name, line, target) for name, page in _pages().items() for line, target in page.links]

    assert len(links) > 200
    assert [f"{name}:{line}: {target}: {why}" for name, line, target in links if (why := _broken(name, target))] == []


def test_a_file_that_is_linked_is_committed() -> None:
    """What only lies on this machine is no target."""
    committed = set(committed_files())
    missing = []
    for name, page in _pages().items():
        for line, target in page.links:
            path = ((ROOT / name).parent / unquote(urlsplit(target).path)).resolve()
            if not urlsplit(target).scheme and path.is_file() and path not in committed:
                missing.append(f"{name}:{line}: {target}")

    assert missing == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("README.md", None),
        ("#clusters", None),
        ("docs/index.md#look-up", None),
        ("docs", None),
        ("https://htcondor.org/", None),
        ("docs/nothing.md", "no such file"),
        ("#nothing", "no such heading"),
        ("docs/index.md#Look-up", "no such heading"),
        ("pyproject.toml#project", "no such heading"),
        ("../elsewhere", "leads out"),
        ("/etc/passwd", "leads out"),
        ("http://example.org", "not a whole"),
        ("https://example", "not a whole"),
        ("//example.org/x", "not a whole"),
        ("https://example.org/a b", "not a whole"),
        ("https://example.org/<tag>", "not a whole"),
        ("javascript:x", "not a whole"),
    ],
)
def test_a_broken_link_is_found(monkeypatch: pytest.MonkeyPatch, target: str, why: str | None) -> None:
    """Of each kind."""
    pages = {"README.md": _read("# A\n\n## Clusters\n"), "docs/index.md": _read("## Look up\n")}
    monkeypatch.setattr(sys.modules[__name__], "_pages", lambda: pages)

    said = _broken("README.md", target)

    assert said is None if why is None else said is not None and said.startswith(why)


def test_a_page_is_read_as_gitlab_reads_it() -> None:
    """Headings with code and punctuation, twice the same; no link and no prose in code."""
    page = _read(
        "# The `wait: hops` way - what's new?\n\n## Same\n\n## Same\n\n[a](x.md) ![b](y.png) `[c](z.md)` text\n\n"
        "```md\n[d](w.md) gitlab\n```\n\n| A | B |\n| --- | --- |\n| [e](v.md) | <https://example.org> |\n\n"
        "<a id='own'></a>\n"
    )

    assert page.anchors == {"the-wait-hops-way-whats-new", "same", "same-1", "own"}
    assert [target for _, target in page.links] == ["x.md", "y.png", "v.md", "https://example.org"]
    prose = " ".join(text for _, text in page.prose)
    assert "gitlab" not in prose
    assert "https" not in prose
    assert (7, "[d](w.md) gitlab") not in page.prose


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = [
    "Apptainer", "CERN", "CernVM-FS", "CMS", "ConDB", "CVMFS", "Docker", "EOS", "GitHub", "GitLab", "HDF5", "HTCondor",
    "IAM", "INFN", "JavaScript", "Jinja", "JSON", "JUnit", "Kerberos", "LXBATCH", "macOS", "Markdown", "mkShapesRDF",
    "NumPy", "OAuth", "OpenMetrics", "OpenSSL", "Parquet", "PKCS", "POSIX", "PyPI", "Python", "REANA", "RO-Crate",
    "SciPy", "SciTokens", "ShellCheck", "SQLite", "VOMS", "WebDAV", "WLCG", "XML", "XRootD", "YAML", "X.509",
]  # fmt: skip
# The names of a site's services, and of protocols, are written as their owners write them.
# The component of that name is in small letters, as all are.
SAME_IN_SMALL = {"LXBATCH": "lxbatch", "mkShapesRDF": "mkshapesrdf"}
WRONG = [
    r"\bGit[- ]Lab\b", r"\bGit[- ]Hub\b", r"\bHT[- ]Condor\b", r"\bX[- ]?509\b", r"\bRO ?Crate\b", r"\bCern ?VM ?FS\b",
    r"\bX[- ]Root[- ]?D\b", r"\bNum[- ]Py\b", r"\bSci[- ]Tokens?\b", r"\bSci[Tt]oken\b", r"\bJava Script\b",
    r"\b[Rr]oot (file|histogram|tree|object|macro|ntuple)s?\b", r"\bMac ?OS( X)?\b", r"\bOpen Metrics\b", r"\bHDF-5\b",
    r"\bKrb5\b", r"\bKubernetis\b", r"\bmk[- ]shapes",
]  # fmt: skip


# Part of a path, an address or an identifier, or with a version behind it as a package has: that is no prose.
_NAMED = re.compile(rf"(?<![\w./@-])(?:{'|'.join(map(re.escape, NAMES))})(?![\w/@-]|\.\w| \d+\.\d)", re.IGNORECASE)
_WRONG = re.compile("|".join(WRONG))
_RIGHT = {name.lower(): {name, SAME_IN_SMALL.get(name)} for name in NAMES}


def _misspelt(text: str) -> list[str]:
    """The names in a text that are not written as their owners write them; paths and addresses are left alone."""
    found = [match[0] for match in _WRONG.finditer(text)]
    written = [match[0] for match in _NAMED.finditer(text)]
    return found + [word for word in written if word not in _RIGHT[word.lower()]]


def test_names_are_spelled_as_their_owners_do() -> None:
    """In prose; code is as it is."""
    wrong = [
        f"{name}:{line}: {word}"
        for name, page in _pages().items()
        for line, text in page.prose
        for word in _misspelt(text)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("GitLab, HTCondor's, gitlab-ci-local, gitlab.cern.ch, python-gitlab, /cvmfs, user@gitlab", []),
        ("without root, a ROOT file, the root of a checkout", []),
        ("gitlab Gitlab GITLAB", ["gitlab", "Gitlab", "GITLAB"]),
        ("Git Lab and Git-Hub", ["Git Lab", "Git-Hub"]),
        ("Htcondor, HT Condor.", ["HT Condor", "Htcondor"]),
        ("a root file", ["root file"]),
        ("X509 and x.509", ["X509", "x.509"]),
        ("python, numpy (Junit)", ["Junit", "numpy", "python"]),
    ],
)
def test_a_misspelt_name_is_found(text: str, found: list[str]) -> None:
    """And what only looks like one is left alone."""
    assert sorted(_misspelt(text)) == sorted(found)


# ── what nobody should read ─────────────────────────────────────────────────────────────────────────────────────

FORBIDDEN = {
    "a path of one machine": r"(?<![\w$}.:*-])/(?:root|work|scratch)/",
    "a home": r"(?<![\w$}.-])/(?:home|Users)/(?!septum\b|user\b|[{$<])[A-Za-z]",
    "the host of a package registry": r"\b(?:pypi\.(?:org|python\.org)|pythonhosted\.org|npmjs\.(?:org|com)|"
    r"yarnpkg\.com|deb\.debian\.org|archive\.ubuntu\.com|conda\.anaconda\.org|crates\.io|proxy\.golang\.org|"
    r"rubygems\.org|repo1?\.maven|artifactory|nexus\.)",
}
# These hold the forms themselves.
_HOLDERS = {"tests/unit/test_gate_docs.py", "tests/unit/test_repository.py", "LICENSE"}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_of_one_machine_is_committed(what: str) -> None:
    """Where packages come from is the configuration of pip, npm and apt; nobody else has these folders."""
    found = []
    for path in committed_files():
        name = path.relative_to(ROOT).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if name not in _HOLDERS:
            lines = enumerate(text.splitlines(), 1)
            found += [f"{name}:{line}" for line, content in lines if re.search(FORBIDDEN[what], content)]

    assert found == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("cd /wo~rk/x", "a path of one machine"),
        ("see /ho~me/physicist/x", "a home"),
        ("https://py~pi.org/simple", "the host of a package registry"),
        ("https://registry.npm~js.org", "the host of a package registry"),
        ("$HOME/data/x, a/scratch/b, /workshop, /home/user, /home/{name}", None),
        ("PyPI and npm", None),
    ],
)
def test_what_is_forbidden_is_found(text: str, what: str | None) -> None:
    """And nothing else. Here they stand with a tilde inside, which is taken out."""
    text = text.replace("~", "")
    assert [name for name, form in FORBIDDEN.items() if re.search(form, text)] == ([what] if what else [])
