"""The preview of components and pipelines: what GitLab would refuse, with exit code 2."""

from __future__ import annotations

from septum.errors.base import SeptumError


class PreviewError(SeptumError):
    """GitLab would refuse a component, its inputs or the pipeline that includes it; each cause has its own class."""

    code, exit_code = "E060", 2


class HeaderError(PreviewError):
    """GitLab would not take a CI/CD file: its YAML cannot be read, or its header has an unknown or unfit key."""

    code, exit_code = "E061", 2


class InputError(PreviewError):
    """An input is missing, unknown, of the wrong type, or not what its options or its regular expression allow."""

    code, exit_code = "E062", 2


class InterpolationError(PreviewError):
    """A block `$[[ … ]]` names what does not exist, or calls a function with something that it does not take."""

    code, exit_code = "E063", 2


class LimitError(PreviewError):
    """A file exceeds a limit of GitLab: its size, its depth, the number or the length of its blocks."""

    code, exit_code = "E064", 2


class IncludeError(PreviewError):
    """A file that a pipeline includes cannot be found, or cannot be included like that."""

    code, exit_code = "E065", 2


class PipelineError(PreviewError):
    """The files together are not a pipeline that GitLab would run: an unknown job, keyword, need or stage."""

    code, exit_code = "E066", 2
