"""The command line. `main` turns every handled error into one plain sentence with the next step."""

from bridge.cli.app import main

__all__ = ["main"]
