"""Put the values of blocks into the body of a file, node by node. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/interpolation/config.rb`, `template.rb` and their specs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from septum.errors import LimitError
from septum.preview import limits, ruby
from septum.preview.blocks import Context, evaluate, find_blocks

# GitLab has no such limit, and would run out of memory: a few blocks with a long value make a very long text.
_MAX_RESULT = 64 * 1024 * 1024


def interpolate(body: Mapping[str, object], context: Context) -> dict[str, object]:
    """Replace every block in the keys and values of a body.

    A text that is one block becomes the value of that block, of whatever type. In a longer text, one block after the
    other is replaced by the text of its value; so the value of an earlier block that looks like a later block of the
    same text is replaced as well, as in GitLab. In a list, a text that becomes a list is replaced by its items.

    Args:
        body: The body; nothing inside of `Reference` is replaced.
        context: What blocks may name.

    Returns:
        A new body. Values of one block that stands there several times are shared.

    Raises:
        InterpolationError: A block names something that does not exist, or calls a function wrongly.
        LimitError: The body is too large for GitLab.
    """
    return _Walk(context).mapping(body)


@dataclass(slots=True)
class _Walk:
    """The values of the blocks so far, and what was counted."""

    context: Context
    values: dict[str, object] = field(default_factory=dict)
    copies: dict[str, object] = field(default_factory=dict)
    visits: int = 1
    produced: int = 0

    def mapping(self, node: Mapping[str, object]) -> dict[str, object]:
        """Replace in keys and values; the key comes first."""
        replaced: dict[str, object] = {}
        for key, value in node.items():
            # A key is a symbol, which is visited, and then visited again as text.
            self._visit(2)
            new_key = ruby.to_s(self._text(key))
            self._visit()
            replaced[new_key] = self._node(value)
        return replaced

    def _visit(self, times: int = 1) -> None:
        self.visits += times
        if self.visits > limits.MAX_NODES:
            raise LimitError("config too large")

    def _node(self, node: object) -> object:
        if isinstance(node, dict):
            return self.mapping(node)
        if isinstance(node, list):
            return self._list(node)
        return self._text(node) if isinstance(node, str) else node

    def _list(self, node: list[object]) -> list[object]:
        replaced: list[object] = []
        for item in node:
            self._visit()
            value = self._node(item)
            if isinstance(item, str) and isinstance(value, list):
                self._produce(len(value))
                replaced += value
            else:
                replaced.append(value)
        return replaced

    def _text(self, text: str) -> object:
        if len(text.encode("utf-8", "surrogatepass")) > limits.MAX_NODE_BYTES:
            raise LimitError("config node too large")
        blocks = list(find_blocks(text)) if "$[[" in text else []
        for block, data in blocks:
            self._evaluate(block, data)
        if len(blocks) == 1 and len(blocks[0][0]) == len(text):
            return self._whole(text)
        for block, _data in blocks:
            value = ruby.to_s(self.values[block])
            self._produce(text.count(block) * max(len(value), 1))
            text = ruby.gsub(text, block, value)
        return text

    def _evaluate(self, block: str, data: str) -> None:
        if block in self.values:
            return
        if len(self.values) == limits.MAX_BLOCKS:
            raise LimitError("too many interpolation blocks")
        self.values[block] = evaluate(block, data, self.context)

    def _whole(self, block: str) -> object:
        """The value that takes the place of a block; the same object each time."""
        if block not in self.copies:
            self.copies[block] = ruby.plain(self.values[block])
        return self.copies[block]

    def _produce(self, amount: int) -> None:
        self.produced += amount
        if self.produced > _MAX_RESULT:
            raise LimitError(f"the values of the blocks make more than {_MAX_RESULT} characters")
