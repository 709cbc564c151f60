"""`python -m bridge` is `glucobridge`."""

from bridge.cli import main

if __name__ == "__main__":
    main()
