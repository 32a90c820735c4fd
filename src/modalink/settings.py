"""What a run may use of the machine: no part of the recipe nor of its hash, for it decides no result.

A setting comes from the first of these that names it:

    an option of the command line, or an argument     --threads 4
    the environment                                   MODALINK_THREADS=4
    the user's file                                   ~/.config/modalink/settings.yaml:  threads: 4
    its default
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, ValidationError, field_validator

from modalink import files, yaml_files
from modalink.errors import OptionError, UnknownNameError, shown
from modalink.kinds import GivenPath, Settings

PREFIX = "MODALINK_"
_Found = dict[str, tuple[Any, str]]
"""Setting -> its value, and where it was found."""


class RunSettings(Settings):
    """The machine's settings."""

    device: str | None = None
    """Where to compute, for example `cpu` or `cuda:1`; by default this process's accelerator if there is one."""
    threads: int | None = Field(default=None, ge=1, le=4096)
    """CPU threads of one operation; by default as many as torch takes, which `OMP_NUM_THREADS` limits."""
    processes: int = Field(default=1, ge=1, le=1024)
    """Processes that `modalink train` starts on this machine, one for each accelerator; `torchrun` has its own."""
    on_changed_data: Literal["warn", "fail"] = "warn"
    """What a resumed run does when its data have changed: say so and go on, or end."""
    workers: int = Field(default=2, ge=0, le=1024)
    """Threads that read and prepare training data ahead of the step; 0 does it in place."""
    cache: GivenPath | None = Field(default_factory=lambda: user_folder("XDG_CACHE_HOME", ".cache") / "features")
    """Folder where outputs of frozen parts are kept for later runs; `off` keeps them in memory alone."""
    cache_bytes: ByteSize = ByteSize(10 * 10**9)
    """Most bytes in that folder, for example `50GB`; what was not used for longest makes room."""

    web: Literal["off", "loopback", "any"] = "off"
    """From where web pages that are given by their address are fetched: nowhere, this machine, or anywhere."""
    track: tuple[str, ...] | None = None
    """Trackers of the metrics, with commas: `tensorboard`, `wandb`, `mlflow`, `trackio`, or `off` for none; by default
    TensorBoard where it is installed."""

    @field_validator("cache_bytes", mode="wrap")
    @classmethod
    def _finite(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(value)
        except OverflowError:  # which older versions of pydantic let through
            raise ValueError("the number is too large") from None

    @field_validator("track", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if value is False or value == "off":
            return ()
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @field_validator("web", mode="before")
    @classmethod
    def _nowhere(cls, value: Any) -> Any:
        return "off" if value is False else value  # as for `cache`

    @field_validator("cache", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return None if value is False or value == "off" else value  # YAML reads a plain `off` as false

    @field_validator("cache")
    @classmethod
    def _expanded(cls, value: Path | None) -> Path | None:
        return value and files.named(value, ValueError)


def run_settings(**given: Any) -> RunSettings:
    """The machine's settings, from all their sources.

    Args:
        given: Settings by name that win over all other sources; None stands for one that is not given.

    Raises:
        OptionError: A value cannot be used; the message says where it was found.
        UnknownNameError: The environment or the user's file names something that is no setting.
    """
    found = _in_file(user_file()) | _in_environment()
    found |= {name: (value, name) for name, value in given.items() if value is not None}
    if unknown := sorted(found.keys() - RunSettings.model_fields.keys()):
        raise UnknownNameError("setting", unknown[0], RunSettings.model_fields, found[unknown[0]][1])
    try:
        return RunSettings.model_validate({name: value for name, (value, _) in found.items()})
    except ValidationError as error:
        first = error.errors()[0]
        value, where = found[str(first["loc"][0])]
        raise OptionError(f"{where}: found {shown(value)}; {first['msg'][:1].lower()}{first['msg'][1:]}") from error


def in_environment(settings: RunSettings) -> dict[str, str]:
    """Variables that give another process the same settings."""
    given = settings.model_dump(mode="json", exclude_none=True)
    given.setdefault("cache", "off")
    if "track" in given:
        given["track"] = ",".join(given["track"]) or "off"
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()}


def user_file() -> Path:
    """The user's own settings: `modalink/settings.yaml` in the folder of configurations."""
    return user_folder("XDG_CONFIG_HOME", ".config") / "settings.yaml"


def user_folder(variable: str, default: str) -> Path:
    """The package's folder in one of the user's, as the XDG base directory specification has it.

    Args:
        variable: Environment variable that names the folder.
        default: The folder's name in the user's home where the variable is not set.
    """
    return Path(os.environ.get(variable) or Path.home() / default) / "modalink"


def _in_environment() -> _Found:
    return {
        name.removeprefix(PREFIX).lower(): (value, name)
        for name, value in os.environ.items()
        if name.startswith(PREFIX)
    }


def _in_file(path: Path) -> _Found:
    if not path.is_file():
        return {}
    content = yaml_files.read(path, OptionError).data or {}
    if not isinstance(content, dict):
        raise OptionError(f"{path}: found a {type(content).__name__}, needed lines of `setting: value`")
    return {str(name): (value, f"{path}, {name}") for name, value in content.items()}
