"""Reads, from the source alone, which errors a function of septum can end with.

A function can end with what it raises, and with what the functions, classes and tables that it names can end with; a
class with what any of its methods can. What a `try` or a `suppress` around a name swallows is left out. That is more
than happens: a condition that is never true counts, too.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import septum
from septum import errors

SOURCE = Path(septum.__file__).parent
_ERRORS = "septum.errors"
Node = tuple[str, str]
"""A module, and a function, class or variable at its top."""
Filter = tuple[tuple[tuple[type[Exception], ...], bool], ...]
"""The handlers around a place, in their order: what each catches, and whether it keeps it to itself."""
_PASSED = frozenset({"what", "evidence", "fix", "__name__", "__class__"})
"""What a handler may read of an error that it swallows."""


@dataclass(slots=True)
class Module:
    """What a module defines and imports at its top."""

    name: str
    tree: ast.Module
    defined: dict[str, ast.AST] = field(default_factory=dict)
    imported: dict[str, Node] = field(default_factory=dict)


class Source:
    """The source of septum, read as far as the given functions reach, and what each of them can end with."""

    def __init__(self, functions: Iterable[Callable[..., object]]) -> None:
        self._paths = dict(_files())
        self._modules: dict[str, Module] = {}
        self._edges: dict[Node, list[tuple[Node, tuple[Filter, ...]]]] = {}
        self._ends: dict[Node, set[type[errors.SeptumError]]] = defaultdict(set)
        self._settle({_node(function) for function in functions})

    def of(self, function: Callable[..., object]) -> set[type[errors.SeptumError]]:
        """The errors that a function can end with."""
        return self._ends[_node(function)]

    def _module(self, name: str) -> Module | None:
        if name not in self._modules and name in self._paths:
            self._modules[name] = _module(name, self._paths[name])
        return self._modules.get(name)

    def resolve(self, node: Node) -> Node | None:
        """Where a name is defined, behind imports of imports; None if that is outside of septum."""
        for _ in range(10):
            module, name = node
            if module == _ERRORS and name:
                return node  # whichever module of that package has the class
            found = self._module(module)
            if found is not None and name in found.defined:
                return node
            if found is not None and name in found.imported:
                # A package may have a function of the name of its module: `from septum.stages import collect`.
                node = found.imported[name]
                continue
            whole = f"{module}.{name}" if name else module
            return (whole, "") if whole in self._paths else None
        return None

    def _settle(self, starts: set[Node]) -> None:
        """Follow all edges, and then let the errors go back along them until nothing new comes."""
        users: dict[Node, set[Node]] = defaultdict(set)
        waiting = set(starts)
        while waiting:
            node = waiting.pop()
            module = self._module(node[0])
            self._edges[node] = [] if module is None or node[0] == _ERRORS else _References(self, module).edges(node)
            for target, _ in self._edges[node]:
                users[target].add(node)
                if target not in self._edges:
                    waiting.add(target)
        waiting = set(self._edges)
        while waiting:
            node = waiting.pop()
            found = self._ends_of(node)
            if found != self._ends[node]:
                self._ends[node] = found
                waiting |= users[node]

    def _ends_of(self, node: Node) -> set[type[errors.SeptumError]]:
        if node[0] == _ERRORS:
            return {error for error in [_error(node[1])] if error is not None}
        found: set[type[errors.SeptumError]] = set()
        for target, filters in self._edges[node]:
            found |= {error for error in self._ends[target] if all(_passes(error, one) for one in filters)}
        return found


def _node(function: Callable[..., object]) -> Node:
    return function.__module__, function.__qualname__.split(".")[0]


def _passes(error: type[errors.SeptumError], handlers: Filter) -> bool:
    for caught, swallows in handlers:
        if issubclass(error, caught):
            return not swallows
    return True


def _error(name: str) -> type[errors.SeptumError] | None:
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, errors.SeptumError) else None


def _files() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(("septum", *path.relative_to(SOURCE).with_suffix("").parts))
        yield name.removesuffix(".__init__"), path


def _module(name: str, path: Path) -> Module:
    module = Module(name=name, tree=ast.parse(path.read_text(encoding="utf-8")))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for statement in _top(module.tree.body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            module.defined[statement.name] = statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    module.defined[target.id] = statement
        else:
            module.imported |= _imports(statement, package)
    return module


def _top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those below an `if` or a `try`."""
    for statement in body:
        if isinstance(statement, (ast.If, ast.Try)):
            yield from _top([*statement.body, *statement.orelse])
        else:
            yield statement


