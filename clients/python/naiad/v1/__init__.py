"""The API of Naiad, version 1, generated from proto/naiad/v1: one module for each .proto file."""
