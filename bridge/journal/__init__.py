"""The durable journal: records, deliveries, coverage, captures."""

from bridge.journal.retention import Retention
from bridge.journal.sqlite.backup import backup_journal, restore_journal
from bridge.journal.sqlite.journal import SqliteJournal, open_journal

__all__ = ["Retention", "SqliteJournal", "backup_journal", "open_journal", "restore_journal"]