def _imports(statement: ast.AST, package: str) -> dict[str, Node]:
    if isinstance(statement, ast.Import):
        return {
            (one.asname or one.name.split(".")[0]): (one.name if one.asname else one.name.split(".")[0], "")
            for one in statement.names
        }
    if isinstance(statement, ast.ImportFrom):
        start = statement.module or ""
        if statement.level:
            start = ".".join(
                filter(None, [*package.split(".")[: len(package.split(".")) - statement.level + 1], start])
            )
        return {one.asname or one.name: (start, one.name) for one in statement.names}
    return {}


_NO_CODE = frozenset({"annotation", "returns", "ctx", "op", "ops"})


class _References:
    """The names that a definition uses, and what stands around each."""

    def __init__(self, source: Source, module: Module) -> None:
        self._source, self._module = source, module
        self._local: dict[str, Node] = {}
        self._found: dict[tuple[Node, tuple[Filter, ...]], None] = {}

    def edges(self, node: Node) -> list[tuple[Node, tuple[Filter, ...]]]:
        """What a node names; nothing for a whole module."""
        tree = self._module.defined.get(node[1])
        if tree is None:
            return []
        if not isinstance(tree, (ast.Assign, ast.AnnAssign)):
            for part in ast.walk(tree):
                if isinstance(part, (ast.Import, ast.ImportFrom)):
                    self._local |= _imports(part, self._module.name)
        self._walk(tree, ())
        return list(self._found)

    def _walk(self, tree: ast.AST, around: tuple[Filter, ...]) -> None:
        if isinstance(tree, ast.Try):
            inner = (*around, tuple(self._handler(one) for one in tree.handlers))
            for statement in tree.body:
                self._walk(statement, inner)
            for statement in [*tree.orelse, *tree.finalbody, *(line for one in tree.handlers for line in one.body)]:
                self._walk(statement, around)
        elif isinstance(tree, ast.With):
            inner = (*around, *self._suppressed(tree))
            for item in tree.items:
                if not self._is_suppress(item):
                    self._walk(item.context_expr, inner)
            for statement in tree.body:
                self._walk(statement, inner)
        elif isinstance(tree, (ast.Name, ast.Attribute)) and (target := self._target(tree)) is not None:
            self._found[target, around] = None
        else:
            for child in _children(tree):
                self._walk(child, around)

    def _target(self, tree: ast.AST) -> Node | None:
        """What a name, or a name below a module, stands for."""
        if isinstance(tree, ast.Name):
            return self._resolved(tree.id)
        if isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name):
            base = self._resolved(tree.value.id, modules=True)
            if base is not None and base[1] == "":
                return self._source.resolve((base[0], tree.attr))
            if base is not None and base[0] == _ERRORS and _error(base[1]) is not None:
                return (_ERRORS, "")  # `StateError.code` raises nothing
        return None

    def _resolved(self, name: str, *, modules: bool = False) -> Node | None:
        if name in self._local:
            found = self._source.resolve(self._local[name])
        elif name in self._module.defined:
            found = (self._module.name, name)
        elif name in self._module.imported:
            found = self._source.resolve(self._module.imported[name])
        else:
            return None
        return found if found is None or modules or found[1] else None

    def _classes(self, tree: ast.AST | None) -> tuple[type[Exception], ...]:
        if tree is None:
            return (Exception,)
        found: list[type[Exception]] = []
        for part in ast.walk(tree):
            if isinstance(part, ast.Name) and part.id in {"Exception", "BaseException"}:
                found.append(Exception)
            elif isinstance(part, ast.Name) and (node := self._resolved(part.id)) is not None:
                if node[0] == _ERRORS and (error := _error(node[1])) is not None:
                    found.append(error)
                elif node in self._source_tables():
                    found += self._table(node)
        return tuple(found)

    def _source_tables(self) -> set[Node]:
        return {
            (self._module.name, name) for name, tree in self._module.defined.items() if isinstance(tree, ast.Assign)
        }

    def _table(self, node: Node) -> list[type[Exception]]:
        tree = self._module.defined[node[1]]
        names = [part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and part.id != node[1]]
        return [error for name in names if (error := _error(name)) is not None]

    def _handler(self, handler: ast.ExceptHandler) -> tuple[tuple[type[Exception], ...], bool]:
        return self._classes(handler.type), _swallows(handler)

    def _is_suppress(self, item: ast.withitem) -> bool:
        call = item.context_expr
        return isinstance(call, ast.Call) and ast.unparse(call.func).endswith("suppress")

    def _suppressed(self, tree: ast.With) -> list[Filter]:
        calls = [item.context_expr for item in tree.items if self._is_suppress(item)]
        return [
            ((tuple(one for each in call.args for one in self._classes(each)), True),)
            for call in calls
            if isinstance(call, ast.Call)
        ]


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler keeps an error to itself: it raises nothing, and hands on no more than its words."""
    if any(isinstance(part, ast.Raise) for line in handler.body for part in ast.walk(line)):
        # What it raises instead is a name in it; a bare one goes on.
        raises = [part for line in handler.body for part in ast.walk(line) if isinstance(part, ast.Raise)]
        if any(part.exc is None or ast.unparse(part.exc) == handler.name for part in raises):
            return False
    if handler.name is None:
        return True
    uses = allowed = 0
    for line in handler.body:
        for part in ast.walk(line):
            uses += isinstance(part, ast.Name) and part.id == handler.name
            allowed += (
                isinstance(part, ast.Attribute) and part.attr in _PASSED and ast.unparse(part.value) == handler.name
            )
            allowed += isinstance(part, ast.Call) and ast.unparse(part) in {
                f"type({handler.name})",
                f"str({handler.name})",
            }
            allowed += (
                isinstance(part, ast.Raise) and part.cause is not None and ast.unparse(part.cause) == handler.name
            )
            allowed += isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == handler.name
    return uses <= allowed


def _children(tree: ast.AST) -> Iterator[ast.AST]:
    """What is below, but for annotations and for what is only looked at: `isinstance(error, StateError)`."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in {"isinstance", "issubclass"}:
        yield tree.args[0]
        return
    for name in tree._fields:
        if name in _NO_CODE:
            continue
        value = getattr(tree, name, None)
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, ast.AST))
        elif isinstance(value, ast.AST):
            yield value


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────

