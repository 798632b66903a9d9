"""What wire formats share when they put a request into words; whatever has no place raises UnsupportedContent."""

from __future__ import annotations

import base64

from naiad.adapters.base import ImagePart, Part, Role
from naiad.adapters.errors import ProviderError, UnsupportedContent
from naiad.adapters.exchange import Asked

_NAMES = {"TextPart": "text", "ImagePart": "an image", "ToolCallPart": "a tool call", "ToolResultPart": "a tool result"}


def unsupported(asked: Asked, message: str) -> ProviderError:
    """Make the error for what the provider has no place for; the message must not quote what the caller says."""
    return asked.error(UnsupportedContent, message)


def misplaced(asked: Asked, part: Part, role: Role) -> ProviderError:
    """Make the error for a part that a message of this role cannot hold."""
    return unsupported(asked, f"a message of role {role.value!r} holds {_NAMES[type(part).__name__]}; it may not there")


def base64_of(image: ImagePart) -> str:
    """Return the bytes of an image in base64."""
    return base64.b64encode(image.data).decode()
