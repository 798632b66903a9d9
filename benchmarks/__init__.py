"""Measurements: core, serving and the demo's learning. Run as `python -m benchmarks.<name> --json FILE`."""
