"""What a run of the vendor's program added to its logs, judged by patterns from the settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bridge.uploader.vendor_settings import VendorSettings

_MOST_BYTES = 1024 * 1024
"""Of each file no more than its newest megabyte is looked at."""


class Logs:
    """`begin` before the run, `says` after it. Both read files: call them in a thread."""

    def __init__(self, settings: VendorSettings) -> None:
        self._settings = settings
        self._sizes: dict[Path, int] = {}

    def begin(self) -> None:
        """Note where the logs end now."""
        self._sizes = {path: _size(path) for path in self._files()}

    def says(self) -> bool | None:
        """False when a failure pattern is found in what was added, True for a success pattern, else None."""
        added = [text for path in self._files() if (text := self._added(path))]
        if _found(self._settings.log_failure_regex, added):
            return False
        return True if _found(self._settings.log_success_regex, added) else None

    def _files(self) -> Iterator[Path]:
        for pattern in self._settings.log_globs:
            path = Path(pattern)
            yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))

    def _added(self, path: Path) -> str:
        """The text added since `begin`; all of a file that is new or was begun again."""
        before, size = self._sizes.get(path, 0), _size(path)
        start = max(before if size >= before else 0, size - _MOST_BYTES)
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(_MOST_BYTES).decode("utf-8", errors="replace")
        except OSError:
            return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _found(patterns: Iterable[str], texts: Iterable[str]) -> bool:
    held = list(texts)
    return any(re.search(pattern, text, re.MULTILINE) for pattern in patterns for text in held)
