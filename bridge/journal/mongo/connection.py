"""A client of the cluster: majority writes, a deadline on every call, and the driver's errors in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from bson.errors import BSONError
from pymongo import AsyncMongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    OperationFailure,
    PyMongoError,
)

from bridge.errors import BridgeError, ContractViolation, JournalUnusable, Transient

CALL_S = 10.0
"""Deadline of one journal method, with all its round trips and retries."""

APP = "glucobridge"
"""What the servers know the clients by, before a name of each one's own."""

Doc = dict[str, Any]

_NO_RIGHTS = {13, 18, 8000}
_NO_DISK = {14031}
_UNSETTLED = {24, 46, 50, 91, 112, 189, 202, 246, 251, 262, 10107, 11600, 11601, 11602, 13435, 13436}
"""Locks, time limits, snapshots and transactions that went, servers that step down, start or stop."""
_DUPLICATE = 11000
_NO_SESSIONS = "Sessions are not supported"
"""So the driver says it while no server is known that holds data: all went a moment ago, or only now begin."""
_PASSING = ("TransientTransactionError", "RetryableWriteError", "UnknownTransactionCommitResult")


def connect(uri: str, name: str, app: str) -> AsyncMongoClient[Doc]:
    """A client that waits for a majority with every write, known to the servers as `app`. Nothing is sent yet."""
    try:
        return AsyncMongoClient(
            uri,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            readPreference="primary",
            retryWrites=True,
            retryReads=True,
            timeoutMS=round(CALL_S * 1000),
            tz_aware=True,
            appname=app,
        )
    except (ConfigurationError, ValueError):
        raise _no_address(name) from None


@contextmanager
def deadline(name: str, more_s: float = 0) -> Iterator[None]:
    """One journal method on the database of that name: in time, and with errors of ours."""
    with plain_errors(name), pymongo.timeout(CALL_S + more_s):
        yield


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """The driver's errors as ours. Neither the address nor a value of a document gets into a sentence."""
    try:
        yield
    except PyMongoError as error:
        raise _translated(name, error) from error
    except BSONError as error:
        raise ContractViolation(f"The journal {name} was handed something that MongoDB cannot store.") from error


def _translated(name: str, error: PyMongoError) -> BridgeError:
    if isinstance(error, ConfigurationError) and _NO_SESSIONS in str(error):
        return slow(name)
    if isinstance(error, ConfigurationError | InvalidName):
        return _no_address(name)
    code = error.code if isinstance(error, OperationFailure) else None
    passing = code in _UNSETTLED or error.timeout or any(map(error.has_error_label, _PASSING))
    if passing or isinstance(error, ConnectionFailure):
        return slow(name)
    return _refused(name, code)


def slow(name: str) -> Transient:
    """What to say when it takes too long."""
    sentence = f"The MongoDB journal {name} does not answer."
    step = "Check that the servers of the replica set run, are reachable and have a primary."
    return Transient(sentence, next_step=step, state="journal_unusable")


def _no_address(name: str) -> JournalUnusable:
    sentence = f"The address of the MongoDB journal {name} does not fit."
    return JournalUnusable(sentence, next_step="Write it as mongodb://host1,host2,host3/?replicaSet=name.")


def _refused(name: str, code: int | None) -> BridgeError:
    if code in _NO_RIGHTS:
        sentence = f"The MongoDB journal {name} refuses this user."
        return JournalUnusable(sentence, next_step="Give the user of the address the role readWrite on it.")
    if code in _NO_DISK:
        sentence = f"The disk under the MongoDB journal {name} is full."
        return Transient(sentence, next_step="Free some space on its servers.", state="journal_unusable")
    return ContractViolation(f"The MongoDB journal {name} refused a command (code {code}).")


def single_server(name: str) -> JournalUnusable:
    """What to say where there are no transactions."""
    sentence = f"The MongoDB journal {name} is on a single server."
    return JournalUnusable(sentence, next_step="Make it a replica set: transactions need one.")


def duplicate(error: OperationFailure) -> bool:
    """Whether a write was refused because a unique index has that key already."""
    found = (error.details or {}).get("writeErrors", ())
    return error.code == _DUPLICATE or any(each.get("code") == _DUPLICATE for each in found)
