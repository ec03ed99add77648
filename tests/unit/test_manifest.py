"""The manifest: what is written is read back to the last value, and what is no manifest is one clear error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from septum.errors import StateError
from septum.manifest import (
    FORMAT,
    Asked,
    Failure,
    Held,
    Manifest,
    OwnMerge,
    PartFacts,
    PartOutput,
    ResultFile,
    from_json,
    plain,
    to_json,
)

SHA = "ab" * 32
RESULT = ResultFile(
    name="sub/a.root", file="sub/a.partial.root", size_b=5, sha256=SHA, stamp="s", engine="strict (septum 1)",
    parts=("0000", "0001"), missing=("0002",), objects={"dir/h": Held(kind="TH1D", entries=2.5)},
    url="https://storage.example.org/a.root", verified_by="checksum",
    own=OwnMerge(
        command=("hadd", "-f"), at="rootFiles/{part}.root", product="a.root", changes=("*_SPECIAL_*",), ran=True,
        stamp="s", equal=3, changed=2, new=1, notes=("one",),
    ),
)  # fmt: skip
PART = PartFacts(
    id="0002", values={"sample": "DY", "files": ("a.root", "b.root")}, fingerprint=SHA, state="failed", attempts=3,
    job="7.2", host="node7", exit_code=1, cause="E301", message="it failed", evidence="one\ntwo", fix="x",
    log="logs/septum-0002.stderr", submitted_s=1.5, started_s=20.0, ended_s=60.0, cpu_s=12.75, memory_b=2**31,
    outputs=(PartOutput(path="h.root", size_b=5, sha256=SHA, content=SHA, url="root://eos.example.org//h.root",
                        verified_by="read back"),),
)  # fmt: skip
FULL = Manifest(
    septum="1.2", name="zpeak", complete=False, whole_count=3, plan=SHA, work=SHA, run="laptop/x/-/-/ab",
    cluster="infn-af", schedd="ap.example.org", image="python:3.12",
    image_digest="sha256:" + "d" * 64, image_id="sha256:" + "c" * 64,
    asked=Asked(cpus=1, memory_b=2**31, disk_b=2**30, time_s=3600), policies={"sums": "plain"},
    error=Failure(code="E310", exit_code=39, what="1 of 3", evidence="missing: 0002", fix="x"), results=(RESULT,),
    parts=(PART,), origin={"commit": "4f1d"}, software={"numpy": "2.4"},
    pages={"septum-zpeak.1": "https://reana.example.org/workflows/1"}, began_s=1.0, ended_s=100.5,
)  # fmt: skip
LEAST = Manifest(
    septum="1", name="", complete=True, whole_count=0, plan="", work="", run="", cluster=""
)  # fmt: skip


def _data(manifest: Manifest = FULL) -> Any:
    return json.loads(to_json(manifest))


def _refused(data: Any) -> StateError:
    with pytest.raises(StateError) as caught:
        from_json(data if isinstance(data, str) else json.dumps(data), name="septum.json")

    assert "septum.json" in caught.value.what
    assert caught.value.fix
    return caught.value


def test_no_field_below_is_left_to_chance() -> None:
    """A test of the tests: every field of the values above is set to something."""
    for value in (FULL, RESULT, PART, PART.outputs[0], FULL.asked, FULL.error, RESULT.objects["dir/h"], RESULT.own):
        assert is_dataclass(value)
        assert [one.name for one in fields(value) if getattr(value, one.name) in (None, "", (), {})] == []


@pytest.mark.parametrize("manifest", [FULL, LEAST, replace(FULL, results=(), parts=(), error=None)])
def test_round_trip(manifest: Manifest) -> None:
    """All that was written, and tuples are tuples again."""
    found = from_json(to_json(manifest), name="x")

    assert found == manifest
    assert to_json(found) == to_json(manifest)


def test_a_part_that_was_never_measured() -> None:
    """Nothing is made up: no time, no memory, no exit code, no output."""
    bare = PartFacts(id="0000", values={}, fingerprint=SHA, state="failed", attempts=0)
    found = from_json(to_json(replace(FULL, parts=(bare,))), name="x").parts[0]

    assert found == bare
    assert (found.cpu_s, found.memory_b, found.submitted_s, found.exit_code, found.outputs) == (None,) * 4 + ((),)


def test_it_is_plain_json_with_its_format() -> None:
    """What a script of a user looks for."""
    data = _data()

    assert data["format"] == FORMAT == 2
    assert data["results"][0]["objects"] == {"dir/h": {"kind": "TH1D", "entries": 2.5}}
    assert (data["parts"][0]["cpu_s"], data["parts"][0]["memory_b"]) == (12.75, 2**31)
    assert to_json(FULL).endswith("}\n")


def test_equal_runs_give_equal_bytes() -> None:
    """No clock and no order of a set is in the text."""
    assert to_json(FULL) == to_json(replace(FULL))


# ── what is none ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [1, 3, 0, -1, "2", None, [2], {}])
def test_another_format_is_named(number: Any) -> None:
    """It is not damaged, it is of another septum; the file says which."""
    error = _refused({**_data(), "format": number})

    assert "another version of septum" in error.what
    assert "'septum'" in error.fix


@pytest.mark.parametrize(
    "text", ["", "null", "3", '"x"', "[]", "{}", '{"format": 2}', "[" * 99_999, "\0", "{" + "9" * 5000]
)
def test_garbage_is_an_error_with_a_fix(text: str) -> None:
    """Whatever stands where the manifest should."""
    assert "is damaged" in _refused(text).what


def test_any_truncation_is_noticed() -> None:
    """An artifact that was cut short is not half a run."""
    text = to_json(FULL).rstrip()

    for length in range(0, len(text), 37):
        assert "is damaged" in _refused(text[:length]).what


@pytest.mark.parametrize("path", [(), ("asked",), ("error",), ("results", 0), ("results", 0, "objects", "dir/h"),
                                  ("parts", 0), ("parts", 0, "outputs", 0)])  # fmt: skip
def test_a_key_too_many_or_too_few(path: tuple[Any, ...]) -> None:
    """Neither is guessed at: a field that somebody adds by hand is not silently without meaning."""
    changed = _data()
    place = changed
    for key in path:
        place = place[key]
    place["surprise"] = 1
    assert "surprise" in _refused(changed).evidence
    del place["surprise"]
    needed = next(name for name in place if name not in {"format", "cpus"}) if path != ("asked",) else None
    if needed is not None:
        del place[needed]
        assert "is damaged" in _refused(changed).what


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "x", [], ["x"], [[]], {}, {"a": 1}, {"a": {"b": []}}])
def test_no_value_of_another_type_gets_through(value: Any) -> None:
    """In every place in turn: what reads a manifest later never meets a number where a text should be."""
    refused = 0
    for path in _places(_data()):
        changed = _data()
        place = changed
        for key in path[:-1]:
            place = place[key]
        before, place[path[-1]] = place[path[-1]], value
        if _may_be(path, before, value):
            from_json(json.dumps(changed), name="x")
        else:
            _refused(changed)
            refused += 1

    assert refused > 25


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a manifest but its format."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [one for key, value in items if key != "format" for one in [(*path, key), *_places(value, (*path, key))]]


_NEVER_MEASURED = {
    "image", "error", "began_s", "ended_s", "job", "host", "exit_code", "cause", "message", "evidence", "fix", "log",
    "submitted_s", "started_s", "cpu_s", "memory_b", "cpus", "disk_b", "time_s",
}  # fmt: skip


def _may_be(path: tuple[Any, ...], before: Any, value: Any) -> bool:
    """Whether a value may stand in the place of another, by what the fields of `septum.manifest` say."""
    key, of_texts = path[-1], isinstance(value, list) and all(isinstance(one, str) for one in value)
    if "values" in path[-2:-1] or path[-2:] == ("own", "command"):
        return isinstance(value, str) or of_texts
    if value is None:
        return path == ("error",) or key == "own" or (key in _NEVER_MEASURED and path[0] != "error")
    if isinstance(before, float):
        return type(value) in {int, float}
    if isinstance(before, list):
        return bool(value == [] or (of_texts and (path[-3:-1] == ("results", 0) or "own" in path[-2:-1])))
    if isinstance(before, dict):
        return value == {} and key in {"policies", "origin", "software", "pages", "objects", "values", "asked"}
    return type(value) is type(before)


@pytest.mark.parametrize("change", [
    lambda data: data["results"][0].update(parts="0001"),
    lambda data: data["parts"][0]["values"].update(seed=[["nested"]]),
    lambda data: data["parts"][0]["values"].update(seed=7),
    lambda data: data["results"][0]["objects"].update(h=[1]),
    lambda data: data["results"][0]["objects"]["dir/h"].update(entries="many"),
    lambda data: data["origin"].update(commit=None),
    lambda data: data.update(complete="true"),
    lambda data: data.update(complete=1),
    lambda data: data.update(error=0),
    lambda data: data.update(error={}),
    lambda data: data["parts"].append(None),
    lambda data: data["results"][0].update(size_b=5.0),
    lambda data: data["results"][0].update(size_b=True),
])  # fmt: skip
def test_values_that_nearly_fit(change: Callable[[Any], None]) -> None:
    """Letters are no list, 1 is no truth value, and an error that says nothing is not the absence of one."""
    data = _data()
    change(data)

    assert "is damaged" in _refused(data).what


# ── hostile values ──────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "<script>alert(1)</script>", "]]>", "\0\x07\x1b[31m", "\u202etnemucod\u202c", "\ufeff", "a" * 100_000, "\n\r\t",
    '"}], "complete": true, "x": [{"', "../../etc/passwd", "\\u0000", "\\", "é\U0001f9f2", "\u2028\u2029",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12].encode("unicode_escape").decode())
def test_any_text_stays_what_it_is(text: str) -> None:
    """Names of objects, parts, labels and what jobs said: data, in every place that takes a text."""
    manifest = replace(
        FULL,
        name=text,
        image=text,
        policies={text: text},
        origin={text: text},
        error=Failure(code="E301", exit_code=30, what=text, evidence=text, fix=text),
        results=(replace(RESULT, name=text, file=text, objects={text: Held(kind=text, entries=0.0)}),),
        parts=(replace(PART, values={text: (text, text)}, message=text, evidence=text, host=text),),
    )

    assert from_json(to_json(manifest), name="x") == manifest
    assert from_json(to_json(manifest).encode("utf-8").decode("utf-8"), name="x") == manifest


@pytest.mark.parametrize("text", ["h\udcfcb", "\ud800", "a\udfff\ud800b"])
def test_bytes_that_are_no_text(text: str) -> None:
    """A histogram with a name in Latin-1 is read with its bytes, and does not keep a manifest from being written."""
    manifest = replace(FULL, results=(replace(RESULT, objects={text: Held(kind="TH1D", entries=1.0)}),))
    written = to_json(manifest).encode("utf-8")

    assert from_json(written.decode("utf-8"), name="x") == manifest
    plain(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("h\udcfcb", r"h\xfcb"),
        ("\ud800", r"\ud800"),
        ("h\udcfc\ud800", r"h\udcfc\ud800"),
        ("hüb \0", "hüb \0"),
        ("", ""),
    ],
)
def test_a_name_is_shown_with_its_bytes(text: str, shown: str) -> None:
    """What is text stays as it is."""
    assert plain(text) == shown


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e308, 5e-324, 2**70, -1, 0])
def test_numbers_stay_what_they_are(value: float) -> None:
    """Entries of a weighted histogram may be anything."""
    manifest = replace(FULL, results=(replace(RESULT, objects={"h": Held(kind="TH1D", entries=value)}),))

    assert from_json(to_json(manifest), name="x").results[0].objects["h"].entries == value


def test_entries_that_are_no_number() -> None:
    """With `non-finite: keep`, a histogram may have NaN of them."""
    manifest = replace(FULL, results=(replace(RESULT, objects={"h": Held(kind="TH1D", entries=math.nan)}),))

    assert math.isnan(from_json(to_json(manifest), name="x").results[0].objects["h"].entries)


def test_a_thousand_parts() -> None:
    """All of them, in their order."""
    parts = tuple(replace(PART, id=f"{number:05d}") for number in range(1_000))

    assert from_json(to_json(replace(FULL, parts=parts)), name="x").parts == parts
