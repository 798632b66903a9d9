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
        self._head = b""  # the first bytes of a deflate body, while they are too few to tell what it is
        self._zlib = zlib.decompressobj(_GZIP) if self._name in ("gzip", "x-gzip") else None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece unpacks to, in pieces of at most 64 KiB, none before it is asked for; raises Corrupt."""
        if self._plain or not piece:
            if piece:
                yield piece
            return
        if self._zlib is None:
            piece = self._head = self._head + piece
            if len(piece) < 2:
                return
            self._zlib = zlib.decompressobj(_ZLIB if _has_zlib_head(piece) else _RAW)
        while piece:
            if self._zlib.eof:
                self._next_member()
            unpacked = self._unpack(piece)
            if unpacked:
                yield unpacked
            piece = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            while not piece and not self._zlib.eof and len(unpacked) == _PIECE:  # zlib took all, and holds more
                if unpacked := self._unpack(b""):
                    yield unpacked
        self._head = b"."  # something came

    @property
    def finished(self) -> bool:
        """Return whether the body may end here: all of it came, or nothing did."""
        return self._plain or not self._head or (self._zlib is not None and self._zlib.eof)

    def _unpack(self, piece: bytes) -> bytes:
        assert self._zlib is not None  # noqa: S101
        try:
            return self._zlib.decompress(piece, _PIECE)
        except zlib.error:
            raise Corrupt from None

    def _next_member(self) -> None:
        """Begin the next member of a gzip body; raises Corrupt where no other may follow."""
        if self._name == "deflate":
            raise Corrupt
        self._zlib = zlib.decompressobj(_GZIP)


def _has_zlib_head(piece: bytes) -> bool:
    """Return whether a deflate body has the head of RFC 1950, which some servers leave out."""
    return piece[0] & 0x0F == 8 and int.from_bytes(piece[:2]) % 31 == 0
