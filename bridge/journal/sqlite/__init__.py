"""The embedded journal on SQLite."""
