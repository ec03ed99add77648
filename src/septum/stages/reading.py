"""Reads `septum.yaml`, or what stands for one: a `reana.yaml`, or what a component says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.components.environment import COMPONENT
from septum.errors import ConfigError
from septum.frameworks import mkshapesrdf
from septum.stages.wiring import Options

if TYPE_CHECKING:
    from septum.config import Analysis
    from septum.yamltext import KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """A tree of texts of which a part was not written by the user."""

    name: str
    data: Any
    origin: Any = None

    def where(self, path: KeyPath) -> str:
        """The place of a key."""
        if self.origin is None or path[:1] == ("framework",):
            return "the inputs of the component"
        return str(self.origin.where(path))


def config_of(options: Options) -> Path:
    """The file that says what runs: where there is no `septum.yaml`, a `reana.yaml` in its place."""
    if options.config.name != "septum.yaml" or options.config.exists():
        return options.config
    from septum.reana.specification import FILE

    instead = options.config.with_name(FILE)
    return instead if instead.is_file() else options.config


def read_analysis(options: Options) -> Analysis:
    """The values of `septum.yaml`, or of a `reana.yaml` without one; with a component for a framework, also of none.

    Raises:
        ConfigError: It is wrong, or there is none.
    """
    from septum import yamltext
    from septum.config import Analysis
    from septum.validation import validate

    environ = options.environ
    named = environ.get(COMPONENT, "").partition("@")[0]
    if named != mkshapesrdf.NAME:
        config = config_of(options)
        document = yamltext.read(config, ConfigError, str(config))
        # No key of septum.yaml is called so, and no file of REANA is without it.
        if isinstance(document.data, dict) and "workflow" in document.data:
            return validate(
                Analysis, _Tree(name=str(config), data={"reana": config.name}, origin=document), error=ConfigError
            )
        return validate(Analysis, document, error=ConfigError)
    own = {"known": named, "folder": environ["SEPTUM_FOLDER"], "configs": environ["SEPTUM_CONFIGS"]}
    origin: Any = None
    if options.config.is_file():
        origin = yamltext.read(options.config, ConfigError, str(options.config))
        # It may be there for those who run septum by hand, but not say anything else.
        said = origin.data.get("framework", {}) if isinstance(origin.data, Mapping) else None
        if not isinstance(said, Mapping) or any(own.get(key) != value for key, value in said.items()):
            raise ConfigError(
                f"{options.config}: 'framework' in it is not what the component {named} says",
                evidence="; ".join(f"{key}: {value}" for key, value in own.items()),
                fix="remove the key 'framework', or write the same there and in the inputs of the component; "
                "for another framework, include the component 'framework'",
            )
    data: dict[str, Any] = {"name": named, "framework": own}
    if origin is not None:
        data |= {key: value for key, value in origin.data.items() if key != "framework"}
    return validate(Analysis, _Tree(name=str(options.config), data=data, origin=origin), error=ConfigError)
