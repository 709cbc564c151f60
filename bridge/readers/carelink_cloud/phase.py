"""When to ask next: in step with the phone's uploads, on the server's clock.

The phone uploads about every 5 minutes and the upload shows some seconds later, so the best moment is
the last upload's stamp plus 5 minutes plus a grace. Pure: time comes in, chance is injected.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

FLOOR_S = 20.0
"""Never less than this between two data calls."""
_PERIOD_S = 300.0
_GRACE_S = 30.0
_JITTER_S = 10.0
_MISS_S = 60.0
_EARLY_MISSES = 5
_FIRST_ERROR_S = 15.0
_CEILING_S = 300.0
_RETRY_CEILING_S = 15 * 60.0
_AHEAD = timedelta(seconds=60)


def after_upload(
    now: datetime, server_now: datetime | None, updated_at: datetime | None, random: Random
) -> datetime | None:
    """Local instant at which the next upload should show; None when that is past or no stamp can be trusted.

    `updated_at` and `server_now` are on the server's clock, `now` is ours at the receipt of both.
    """
    skew = server_now - now if server_now is not None else timedelta(0)
    if updated_at is None or updated_at - skew > now + _AHEAD:
        return None
    expected = updated_at - skew + timedelta(seconds=_PERIOD_S + _GRACE_S + random.uniform(0, _JITTER_S))
    return max(expected, now + timedelta(seconds=FLOOR_S)) if expected > now else None


def miss_delay_s(misses: int) -> float:
    """Wait after the n-th read in a row (from 1) without a new upload, seconds."""
    return min(_CEILING_S, _MISS_S * 2.0 ** min(max(0, misses - _EARLY_MISSES), 10))


def error_delay_s(errors: int, random: Random, retry_after_s: float | None = None) -> float:
    """Wait after the n-th outage in a row (from 1), seconds: what was asked for, else full jitter."""
    if retry_after_s is not None:
        return min(max(retry_after_s, FLOOR_S), _RETRY_CEILING_S)
    return max(FLOOR_S, random.uniform(0, min(_CEILING_S, _FIRST_ERROR_S * 2.0 ** min(errors - 1, 10))))


class Phase:
    """Counts misses and outages in a row and names the next read. A restart may lose the counts."""

    def __init__(self, random: Random) -> None:
        self._random, self._misses, self._errors = random, 0, 0

    def answered(self, now: datetime, server_now: datetime | None, updated_at: datetime | None) -> datetime:
        """Next read after an answer with these stamps."""
        self._errors = 0
        expected = after_upload(now, server_now, updated_at, self._random)
        if expected is None:
            return self.nothing(now)
        self._misses = 0
        return expected

    def nothing(self, now: datetime) -> datetime:
        """Next read after an answer without anything new."""
        self._errors = 0
        self._misses += 1
        return now + timedelta(seconds=miss_delay_s(self._misses))

    def failed(self, now: datetime, retry_after_s: float | None = None) -> datetime:
        """Next read after an outage."""
        self._errors += 1
        return now + timedelta(seconds=error_delay_s(self._errors, self._random, retry_after_s))
