"""The strict YAML reader."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from septum.errors import ConfigError, ProfileError
from septum.yamltext import MAX_NODES, load, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    ["0.10", "007", "1e-3", "yes", "no", "on", "true", "0x1F", "0o17", "1_000", ".5", "12:30", "2024-04-01", "1.", "=",
     "+1", "-0", ".nan", ".inf", "0b11"],
)  # fmt: skip
def test_scalar_stays_text(text: str) -> None:
    """Every scalar is exactly the text that stands in the file, as a value and as a key."""
    document = load(f"a: {text}\n{text}: b\nc: [{text}]\n", "f.yaml")

    assert document.data == {"a": text, text: "b", "c": [text]}


@pytest.mark.parametrize("null", ["", "~", "null", "Null", "NULL"])
def test_plain_null_is_none(null: str) -> None:
    """A plain null is None, a quoted one is text."""
    document = load(f"a: {null}\nb: '{null}'\n", "f.yaml")

    assert document.data == {"a": None, "b": null}


def test_standard_tags() -> None:
    """`!!str` keeps even a null as text."""
    assert load("a: !!str ~\nb: !!str\nc: !!str 1\n", "f.yaml").data == {"a": "~", "b": "", "c": "1"}


def test_block_and_quoted_scalars() -> None:
    """Block and quoted scalars follow YAML's own rules."""
    document = load('a: |\n  x\n  y\nb: >-\n  x\n  y\nc: "\\t\\u00e9"\n', "f.yaml")

    assert document.data == {"a": "x\ny\n", "b": "x y", "c": "\té"}


def test_lines() -> None:
    """Each path knows its line, and an unknown path has that of its nearest ancestor."""
    document = load("# head\na:\n  b:\n    - x\n    - y: 1\nc: 2\n", "f.yaml")

    assert [document.line_of(p) for p in [("a",), ("a", "b"), ("a", "b", 1), ("a", "b", 1, "y"), ("c",)]] == [
        2,
        3,
        5,
        5,
        6,
    ]
    assert document.line_of(("a", "b", 7, "q")) == 3
    assert document.line_of(("nothing",)) == 2
    assert document.where(("c",)) == "f.yaml:6"


def test_aliases_and_merge() -> None:
    """Aliases and merge keys work; own keys win, then the earlier source."""
    document = load(
        "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none: {<<: *b, x: 9}\ntwo: {<<: [*b, *m]}\nthree: *b\n'<<': t\n",
        "f.yaml",
    )

    assert document.data == {
        "base": {"x": "1", "y": "2"},
        "more": {"y": "3", "z": "4"},
        "one": {"x": "9", "y": "2"},
        "two": {"x": "1", "y": "2", "z": "4"},
        "three": {"x": "1", "y": "2"},
        "<<": "t",
    }


_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
_MERGE_LAUGHS = "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))
_CHAIN = "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 300))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n\t- b\n", 2, "tab"),
        ("a:\n  b: 1\n\tc: 2\n", 3, "tab"),
        ("a: 1\n b: 2\n", 2, "indentation"),
        ("- a\n b: c\n", 2, "indentation"),
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ("a: 'open\n", 2, "not YAML"),
        ("a: x: y\n", 1, "': '"),
        ("a: @x\n", 1, "start any token"),
        ("a: *unknown\n", 1, "undefined alias"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice, first in line 1"),
        ("x:\n  a: 1\n  'a': 3\n", 3, "stands twice"),
        ("a: &x {q: 1}\nb: {<<: *x, <<: *x}\n", 2, "'<<' stands twice"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("? [a, b]\n: c\n", 1, "key that is not a text"),
        ("? {a: b}\n: c\n", 1, "key that is not a text"),
        ("~: c\n", 1, "key that is not a text"),
        (": c\n", 1, "key that is not a text"),
        ("a: !!python/object:os.system x\n", 1, "!!python/object:os.system"),
        ("a: !foo x\n", 1, "!foo"),
        ("a: !!binary aGk=\n", 1, "!!binary"),
        ("a: !!set {x, y}\n", 1, "!!set"),
        ("a: !!omap [x: 1]\n", 1, "!!omap"),
        ("a: !<tag:other,2000:x> 1\n", 1, "tag:other"),
        ("!foo k: 1\n", 1, "!foo"),
        ("a: !!null x\n", 1, "!!null"),
        ("a: &x\n  b: *x\n", 1, "own anchor"),
        ("a: &x\n  - *x\n", 1, "own anchor"),
        ("a: &x\n  <<: *x\n", 2, "itself"),
        ("a: &x {b: 1}\nc:\n  <<: 5\n", 3, "not a mapping"),
        ("a: 1\nb: \0\n", 2, "NUL"),
        ("a: 1\nb: \x1b[31m\n", 2, "control character"),
        (_LAUGHS, 1, str(MAX_NODES)),
        (_MERGE_LAUGHS, 1, str(MAX_NODES)),
        ("[" * 200 + "]" * 200, 1, "nested"),
        ("[" * 3000, 1, "nested"),
        (_CHAIN, 2, "nested"),
    ],
)
def test_refused(text: str, line: int, words: str) -> None:
    """What is not strict YAML is refused with file, line, evidence and a fix."""
    with pytest.raises(ConfigError) as caught:
        load(text, "f.yaml")

    assert caught.value.what.startswith(f"f.yaml:{line}: ")
    assert words in caught.value.what
    assert caught.value.evidence.startswith(f"{line} |")
    assert caught.value.evidence.isprintable()
    assert caught.value.fix


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n...\n", "~\n"])
def test_empty(text: str) -> None:
    """A file without any value is an error of its own."""
    with pytest.raises(ConfigError, match=r"f\.yaml: the file is empty"):
        load(text, "f.yaml")


def test_read(tmp_path: Path) -> None:
    """A file is read with and without a byte order mark, and with either line end."""
    path = tmp_path / "ä b.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\r\nb: 2\r\n")

    assert read(path).data == {"a": "é", "b": "2"}
    assert read(path, name="short").name == "short"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"a: 1\nb: \xff\n", ":2: the file is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        (b"#" * (5 * 1024 * 1024 + 1), "larger than 5 MB"),
        (b"", "empty"),
        (b"a: \x00", "NUL"),
    ],
)
def test_read_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    """Bytes that are no UTF-8 text of a sane size are refused with the class asked for."""
    path = tmp_path / "f.yaml"
    path.write_bytes(raw)

    with pytest.raises(ProfileError, match=words):
        read(path, ProfileError)


def test_read_absent_and_folder(tmp_path: Path) -> None:
    """A missing file and a folder are named as such."""
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read("a\0b")
