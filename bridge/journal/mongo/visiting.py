"""One profile's documents within one transaction or one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymongo import InsertOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from bridge.contracts import Destination
from bridge.errors import ContractViolation
from bridge.journal.links import LINKED_KINDS, relinked, targets
from bridge.journal.mongo.connection import Doc
from bridge.model import Record, from_json

Operation = InsertOne[Doc] | UpdateOne | UpdateMany

_BATCH = 2000
"""Documents of one answer; what is more comes in further ones."""


class Ask(NamedTuple):
    """One question of several: documents of a collection that fit, with these fields."""

    name: str
    query: Mapping[str, Any]
    fields: Sequence[str]
    sort: Mapping[str, int] | None = None
    skip: int = 0
    limit: int = 0


Answers = list[list[Doc]]


@dataclass(frozen=True, slots=True)
class Visit:
    """What a method's work is handed. Every query it makes names the profile, first.

    `standing`: the profile's own document before this write: `n` (records seen so far), `ledgers` (destinations
    ever registered), `active` (those that records fan out to), `devices`, `adopted`.
    """

    db: AsyncDatabase[Doc]
    session: AsyncClientSession
    profile: str
    now_ms: int = 0
    standing: Mapping[str, Any] = field(default_factory=dict)
    ahead: tuple[tuple[Ask | None, ...], Answers] | None = None
    """Questions whose answers were read before the transaction, and hold: nobody wrote in between."""

    async def own(self) -> Mapping[str, Any]:
        """The profile's own document, looked up in a read."""
        found = await self.db["profiles"].find_one({"_id": self.profile}, session=self.session)
        return found or {}

    async def found(
        self,
        name: str,
        query: Mapping[str, Any],
        fields: Iterable[str] = (),
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        skip: int = 0,
        hint: str | None = None,
    ) -> list[Doc]:
        """Documents of a collection, with these fields alone when some are named."""
        cursor = self.db[name].find(
            self._owned(name, query),
            {"_id": 0, **dict.fromkeys(fields, 1)},
            session=self.session, sort=list(sort) or None, limit=limit, skip=skip, hint=hint, batch_size=_BATCH,
        )  # fmt: skip
        return await cursor.to_list()

    async def several(self, *asks: Ask | None) -> Answers:
        """The answers to several questions, in their order; None is answered with nothing.

        Answers that were read ahead and still hold are given as they are. In a snapshot it is one round trip; a
        transaction, which knows no unions, asks one after the other.
        """
        if self.ahead is not None and self.ahead[0] == asks:
            return self.ahead[1]
        if self.session.in_transaction:
            return [[] if ask is None else await self._answer(ask) for ask in asks]
        found: list[list[Doc]] = [[] for _ in asks]
        steps = [(ask.name, self._steps(number, ask)) for number, ask in enumerate(asks) if ask is not None]
        if not steps:
            return found
        (name, first), *others = steps
        unions = [{"$unionWith": {"coll": other, "pipeline": each}} for other, each in others]
        rows = await self.db[name].aggregate([*first, *unions], session=self.session, batchSize=_BATCH)
        for row in await rows.to_list():
            found[row.pop("_ask")].append(row)
        return found

    async def _answer(self, ask: Ask) -> list[Doc]:
        sort = list(ask.sort.items()) if ask.sort else ()
        return await self.found(ask.name, ask.query, ask.fields, sort=sort, skip=ask.skip, limit=ask.limit)

    def _steps(self, number: int, ask: Ask) -> list[Doc]:
        """A question as a pipeline whose rows tell which one they answer."""
        limits: list[Doc] = [{"$sort": dict(ask.sort)}] if ask.sort else []
        limits += [{"$skip": ask.skip}] if ask.skip else []
        limits += [{"$limit": ask.limit}] if ask.limit else []
        shown = {"_id": 0, **dict.fromkeys(ask.fields, 1), "_ask": {"$literal": number}}
        return [{"$match": self._owned(ask.name, ask.query)}, *limits, {"$project": shown}]

    def _owned(self, name: str, query: Mapping[str, Any]) -> Mapping[str, Any]:
        """The query on this profile. Where there are only branches they name it themselves: beside them it would
        tempt the server to look through all of a profile."""
        return (
            query if query.keys() == {"$or"} else {"_id" if name == "profiles" else "profile": self.profile, **query}
        )

    async def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store new documents."""
        if rows:
            owned = [{"profile": self.profile, **row} for row in rows]
            await self.db[name].insert_many(owned, session=self.session)

    async def update(self, name: str, query: Mapping[str, Any], change: Mapping[str, Any]) -> int:
        """Change all that fit; how many."""
        asked = {"profile": self.profile, **query}
        return (await self.db[name].update_many(asked, change, session=self.session)).modified_count

    async def put(self, name: str, key: Mapping[str, Any], change: Mapping[str, Any]) -> None:
        """Change the document of that key, made when new."""
        await self.db[name].update_one({"profile": self.profile, **key}, change, upsert=True, session=self.session)

    async def remove(self, name: str, query: Mapping[str, Any]) -> int:
        """Delete all that fit; how many."""
        return (
            await self.db[name].delete_many({"profile": self.profile, **query}, session=self.session)
        ).deleted_count

    def one(self, key: Mapping[str, Any], change: Mapping[str, Any], *, upsert: bool = False) -> UpdateOne:
        """A change for `run`."""
        return UpdateOne({"profile": self.profile, **key}, change, upsert=upsert)

    def all(self, query: Mapping[str, Any], change: Mapping[str, Any]) -> UpdateMany:
        """A change of all that fit, for `run`."""
        return UpdateMany({"profile": self.profile, **query}, change)

    async def run(self, name: str, operations: Sequence[Operation]) -> None:
        """Several changes of one collection in one round trip."""
        if operations:
            await self.db[name].bulk_write(operations, session=self.session)

    async def note(self, change: Mapping[str, Any]) -> None:
        """Change the profile's own document."""
        await self.db["profiles"].update_one({"_id": self.profile}, change, session=self.session)

    async def tally(self, name: str, left: Counter[str], reached: Counter[str], **more: Mapping[str, Any]) -> None:
        """Deliveries of one ledger that left states and reached others; `more` are update operators beside it."""
        change = reached.copy()
        change.subtract(left)
        shifts = {f"counts.{state}": number for state, number in change.items() if number}
        update = {f"${operator}": fields for operator, fields in more.items() if fields}
        if shifts:
            update["$inc"] = shifts
        if update:
            await self.db["destinations"].update_one(
                {"profile": self.profile, "name": name}, update, session=self.session
            )

    def registered(self, destination: Destination) -> str:
        """The name of a ledger. Raises ContractViolation when it was never registered."""
        if destination.name not in self.standing.get("ledgers", ()):
            raise ContractViolation(
                f"Destination {destination.name!r} of profile {destination.profile!r} is not registered."
            )
        return destination.name

    # --- records from documents ---

    async def owners(self, names: Collection[str]) -> dict[str, str]:
        """Record id by alias, for those of `names` that are aliases of another one."""
        if not names:
            return {}
        rows = await self.found("aliases", {"alias": {"$in": list(names)}}, ("alias", "record"))
        return {row["alias"]: row["record"] for row in rows if row["alias"] != row["record"]}

    async def resolved(self, names: Iterable[str]) -> dict[str, str]:
        """Record id by the id asked for; one that is no alias stands for itself."""
        asked = set(names)
        owners = await self.owners(asked)
        return {name: owners.get(name, name) for name in asked}

    async def parsed(self, bodies: Iterable[str]) -> list[Record]:
        """Records from their bodies, with links through aliases."""
        records = [from_json(body) for body in bodies]
        named = {name for record in records if record.kind in LINKED_KINDS for name in targets(record)}
        named -= {record.id for record in records}  # what is a record is no further name of one
        renamed = await self.owners(named)
        return [relinked(record, renamed) for record in records] if renamed else records

    async def bodies(self, ids: Iterable[str]) -> dict[str, str]:
        """Highest body by record id."""
        rows = await self.found("records", {"id": {"$in": list(ids)}}, ("id", "body"))
        return {row["id"]: row["body"] for row in rows}
