"""The files of the analysis: lists, reads and hashes them. Planning touches no file but through here."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from septum.errors import PlanError
from septum.plan import InputFile, Value

_NEVER_SENT = frozenset({".git", ".septum", ".venv", "__pycache__", ".gitlab-ci-local"})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Files:
    """The analysis's folder: lists, reads and hashes, each file once.

    Args:
        root: The folder that `septum.yaml` stands in; all paths are relative to it.
        leave_out: Folders below `root` that septum writes itself and that are never inputs.
    """

    def __init__(self, root: Path, leave_out: Sequence[str]) -> None:
        self._root = root
        self._real_root = root.resolve()
        self._left_out = [Path(folder).parts for folder in leave_out]
        self._described: dict[str, InputFile] = {}

    def is_sent(self, path: str) -> bool:
        """Whether a path names a file of the repository, which travels, rather than a place that workers see."""
        return not Path(path).is_absolute() and not _URL.match(path)

    def place(self, path: str) -> str:
        """Where a file really is: one text for all spellings of it and all links to it."""
        return path if _URL.match(path) else os.path.realpath(self._root / path)

    def glob(self, pattern: str) -> list[str]:
        """The files that a pattern of `parts` matches, sorted.

        Raises:
            PlanError: None does, or one is a broken link.
        """
        found = [path for path in _matches(pattern, self._root) if not self._is_own(path)]
        for path in found:
            self._refuse_broken(path, "parts")
        files = [os.path.normpath(path) for path in found if (self._root / path).is_file()]
        if not files:
            raise PlanError(
                f"parts: no file matches {pattern!r}", evidence=self._beside(pattern), fix="check the pattern"
            )
        return files

    def match_inputs(self, patterns: Sequence[str]) -> list[str]:
        """The files that the patterns of `inputs` stand for, sorted, each once; a folder stands for all below it.

        Raises:
            PlanError: A pattern matches no file, or one outside of the repository, or a broken link.
        """
        found: dict[str, None] = {}
        for pattern in patterns:
            matched = _matches(pattern, self._root) if (glob.has_magic(pattern)) else [pattern]
            files = [file for path in matched for file in self._below(path)]
            if not files:
                raise PlanError(
                    f"inputs: no file matches {pattern!r}", evidence=self._beside(pattern), fix="check the name"
                )
            found.update(dict.fromkeys(files))
        return sorted(found)

    def _below(self, path: str) -> list[str]:
        """The files that a matched path stands for: itself, or all below a folder."""
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise PlanError(
                f"inputs: {path!r} is outside the repository",
                fix="put the file into the repository; what workers see by themselves (/cvmfs, /eos) is no input",
            )
        whole = self._root / path
        if whole.is_dir():
            return [name for name in self._walk(path, frozenset()) if not self._is_own(name)]
        self._refuse_broken(path, "inputs")
        return [Path(path).as_posix()] if whole.is_file() and not self._is_own(path) else []

    def _walk(self, folder: str, above: frozenset[Path]) -> Iterator[str]:
        """All files below a folder, through links to folders as well."""
        whole = self._root / folder
        real = whole.resolve()
        if real in above or self._is_own(folder):
            return
        try:
            entries = sorted(whole.iterdir())
        except OSError as error:
            raise PlanError(
                f"inputs: {folder!r} cannot be read", evidence=str(error), fix="check the folder"
            ) from error
        for item in entries:
            name = item.relative_to(self._root).as_posix()
            if item.is_dir():
                yield from self._walk(name, above | {real})
            else:
                if not self._is_own(name):
                    self._refuse_broken(name, "inputs")
                if item.is_file():
                    yield name

    def _refuse_broken(self, path: str, what: str) -> None:
        """A link to nowhere is a file that somebody wanted to be there."""
        whole = self._root / path
        if whole.is_symlink() and not whole.exists():
            raise PlanError(
                f"{what}: {path!r} is a link to a file that is not there",
                evidence=f"it leads to {whole.readlink()}",
                fix="bring the file (is its file system mounted?), or remove the link",
            )

    def _is_own(self, path: str) -> bool:
        """Whether a path leads into a folder that is never an input; a path elsewhere on the machine never does."""
        parts = Path(path).parts
        if not self.is_sent(path):
            return False
        return bool(_NEVER_SENT.intersection(parts)) or any(parts[: len(own)] == own for own in self._left_out)

    def _beside(self, pattern: str) -> str:
        folder = self._root / os.path.dirname(re.split(r"[*?[]", pattern, maxsplit=1)[0])  # noqa: PTH120 - keeps "a/"
        if not folder.is_dir():
            return (
                f"there is no folder {folder.relative_to(self._root) if folder.is_relative_to(self._root) else folder}"
            )
        names = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))[:8]
        return f"the folder holds: {', '.join(names) or 'nothing'}"

    def describe(self, path: str) -> InputFile:
        """A file of the repository with its size and checksum, as the plan holds it.

        Raises:
            PlanError: It cannot be read, or it is not in the repository.
        """
        if path not in self._described:
            self._described[path] = self._hash(path)
        return self._described[path]

    def _hash(self, path: str) -> InputFile:
        whole = self._root / path
        real = whole.resolve()
        if not is_text(path):
            raise PlanError(f"inputs: the name {path!a} is not UTF-8", fix="rename the file")
        if ".." in Path(path).parts or not real.is_relative_to(self._real_root):
            raise PlanError(
                f"inputs: {path!r} leads outside the repository",
                evidence=f"it leads to {real}",
                fix="copy the file into the repository, and name it without '..'",
            )
        try:
            with real.open("rb") as stream:
                sha256 = hashlib.sha256()
                while block := stream.read(1 << 20):
                    sha256.update(block)
            status = real.stat()
        except OSError as error:
            raise PlanError(f"inputs: {path!r} cannot be read", evidence=str(error), fix="check the file") from error
        return InputFile(
            path=path, size_b=status.st_size, sha256=sha256.hexdigest(), executable=bool(status.st_mode & 0o100)
        )

    def _read(self, path: str, what: str) -> str:
        try:
            # Not read_text: it would change the line ends inside of quotes.
            return (self._root / path).read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(
                f"parts: {what}: {path!r} cannot be read", evidence=str(error), fix="check the file"
            ) from error

    def read_list(self, path: str) -> list[str]:
        """The paths and URLs of a text file, in its order.

        Raises:
            PlanError: It cannot be read, names no file, or names one that is not there.
        """
        lines = [line.strip() for line in self._read(path, "files").split("\n")]
        files = [line for line in lines if line and not line.startswith("#")]
        # One file under two spellings is one file.
        files = [file if _URL.match(file) else os.path.normpath(file) for file in files]
        if not files:
            raise PlanError(f"parts: files: {path!r} lists no files", fix="write one path or URL a line")
        missing = [file for file in files if self.is_sent(file) and not (self._root / file).is_file()]
        if missing:
            raise PlanError(
                f"parts: files: {missing[0]!r}, listed in {path}, does not exist",
                evidence=f"{len(missing)} of {len(files)} files are missing",
                fix="check the list; remote files are written as URLs (root://…), files that workers see as /…",
            )
        return files

    def read_table(self, path: str) -> Iterator[dict[str, Value]]:
        """The rows of a CSV or TSV file, by the names of its header.

        Raises:
            PlanError: It cannot be read, has no rows, or does not hold together.
        """
        text = self._read(path, "table")
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter="\t" if path.endswith(".tsv") else ",", strict=True
        )
        try:
            rows = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise PlanError(f"parts: table: {path}:{reader.line_num}: {error}", fix="check the quotes") from error
        if len(rows) < 2:  # noqa: PLR2004 - a header and a row
            raise PlanError(f"parts: table: {path} has no rows", fix="write a header line and one line a part")
        _, header = rows[0]
        names = [name.strip() for name in header]
        bad = [name for name in names if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or names.count(name) > 1]
        bad += [name for name in names if name in {"part", "index", "parts"}]
        if bad:
            raise PlanError(
                f"parts: table: {path}:1: {bad[0]!r} cannot name a value",
                fix="name each column once, with letters, digits and _ only; not part, index, parts",
            )
        for line, row in rows[1:]:
            if len(row) != len(names):
                raise PlanError(
                    f"parts: table: {path}:{line}: {len(row)} fields, the header has {len(names)}",
                    evidence=",".join(row)[:200],
                    fix='quote fields that hold a comma: "a,b"',
                )
            yield dict(zip(names, row, strict=True))

    def count_entries(self, path: str, tree: str) -> int:
        """The number of entries of a tree or ntuple in a ROOT file.

        Raises:
            PlanError: They cannot be counted.
        """
        import uproot

        # A path object: in a text, uproot takes what follows a colon for an object.
        where = path if _URL.match(path) else self._root / path
        try:
            with uproot.open(where) as file:
                return int(file[tree].num_entries)
        except Exception as error:  # uproot and the file system raise many kinds
            detail = str(error).strip().splitlines()
            raise PlanError(
                f"parts: entries: {tree!r} in {path!r} cannot be counted",
                evidence=f"{type(error).__name__}: {detail[0] if detail else ''}"[:300],
                fix="check file and tree, or give the number of entries as 'total'",
            ) from error


def _matches(pattern: str, root: Path) -> list[str]:
    # Path.glob knows no absolute patterns.
    return sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207


def total_size(files: Iterable[InputFile]) -> int:
    """The sum of the sizes, in bytes."""
    return sum(file.size_b for file in files)


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name in another encoding
        return False
    return True


def below(root: Path) -> Callable[[InputFile], Path]:
    """Where the input files of an analysis stand whose paths are relative to a folder."""
    return lambda file: root / file.path
