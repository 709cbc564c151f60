"""The journal of many machines: one MongoDB replica set or sharded cluster. Needs the extra `mongo`."""

from bridge.journal.mongo.opening import open_mongo_journal, opened_credentials

__all__ = ["open_mongo_journal", "opened_credentials"]
