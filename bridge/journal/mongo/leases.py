"""Who serves which profile: leases with fencing tokens, so that a stale owner's late write is refused.

A worker keeps one document alive (`workers`); a profile names its owner and counts owners (`token`). Every write
of an owner finds its token standing, in the write's own transaction, or is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import uuid4

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from bridge.errors import AlreadyRunning
from bridge.journal.mongo import schema
from bridge.journal.mongo.calls import uncut
from bridge.journal.mongo.connection import Doc, deadline
from bridge.journal.mongo.transactions import end_transactions
from bridge.model import to_ms


class OwnershipLost(AlreadyRunning):
    """Another worker owns this profile by now, or this one never did: stop serving it and write nothing."""

    state = "already_running"

    def __init__(self, profile: str) -> None:
        super().__init__("This profile is not served by this worker any more.", next_step="Its new owner goes on.")
        self.profile = profile


class Leases:
    """What one worker owns. `held`: fencing token by profile.

    Times are the caller's; hosts whose clocks may drift hand in `server_now`. A wrong clock costs a hand-over,
    never a double owner: the token decides.
    """

    def __init__(self, db: AsyncDatabase[Doc], worker: str, app: str) -> None:
        self._db, self._worker, self._app = db, worker, app
        self._instance, self._program = _new_instance(worker), schema.program()
        self.held: dict[str, int] = {}
        self.workers = 1
        """Living ones, this one among them, at the last beat."""
        self.lost_times = 0
        """How often what it held was given to others."""

    @uncut
    async def server_now(self) -> datetime:
        """The primary's clock, the same for all workers."""
        with deadline(self._db.name):
            moment: datetime = (await self._db.client.admin.command("hello"))["localTime"]
        return moment.replace(tzinfo=UTC)

    @uncut
    async def know(self, profiles: Iterable[str]) -> None:
        """Profiles that are there to be owned; known ones stay as they are."""
        made = [UpdateOne({"_id": name}, {"$setOnInsert": {"n": 0}}, upsert=True) for name in sorted(set(profiles))]
        if made:
            with deadline(self._db.name):
                await self._db["profiles"].bulk_write(made, ordered=False)

    @uncut
    async def take(self, share: int, now: datetime, lease_s: float) -> Mapping[str, int]:
        """Renew, then take free profiles and those of dead workers until `share` are held; all that are held.

        Raises JournalUnusable when the database is for newer programs by now.
        """
        if not await self._alive(now, lease_s, anew=True):
            self._begin_again()
            await self._alive(now, lease_s, anew=True)
        with deadline(self._db.name):
            await schema.version(self._db, self._program)
            await self._bury(now)
            self.workers = await self._db["workers"].count_documents({"until_ms": {"$gt": to_ms(now)}})
            if (wanted := share - len(self.held)) > 0:
                await self._take(await self._free(wanted))
        return dict(self.held)

    @uncut
    async def renew(self, now: datetime, lease_s: float) -> Mapping[str, int]:
        """Stay alive for `lease_s` more; what is held: nothing when the lease had run out and somebody saw to it."""
        if self.held and not await self._alive(now, lease_s, anew=False):
            self._begin_again()
        return dict(self.held)

    @uncut
    async def release(self, profiles: Iterable[str] | None = None) -> None:
        """Let these go, or all: others may take them at once. What they were doing must be over."""
        names = list(self.held if profiles is None else set(profiles) & self.held.keys())
        for name in names:
            del self.held[name]
        with deadline(self._db.name):
            mine = {"_id": {"$in": names}, "owner": self._instance}
            await self._db["profiles"].update_many(mine, {"$unset": {"owner": ""}})
            if not self.held:
                await self._db["workers"].delete_one({"_id": self._instance})

    def token(self, profile: str) -> int:
        """The token that a write must find. Raises OwnershipLost for a profile that is not held."""
        if profile not in self.held:
            raise OwnershipLost(profile)
        return self.held[profile]

    def lost(self, profile: str, token: int) -> OwnershipLost:
        """A write did not find this token: the profile is not held any more, unless it was taken anew meanwhile."""
        if self.held.get(profile) == token:
            del self.held[profile]
        return OwnershipLost(profile)

    async def _alive(self, now: datetime, lease_s: float, *, anew: bool) -> bool:
        """Whether this worker's document stands, moved on; with `anew` it is made where nothing is held yet."""
        until = {"$set": {"until_ms": to_ms(now) + round(lease_s * 1000), "worker": self._worker, "app": self._app}}
        with deadline(self._db.name):
            done = await self._db["workers"].update_one({"_id": self._instance}, until, upsert=anew and not self.held)
        return done.matched_count > 0 or done.upserted_id is not None

    async def _bury(self, now: datetime) -> None:
        """Strike the workers off whose time is over, with the transactions they left open."""
        over = {"until_ms": {"$lte": to_ms(now)}, "_id": {"$ne": self._instance}}
        apps = await self._db["workers"].distinct("app", over)
        if apps:
            await end_transactions(self._db.client, {"appName": {"$in": apps}})
            await self._db["workers"].delete_many(over)

    async def _free(self, wanted: int) -> list[Doc]:
        living = await self._db["workers"].distinct("_id")
        steps: list[Doc] = [
            {"$match": {"owner": {"$nin": living}}},
            {"$sample": {"size": wanted}},
            {"$project": {"owner": 1, "token": 1}},
        ]
        return await (await self._db["profiles"].aggregate(steps)).to_list()

    async def _take(self, free: Iterable[Doc]) -> None:
        """Each only if it still stands as it was seen: of two workers that want it one wins."""
        taken = [UpdateOne(_as_seen(row), {"$set": {"owner": self._instance}, "$inc": {"token": 1}}) for row in free]
        if not taken:
            return
        await self._db["profiles"].bulk_write(taken, ordered=False)
        mine = self._db["profiles"].find({"owner": self._instance}, {"token": 1})
        self.held = {row["_id"]: row["token"] async for row in mine}

    def _begin_again(self) -> None:
        """Somebody saw this worker dead: what it held is others', and it comes back under a new name."""
        self.held.clear()
        self.lost_times += 1
        self._instance = _new_instance(self._worker)


def _as_seen(row: Doc) -> Doc:
    return {"_id": row["_id"], "owner": row.get("owner"), "token": row.get("token")}


def _new_instance(worker: str) -> str:
    return f"{worker}/{uuid4().hex[:12]}"
