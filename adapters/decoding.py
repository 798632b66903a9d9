"""Unpacking what a provider compressed, piece by piece, so that a bomb is stopped when it begins to grow.

Only gzip and deflate are asked for and taken: the standard library unpacks both with a bound on every piece. Anything
else (br, zstd, two encodings on top of each other) was not asked for and is refused before a byte is unpacked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

ACCEPTED = "gzip, deflate"
_PIECE = 65_536  # bytes unpacked at a time
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class NotAsked(ValueError):
    """The encoding is not one that was asked for; its text is a name of at most 20 characters."""


class Corrupt(ValueError):
    """The bytes are not what the encoding says."""


class Decoder:
    """Unpacks one body; raises NotAsked for an encoding that is not known."""

    def __init__(self, encoding: str) -> None:
        self._name = encoding.strip().lower()
        if self._name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise NotAsked(self._name[:20])
        self._plain = self._name in ("", "identity")
        self._zlib = None if self._plain else zlib.decompressobj(_ZLIB if self._name == "deflate" else _GZIP)
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece unpacks to, in pieces of at most 64 KiB, none before it is asked for; raises Corrupt."""
        if self._zlib is None:
            if piece:
                yield piece
            return
        while piece:
            if self._zlib.eof:
                self._next_member(piece)
            unpacked = self._unpack(piece)
            if unpacked:
                yield unpacked
            piece = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if not piece and len(unpacked) == _PIECE and not self._zlib.eof:
                yield from self._held_back()

    @property
    def finished(self) -> bool:
        """Return whether the body may end here: all of it came, or nothing did."""
        return self._zlib is None or not self._begun or self._zlib.eof

    def _unpack(self, piece: bytes) -> bytes:
        assert self._zlib is not None  # noqa: S101 - plain bodies do not come here
        try:
            unpacked = self._zlib.decompress(piece, _PIECE)
        except zlib.error:
            if self._begun or self._name != "deflate":
                raise Corrupt from None
            self._zlib = zlib.decompressobj(_RAW)  # what some servers call deflate
            self._begun = True
            return self._unpack(piece)
        self._begun = True
        return unpacked

    def _held_back(self) -> Iterator[bytes]:
        """Yield what zlib holds although it has taken all of the input."""
        assert self._zlib is not None  # noqa: S101 - plain bodies do not come here
        while held := self._unpack(b""):
            yield held

    def _next_member(self, piece: bytes) -> None:
        """Begin the next member of a gzip body; raises Corrupt where no other may follow."""
        if self._name == "deflate":
            raise Corrupt
        self._zlib = zlib.decompressobj(_GZIP)
