"""CareLink CSV exports: files that a person downloads, of both generations."""

from bridge.readers.carelink_csv.reader import CareLinkCsvReader

__all__ = ["CareLinkCsvReader"]
