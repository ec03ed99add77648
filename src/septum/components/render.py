"""From the component sources to the rendered components and the generated parts of their pages. Writes nothing.

Works in a checkout of the library: the sources stand in `components/`, not in the package.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import septum
from septum import patience
from septum.components import catalog, inputs, model
from septum.components import environment as received
from septum.components import pins as release
from septum.components.scan_inputs import scan
from septum.components.tables import inputs_table, jobs_table
from septum.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_AMBIGUOUS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_MARK = re.compile(
    r"(?P<begin><!-- generated:(?P<what>[a-z]+)(?: (?P<component>[a-z-]+))? -->\n)"
    r".*?(?P<end><!-- generated:end -->)",
    re.DOTALL,
)


def library_root(start: Path) -> Path:
    """The root of a checkout of the library, at `start` or above.

    Raises:
        UsageError: There is none.
    """
    for folder in (start, *start.parents):
        if (folder / "components" / "_macros.j2").is_file() and (folder / "pyproject.toml").is_file():
            return folder
    raise UsageError(
        f"{start} is not in a checkout of the component library",
        evidence="no folder from there upwards holds components/_macros.j2 and pyproject.toml",
        fix="git clone https://gitlab.cern.ch/cms-analysis/general/septum.git && cd septum",
    )


def render_all(root: Path) -> dict[Path, str]:
    """All generated files of the component library.

    Args:
        root: The root of a checkout.

    Returns:
        The text of each file by its path relative to `root`: `templates/*.yml`, and the pages with generated parts.
    """
    files = {Path("templates") / f"{item.name}.yml": render_component(item, root) for item in catalog.COMPONENTS}
    pins = release.read(root)
    for page in [Path("README.md"), *(Path("components") / item.name / "README.md" for item in catalog.COMPONENTS)]:
        if (root / page).is_file():
            files[page] = fill_marks((root / page).read_text(encoding="utf-8"), page, pins)
    return files


def render_component(item: model.Component, root: Path) -> str:
    """One component from its source.

    Args:
        item: The component.
        root: The root of a checkout.

    Returns:
        The YAML as it is committed.

    Raises:
        StateError: The source is not there, uses a name that does not exist, does not give two YAML documents, or puts
            an input where a shell or a rule would read it.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / "components"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # Bash's ${#array} would open a comment with the usual marks.
        comment_start_string="{##",
        comment_end_string="##}",
        autoescape=False,  # noqa: S701 - the output is YAML; values go through the filter `scalar`
    )
    environment.filters["scalar"] = scalar
    name = f"{item.name}/component.yml.j2"
    pins = release.read(root)
    try:
        text = environment.get_template(name).render(
            component=with_pins(item, pins),
            pins=pins,
            version=septum.__version__,
            state=model.STATE,
            reports=model.REPORTS,
            hop_expiry=model.HOP_EXPIRY,
            local=model.LOCAL,
            recorder_folder=model.RECORDER,
            patience=patience,
            inputs=inputs,
            received=received,
        )
    except jinja2.TemplateError as error:
        where = f"{error.name}:{error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else name
        raise StateError(
            f"component {item.name}: components/{where} cannot be rendered",
            evidence=f"{type(error).__name__}: {error}",
            fix="correct the component source, or the model in src/septum/components/model.py",
        ) from error
    _, body = parse(text, item.name)
    if found := scan(body, [entry.reference for entry in item.inputs if entry.is_script]):
        raise StateError(
            f"component {item.name}: an input would be code",
            evidence="\n".join(map(str, found)),
            fix="put it into a variable, and that into double quotes",
        )
    return text


def with_pins(item: model.Component, pins: release.Pins) -> model.Component:
    """A component whose own image is named with the digest of the release, if there is one."""
    return replace(
        item,
        inputs=tuple(
            replace(entry, default=pins.with_digest(model.OWN_IMAGE)) if entry.default == model.OWN_IMAGE else entry
            for entry in item.inputs
        ),
    )


def parse(text: str, name: str) -> tuple[dict[str, object], dict[str, object]]:
    """Read a rendered component back.

    Args:
        text: The rendered YAML.
        name: Which component, for messages.

    Returns:
        The header and the body.

    Raises:
        StateError: It is not YAML, or not two mappings.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    fix = "correct the component source"
    try:
        documents = list(YAML(typ="safe", pure=True).load_all(text))
    except YAMLError as error:
        raise StateError(f"component {name}: not valid YAML", evidence=str(error), fix=fix) from error
    if len(documents) != 2 or not all(isinstance(document, dict) for document in documents):  # noqa: PLR2004
        raise StateError(f"component {name}: not a header and a body", fix=fix)
    header, body = documents
    return header, body


def scalar(value: model.Default | tuple[str | int, ...]) -> str:
    """A value as YAML that every reader takes for the same value.

    Args:
        value: A text of one line, a number, a truth value, or several texts or numbers.

    Returns:
        One line; texts in single quotes unless nobody could mistake them.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if _PLAIN.fullmatch(value) and value.lower() not in _AMBIGUOUS:
        return value
    return "'" + value.replace("'", "''") + "'"


def fill_marks(text: str, page: Path, pins: release.Pins) -> str:
    """Fill the generated parts of a page.

    A part stands between `<!-- generated:inputs -->` and `<!-- generated:end -->`; `jobs` gives the CI jobs. Another
    component than the page's own is named behind a space.

    Args:
        text: The page.
        page: Its path, which tells the component it is about.
        pins: Of the release.

    Raises:
        StateError: A mark asks for something that does not exist, or is never closed.
    """
    makers: Mapping[str, Callable[[model.Component], str]] = {"inputs": inputs_table, "jobs": jobs_table}
    own = page.parent.name or catalog.ANALYSIS.name

    def replace(match: re.Match[str]) -> str:
        try:
            made = makers[match["what"]](with_pins(catalog.component(match["component"] or own), pins))
        except KeyError as error:
            raise StateError(
                f"{page}: the mark {match['begin'].strip()} asks for {error}, which does not exist",
                fix=f"write one of {', '.join(makers)}, and a component's name or none",
            ) from error
        return match["begin"] + "\n" + made + "\n" + match["end"]

    filled, count = _MARK.subn(replace, text)
    if count != len(re.findall(r"^<!-- generated:(?!end)", text, re.MULTILINE)):
        raise StateError(f"{page}: a generated part is not closed", fix="end it with <!-- generated:end -->")
    return filled


def drift(files: Mapping[Path, str], root: Path) -> list[Path]:
    """The generated files that are missing, or differ from what the sources give.

    Args:
        files: What they must hold, by path relative to `root`.
        root: The root of a checkout.
    """
    return [
        path
        for path, text in files.items()
        if not (root / path).is_file() or (root / path).read_bytes() != text.encode("utf-8")
    ]
