"""`python -m naiad.server` is the command line `naiad`."""

from naiad.server.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
