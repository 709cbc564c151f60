"""Fixtures of the whole suite."""

from tests.support.mongod import closing_sockets, mongo

__all__ = ["closing_sockets", "mongo"]
