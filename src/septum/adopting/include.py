"""The include of the component: which inputs follow from the keywords of the old CI job. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from septum.adopting.conditions import rules_of
from septum.adopting.configs import Config
from septum.adopting.units import Unit
from septum.adopting.values import OldJob

_IMAGE = re.compile(r"^[A-Za-z0-9$][A-Za-z0-9._/:@${}-]*$")
_CAT = "cms-cat-grid-proxy-service.app.cern.ch"
LIBRARY = "$CI_SERVER_FQDN/cms-analysis/general/septum"
"""Where the components are, on the server of the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """An entry of `include`, with what a person has to look at."""

    entry: dict[str, object]
    questions: tuple[str, ...]


def image_name(value: object) -> str:
    """The name of an image in either form of the keyword."""
    name = value.get("name") if isinstance(value, dict) else value
    return str(name) if isinstance(name, str) else ""


def include_of(unit: Unit, made: Config, *, cluster: str, version: str, gone: frozenset[str], stages: bool) -> Included:
    """The entry of one analysis.

    Args:
        unit: The analysis.
        made: Its configuration.
        cluster: Where it runs.
        version: Of the component.
        gone: The CI jobs that are replaced.
        stages: Whether the pipeline names its stages.
    """
    keywords, questions = unit.job.keywords, []
    inputs: dict[str, object] = {"cluster": cluster}
    image = image_name(keywords.get("image")) or made.image
    if image and _IMAGE.fullmatch(image):
        inputs["image"] = image
        questions += [_moving(image)] if _moves(image) else []
    elif image:
        questions.append(
            f"the image {image[:100]!r} cannot be an input as it is: name it under 'image' in {unit.config}"
        )
    if isinstance(keywords.get("image"), dict) and set(keywords["image"]) - {"name"}:  # type: ignore[call-overload]
        questions.append("the image had more than a name (an entrypoint, a policy): the component takes the name alone")
    if unit.slug:
        inputs |= {"config": unit.config, "job-prefix": unit.prefix, "result": f"result-{unit.slug}"}
    inputs |= made.inputs
    inputs |= dict(_of_keywords(unit.job, stages=stages))
    needs = [item for item in _needed(keywords) if item not in gone]
    if needs:
        inputs |= {"start": "needs", "needs": needs}
    audiences = str(keywords.get("id_tokens", ""))
    if _CAT in audiences:
        inputs["proxy-audience"] = _CAT
    rules, said = rules_of(keywords)
    entry: dict[str, object] = {"component": f"{LIBRARY}/{made.component}@{version}", "inputs": inputs}
    if rules:
        entry["rules"] = rules
    return Included(entry=entry, questions=(*questions, *said))


def extra_rules(entry: Mapping[str, object], cluster: str) -> dict[str, object]:
    """The rules of a CI job that is there when those of the component are: on protected refs, but for `local`."""
    listed = entry.get("rules")
    rules = [dict(rule) for rule in listed if isinstance(rule, dict)] if isinstance(listed, list) else []
    # In an include it says that it is there; in a CI job, that it runs after a failure as well.
    rules = [{key: value for key, value in rule.items() if (key, value) != ("when", "always")} for rule in rules]
    if cluster != "local":
        protected = '$CI_COMMIT_REF_PROTECTED == "true"'
        rules = [
            rule if rule.get("when") == "never"
            else {**rule, "if": f"({rule['if']}) && {protected}" if "if" in rule else protected}
            for rule in rules or [{}]
        ]  # fmt: skip
    return {"rules": rules} if rules else {}


def uses_broker(job: OldJob) -> bool:
    """Whether the proxy came from the broker of CAT."""
    return _CAT in str(job.keywords.get("id_tokens", ""))


def _of_keywords(job: OldJob, *, stages: bool) -> Iterator[tuple[str, object]]:
    keywords = job.keywords
    stage = keywords.get("stage")
    if isinstance(stage, str) and stages and stage != "test":
        yield "stage", str(stage)
    tags = keywords.get("tags")
    if isinstance(tags, list) and tags and all(isinstance(tag, str) for tag in tags):
        yield "tags", [str(tag) for tag in tags]
    if isinstance(keywords.get("timeout"), str):
        yield "timeout", str(keywords["timeout"])
    artifacts = keywords.get("artifacts")
    expiry = artifacts.get("expire_in") if isinstance(artifacts, Mapping) else None
    if isinstance(expiry, str) and re.fullmatch(r"[\w .]+", expiry):
        yield "expire-in", str(expiry)
    if keywords.get("interruptible") is True:
        yield "cancel-on-new-commit", True


def _needed(keywords: Mapping[str, object]) -> list[str]:
    listed = keywords.get("needs")
    names = (
        [entry.get("job") if isinstance(entry, dict) else entry for entry in listed] if isinstance(listed, list) else []
    )
    return [str(name) for name in names if isinstance(name, str)]


def _moves(image: str) -> bool:
    from septum.errors import SeptumError
    from septum.images.reference import parse_image, why_mutable

    if "$" in image:
        return False
    try:
        return bool(why_mutable(parse_image(image)))
    except SeptumError:
        return False


def _moving(image: str) -> str:
    return f"the image {image} can change while jobs run: name a version, or a digest (docs/how-to/choose-an-image.md)"
