"""Line by line: what replaces what, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from septum.adopting import configs, rules
from septum.adopting.configs import ANALYSIS, MKSHAPESRDF, Config
from septum.adopting.include import image_name
from septum.adopting.jobs import SECTIONS, OldPipeline
from septum.adopting.units import Chain, Unit
from septum.adopting.values import Found, OldJob, Placed, Row, Step

MAIN = ".gitlab-ci.yml"
_SHOWN = 160
_AROUND = frozenset({*SECTIONS, "extends", "inherit", "variables"})
_KEYWORDS: Mapping[str, tuple[str, str, str]] = {
    # keyword: what it becomes, what to look for in the new file, why
    "image": ("input 'image'", "image:", "for the CI job and for the workers: one name"),
    "stage": ("input 'stage'", "stage:", ""),
    "tags": ("input 'tags'", "tags:", ""),
    "timeout": ("input 'timeout'", "timeout:", "it ends one CI job; with 'wait: hops' no runner waits"),
    "rules": ("'rules' of the include", "rules:", "the whole analysis is in the pipeline, or nothing of it"),
    "only": ("'rules' of the include", "rules:", "the whole analysis is in the pipeline, or nothing of it"),
    "id_tokens": ("input 'proxy-audience'", "proxy-audience:", "the token goes to the broker, and no script sees it"),
    "artifacts": (
        "the folder result/",
        "expire-in:",
        "the verified result with its report and manifest, also the logs of what failed",
    ),
    "parallel": (
        "one include for each row",
        "component:",
        "each with a configuration, a prefix and a result of its own",
    ),
    "except": ("'rules' of the include", "rules:", "the whole analysis is in the pipeline, or nothing of it"),
    "when": ("'rules' of the include", "rules:", "an include is there, or it is not"),
    "retry": (
        "",
        "",
        "the component retries what can pass (exit code 75), and re-attaches: nothing is submitted twice",
    ),
    "interruptible": ("input 'cancel-on-new-commit'", "cancel-on-new-commit:", ""),
    "needs": ("inputs 'start' and 'needs'", "needs:", ""),
    "dependencies": ("", "", "prepare gets the artifacts of all earlier stages"),
    "cache": ("", "", "the CI jobs of septum have their own"),
}


_OF_ARTIFACTS = frozenset({"paths", "expire_in", "when", "name", "untracked"})
_ANYWAY = frozenset({"artifacts", "parallel", "stage"})
"""Keywords whose place is the component itself, if no input says more."""


@dataclass(slots=True, kw_only=True)
class RowMaker:
    """Makes the rows of a proposal whose files are written already.

    Attributes:
        pipeline: The old pipeline.
        chain: What is replaced of it.
        configs: What was made of each analysis.
        files: The new files.
        cluster: The profile.
        broker: Whether the proxy comes from a broker.
        kept_before: The statements that a CI job before septum runs.
        kept_after: Those that a CI job after it runs.
        variables: Variables that stand in the new file.
        secret_values: The secrets of the old files.
        asked: What turns out to be a question.
    """

    pipeline: OldPipeline
    chain: Chain
    configs: Sequence[tuple[Unit, Config]]
    files: Mapping[str, str]
    cluster: str
    broker: bool
    kept_before: Sequence[Found]
    kept_after: Sequence[Found]
    variables: Mapping[str, object]
    secret_values: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """All rows, by file and line, each once."""
        found = [*self._of_keywords(), *self._of_variables(), *self._of_statements(), *self._of_descriptions()]
        unique = {(row.file, row.first, row.last, row.text, row.becomes): row for row in found}
        names = list(dict.fromkeys([self.pipeline.source, *(row.file for row in found)]))
        return sorted(unique.values(), key=lambda row: (names.index(row.file), row.first, row.last))

    def _where(self, file: str, needle: str) -> str:
        """The line of a new file that begins with some words; empty if there is none."""
        for number, line in enumerate(self.files.get(file, "").splitlines(), 1):
            if line.strip().removeprefix("- ").startswith(needle):
                return f"{file}:{number}"
        return ""

    def _input(self, needle: str) -> str:
        """The same in the first entry of `include` of the new pipeline."""
        text = self.files[MAIN]
        head = text[: text.find("\n\n")] if "\n\n" in text else text
        for number, line in enumerate(head.splitlines(), 1):
            if line.strip().removeprefix("- ").startswith(needle):
                return f"{MAIN}:{number}"
        return ""

    # ── keywords ────────────────────────────────────────────────────────────────────────────────────────────────

    def _of_keywords(self) -> Iterator[Row]:
        for job in self.chain.jobs:
            for key, value in job.keywords.items():
                if str(key) in _AROUND:
                    continue
                placed = key if isinstance(key, Placed) else self.pipeline.places.get(str(key), key)
                place = value if hasattr(value, "line") else placed
                yield self._keyword(job, str(key), value, getattr(place, "file", ""), getattr(place, "line", 0))

    def _keyword(self, job: OldJob, key: str, value: object, file: str, line: int) -> Row:
        becomes, needle, why = _KEYWORDS.get(key, ("", "", ""))
        if key == "stage" and str(value) == "test":
            why = "the default of the input"
        where = self._input(needle) if needle else ""
        if not where and key in _ANYWAY:
            where = self._input("component:")
        if not where and becomes.startswith("'rules'") and self._where(MAIN, "workflow:"):
            becomes, where = "'workflow: rules'", self._where(MAIN, "workflow:")
        if key not in _KEYWORDS or (key == "id_tokens" and not where):
            self.asked.append(
                f"'{key}' of the CI job {job.name} ({file}:{line}) is not taken over: look whether you need it"
            )
            why = "not taken over"
        if not where:
            becomes = ""
            why = why or "the default of the component"
        if key == "artifacts" and isinstance(value, dict) and set(value) - _OF_ARTIFACTS:
            more = ", ".join(map(str, sorted(set(value) - _OF_ARTIFACTS)))
            self.asked.append(f"'artifacts: {more}' of the CI job {job.name} ({file}:{line}) is not taken over")
        text = f"{key}: {image_name(value) if key == 'image' else _short(value)}"
        green = rules.JOBS if key == "image" else ""
        return Row(file=file or self.pipeline.source, first=line, last=line, text=text, step=Step.KEYWORD,
                   becomes=becomes, where=where, why=why, green=green)  # fmt: skip

    def _of_variables(self) -> Iterator[Row]:
        for holder in (self.pipeline.body, *(job.own for job in self.chain.jobs)):
            listed = holder.get("variables")
            for name, value in listed.items() if isinstance(listed, dict) else ():
                text = value.get("value") if isinstance(value, dict) else value
                becomes, where, why = self._variable(str(name), str(text))
                yield Row(
                    file=getattr(name, "file", self.pipeline.source), first=getattr(name, "line", 0),
                    last=getattr(name, "line", 0), text=_clip(f"{name}: {text}"), step=Step.KEYWORD,
                    becomes=becomes, where=where, why=why,
                )  # fmt: skip

    def _variable(self, name: str, text: str) -> tuple[str, str, str]:
        if name in self.variables:
            return "kept: variables", self._where(MAIN, f"{name}:"), ""
        if name.startswith("_condor_"):
            return f"the profile {self.cluster}", self._input("cluster:"), rules.BY_NAME["condor"].why
        if name.startswith(("SINGULARITY_", "APPTAINER_")):
            return "input 'image'", self._input("image:"), rules.BY_NAME["image"].why
        exported = [unit.config for unit, _ in self.configs if unit.environment.get(name) == text]
        if exported:
            where = self._where(exported[0], "script:")
            return "kept: exported in the script of its configuration", where, ""
        if text in self.secret_values:
            return "", "", "a secret has no place in a file: see the questions"
        self.asked.append(f"the variable {name} of a CI job that goes is not taken over: look whether you need it")
        return "", "", "not taken over"

    # ── commands ────────────────────────────────────────────────────────────────────────────────────────────────

    def _of_statements(self) -> Iterator[Row]:
        places = {key: (unit.config, place) for unit, made in self.configs for key, place in made.places.items()}
        published = {id(each) for _, made in self.configs for each in made.published}
        for each in self.chain.found:
            statement = each.statement
            becomes, where, why = self._fate(each, places, published)
            rule = rules.BY_NAME.get(each.rule)
            why = why or (rule.why if rule else "")
            green = rule.green if rule else ""
            if (
                each.step is Step.MERGE
                and self.configs[0][1].component == MKSHAPESRDF
                and each.rule.startswith("merge")
            ):
                why, green = (
                    "plain hadd leaves out what mkShapesRDF does after it, such as envelopes: -o 2 does it all",
                    rules.MERGE,
                )
            yield Row(
                file=statement.file, first=statement.first, last=statement.last, text=_clip(statement.text),
                step=each.step, becomes=becomes, where=where, why=why, green=green,
            )  # fmt: skip

    def _fate(self, each: Found, places: Mapping[int, tuple[str, str]], published: set[int]) -> tuple[str, str, str]:
        """What a statement becomes, where that stands, and why if its rule does not say."""
        unit = next((one for one, _ in self.configs if one.job.name == each.statement.job), self.configs[0][0])
        config, component = unit.config, next(made.component for one, made in self.configs if one is unit)
        if id(each) in places and each.step is not Step.SUBMIT:
            file, key = places[id(each)]
            needle = "script:" if key.startswith("framework") else f"{key}:"
            return f"kept: {key}", self._where(file, needle), "runs before the submission, as it did"
        if id(each) in published:
            return "publish", self._where(config, "publish:"), "sent after the merge, and compared by its checksum"
        if any(each is one for one in self.kept_before):
            return (
                "kept: CI job before-septum",
                self._where(MAIN, "before-septum:"),
                "runs before the submission, as it did",
            )
        if any(each is one for one in self.kept_after):
            return "kept: CI job after-septum", self._where(MAIN, "after-septum:"), "runs when the result is there"
        exported = configs.exported(each)
        if exported and exported[0] in self.variables:
            return "kept: variables", self._where(MAIN, f"{exported[0]}:"), ""
        return self._by_step(each, component, config)

    def _by_step(self, each: Found, component: str, config: str) -> tuple[str, str, str]:
        here = self._input("component:")
        profile = self._input("cluster:")
        key = {ANALYSIS: "command", MKSHAPESRDF: ""}.get(component, "framework")
        submit = (
            (f"{key}: in {config}", self._where(config, f"{key}:"), "")
            if key
            else (f"the component {component}", here, "")
        )
        merged = self._where(config, "merge:")
        merge = (
            ("merge" if merged else f"'merge' in {config}, by you", merged, "")
            if key
            else ("mkShapesRDF -o 2, run by the component", here, "")
        )
        proxy = ("input proxy-audience", self._input("proxy-audience:"), "") if self.broker else (
            "the variable X509_PROXY", profile, "")  # fmt: skip
        table = {
            Step.TOKEN: (f"the profile {self.cluster}: IAM_CLIENT_ID, IAM_CLIENT_SECRET", profile, ""),
            Step.PROXY: proxy,
            Step.KERBEROS: (f"the profile {self.cluster}: KRB5_PRINCIPAL, KRB5_KEYTAB", profile, ""),
            Step.CONDOR: (f"the profile {self.cluster}", profile, ""),
            Step.IMAGE: ("input 'image'", self._input("image:"), ""),
            Step.COMPILE: submit,
            Step.SUBMIT: submit,
            Step.WAIT: ("CI job collect", here, ""),
            Step.TRANSFER: ("CI job collect", here, ""),
            Step.CHECK: ("CI job collect", here, ""),
            Step.REMOVE: ("CI jobs collect and, when cancelled, cleanup by tag", here, ""),
            Step.MERGE: merge,
            Step.PRINTS: ("", "", "" if each.rule == "options" else "it only prints"),
            Step.CALLS: (
                f"its lines, see below{self._may_go(each)}",
                "",
                f"the script {each.statement.calls} was read, and not run",
            ),
        }
        if each.step is Step.ENVIRONMENT:
            return "", "", "changes the environment of lines that are gone"
        return table.get(each.step, ("", "", "kept by hand: see the questions"))

    def _may_go(self, each: Found) -> str:
        """Whether nothing in the new files calls a script any more."""
        return "" if any(each.statement.calls in text for text in self.files.values()) else "; the file can go"

    # ── submit descriptions ─────────────────────────────────────────────────────────────────────────────────────

    def _of_descriptions(self) -> Iterator[Row]:
        for unit, made in self.configs:
            for file, command in made.commands:
                key = command.becomes.partition("septum.yaml: ")[2]
                where = self._where(unit.config, f"{key}:") if key else ""
                green = rules.FRAMEWORK if "ignores" in command.why else ""
                yield Row(file=file, first=command.line, last=command.line, text=_clip(command.text), step=Step.SUBMIT,
                          becomes=key or command.becomes, where=where, why=command.why, green=green)  # fmt: skip


def _clip(text: str) -> str:
    return text if len(text) <= _SHOWN * 10 else text[: _SHOWN * 10] + " …"


def _short(value: object) -> str:
    text = ", ".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, dict) else (
        ", ".join(map(str, value)) if isinstance(value, list) else str(value))  # fmt: skip
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
