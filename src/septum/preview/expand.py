"""One file from its text to the body that GitLab goes on with: the steps, and the words of the errors. Pure.

Behaviour: gitlabhq `lib/gitlab/ci/config/yaml/loader.rb`, `lib/gitlab/ci/config/interpolation/interpolator.rb`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from septum.errors import HeaderError, InputError, LimitError, PreviewError
from septum.preview import features, limits, ruby
from septum.preview.blocks import Context
from septum.preview.documents import Documents, read_documents
from septum.preview.features import OLDEST, Version
from septum.preview.header import Spec, read_header
from septum.preview.inputs import resolve
from septum.preview.interpolate import interpolate
from septum.preview.source import Source, Variable

# GitLab puts that many errors into one message.
_ERRORS = 3
_SHOWN = 2000
_FIXES: Mapping[type[PreviewError], str] = {
    HeaderError: "the header is one YAML document with `spec:` alone, `---` ends it, and a body follows",
    InputError: "compare `inputs:` with the header of the file, which says which inputs it takes and of which type",
    LimitError: "make the file or the value smaller; GitLab has the same limit",
}
_BLOCK_FIX = "a block names an input of the same file, such as `$[[ inputs.stage ]]`, and at most three functions"


def expand_file(
    source: Source,
    given: Mapping[str, object] | None,
    variables: Mapping[str, Variable],
    *,
    gitlab: Version,
    pipeline: bool,
) -> dict[str, object]:
    """The work of `septum.preview.source.expand`; see there.

    Raises:
        PreviewError: GitLab would refuse the file or the inputs.
    """
    try:
        if gitlab < OLDEST:
            raise InputError(f"GitLab {gitlab} cannot be imitated", fix=f"name a version from {OLDEST} on")
        return _expanded(source, given, variables, gitlab=gitlab, pipeline=pipeline)
    except RecursionError:
        raise _named(source, LimitError("a value is nested too deeply")) from None
    except PreviewError as error:
        raise _named(source, error) from None


def _expanded(
    source: Source,
    given: Mapping[str, object] | None,
    variables: Mapping[str, Variable],
    *,
    gitlab: Version,
    pipeline: bool,
) -> dict[str, object]:
    documents = read_documents(source.text, gitlab)
    passed = _passed(given, documents, gitlab, pipeline=pipeline)
    if documents.header is None:
        return documents.body
    spec = read_header(documents.header, gitlab)
    _stop(HeaderError, spec.errors)
    _refuse_include(spec, source)
    inputs = resolve(spec.inputs, passed, gitlab)
    _stop(InputError, inputs.errors)
    data = {"inputs": inputs.values, "component": _component(source, spec)}
    return interpolate(documents.body, Context(data=data, variables=variables, gitlab=gitlab))


def _passed(given: object, documents: Documents, gitlab: Version, *, pipeline: bool) -> Mapping[str, object]:
    passed = {} if given is None else given
    if not isinstance(passed, Mapping):
        raise InputError("Given inputs must be a hash")
    if pipeline and passed and not features.PIPELINE_INPUTS.known(gitlab):
        raise InputError(
            f"a pipeline of GitLab {gitlab} takes no inputs", evidence=f"they came in {features.PIPELINE_INPUTS.since}"
        )
    if passed and documents.header is None:
        raise InputError("Given inputs not defined in the `spec` section of the included configuration file")
    if pipeline and len(passed) > limits.MAX_PIPELINE_INPUTS:
        raise LimitError(f"a pipeline takes up to {limits.MAX_PIPELINE_INPUTS} inputs, and {len(passed)} are given")
    return passed


def _refuse_include(spec: Spec, source: Source) -> None:
    if not spec.include:
        return
    if source.component:
        raise HeaderError("`spec:include` cannot be used in a component", fix="write the inputs into the component")
    raise HeaderError(
        "this preview does not read the files of `spec:include`", fix="write the inputs into the header to preview it"
    )


def _component(source: Source, spec: Spec) -> Mapping[str, object]:
    """The fields that the header lists; a version that does not exist is null. Only components have any."""
    if source.component is None:
        return {}
    fields = asdict(source.component) | {"version": source.component.version or None}
    return {name: fields[name] for name in spec.component}


def _stop(kind: type[PreviewError], errors: Sequence[str]) -> None:
    if errors:
        raise kind(", ".join(errors[:_ERRORS]))


def _named(source: Source, error: PreviewError) -> PreviewError:
    """The same error with the name of the file, a fix, and nothing in it that a terminal could take for a command."""
    return type(error)(
        _shown(f"`{source.name}`: {error.what}"),
        evidence=_shown(error.evidence),
        fix=_shown(error.fix or _FIXES.get(type(error), _BLOCK_FIX)),
    )


def _shown(text: str) -> str:
    """Printable characters only, and not too many: values may be anything."""
    safe = "".join(character if character.isprintable() else ruby.inspect(character)[1:-1] for character in text)
    return safe if len(safe) <= _SHOWN else f"{safe[:_SHOWN]}…"
