"""`python -m naiad.server` is the command line `naiad`: its streams and signals are in hand before the rest is read."""

from __future__ import annotations

import signal

from naiad.server import process


def main() -> int:
    """Run the command that the arguments name, and return the exit code of the process."""
    code = process.FAILED
    try:
        process.fill_descriptors()
        process.take_signals()
        from naiad.server import cli

        code = cli.main()
    except process.Stopped as stopped:
        code = process.exit_code(stopped.number)
    except KeyboardInterrupt:  # before it had its signals in hand
        code = process.exit_code(signal.SIGINT)
    except SystemExit as ended:  # argparse: usage, --help and --version
        code = ended.code if isinstance(ended.code, int) else process.FAILED
    finally:
        process.ignore_signals()
        code = process.settle_streams(code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