EVERYWHERE = (errors.UsageError, errors.StateError, errors.DiskFullError)
"""What every verb can end with: `septum.cli.main` reads the command line, and makes these of what the system says."""
_HEAD = '''"""What each verb can end with: codes of errors, in the order of `septum.errors`.

Made from the code of each verb: python -m tests.unit.reachable_errors > src/septum/cli/endings.py
"""

from __future__ import annotations

from collections.abc import Mapping

ENDINGS: Mapping[str, str] = {
'''


def endings() -> dict[str, str]:
    """The codes that each verb can end with, in the order of `septum.errors`."""
    from septum.cli import parser
    from septum.cli.parsing import leaves

    handlers = {verb: leaf.get_default("handler") for verb, leaf in leaves(parser())}
    source = Source(handlers.values())
    return {
        verb: " ".join(error.code for error in errors.every_error() if error in source.of(handler) | set(EVERYWHERE))
        for verb, handler in handlers.items()
    }


def text(found: Mapping[str, str]) -> str:
    """The module `septum.cli.endings`."""
    lines = []
    for verb, codes in found.items():
        wrapped = textwrap.wrap(codes, 104)
        if len(wrapped) == 1 and len(verb) + len(codes) < 110:
            lines.append(f'    "{verb}": "{codes}",\n')
        else:
            pieces = [f'        "{line}{" " * (number < len(wrapped))}"\n' for number, line in enumerate(wrapped, 1)]
            lines.append(f'    "{verb}": (\n{"".join(pieces)}    ),\n')
    return _HEAD + "".join(lines) + "}\n"


if __name__ == "__main__":
    sys.stdout.write(text(endings()))
