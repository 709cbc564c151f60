"""Settings of the transport `vendor`. Nothing about the vendor's program has a default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Argv = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
"""A program and its arguments, as they are; no shell reads them."""


class VendorSettings(BaseModel):
    """How the installed uploader is run, and what its exit codes and log lines mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: Argv
    cwd: Path | None = None
    env: dict[str, str] = Field(default_factory=dict)
    timeout_s: float = Field(default=900.0, ge=1.0, le=7200.0)
    success_exit_codes: tuple[int, ...] = (0,)
    log_globs: tuple[str, ...] = ()
    """Absolute paths with wildcards; only what a run adds to such files is looked at."""
    log_success_regex: tuple[str, ...] = ()
    log_failure_regex: tuple[str, ...] = ()
    needs_user: bool = False
    """Somebody must sit in front of it: it is not started by schedule."""
    pre: tuple[Argv, ...] = ()
    """Commands before it, such as starting a virtual machine."""
    post: tuple[Argv, ...] = ()
    """Commands after it, whatever happened."""
    min_interval_s: float = Field(default=3600.0, ge=300.0)

    @field_validator("log_success_regex", "log_failure_regex")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return patterns

    @field_validator("log_globs")
    @classmethod
    def _absolute(cls, globs: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in globs:
            if not Path(pattern).is_absolute():
                raise ValueError(f"{pattern!r} must be an absolute path")
        return globs
