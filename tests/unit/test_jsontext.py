"""JSON text of frozen values: the same bytes as by a copy of them, and nothing is copied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.jsontext import as_data, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    name: str
    sizes: tuple[int, ...] = ()
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    leaves: tuple[_Leaf, ...]
    named: Mapping[str, _Leaf] = field(default_factory=dict)


_LEAVES = st.builds(
    _Leaf,
    name=st.text(),
    sizes=st.lists(st.integers()).map(tuple),
    weight=st.none() | st.floats(allow_nan=False),
)


@given(leaves=st.lists(_LEAVES).map(tuple), named=st.dictionaries(st.text(), _LEAVES))
def test_the_bytes_of_a_copy(leaves: tuple[_Leaf, ...], named: dict[str, _Leaf]) -> None:
    """Whatever is in it, a plan that an earlier septum wrote has the same text and the same hash."""
    tree = _Tree(leaves=leaves, named=named)

    assert text_of({"tree": tree}) == json.dumps({"tree": asdict(tree)}, indent=1, ensure_ascii=False) + "\n"


def test_nothing_is_copied() -> None:
    """The fields are those of the value itself."""
    tree = _Tree(leaves=(_Leaf(name="a"),))

    assert as_data(tree)["leaves"] is tree.leaves


@pytest.mark.parametrize("value", [object(), _Leaf, {1, 2}, b"bytes"])
def test_what_has_no_form(value: object) -> None:
    """An error that names the type, and no text."""
    with pytest.raises(TypeError, match="has no form in JSON"):
        text_of({"value": value})
