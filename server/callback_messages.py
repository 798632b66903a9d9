"""What a callback is sent, and no more of it than it may have."""

from __future__ import annotations

from collections.abc import Iterable

from naiad.adapters import base
from naiad.server.callback import Callback, Question
from naiad.server.outcomes import FINISH
from naiad.v1 import check_service_pb2, content_pb2

_ROLES = {
    base.Role.SYSTEM: content_pb2.ROLE_SYSTEM,
    base.Role.USER: content_pb2.ROLE_USER,
    base.Role.ASSISTANT: content_pb2.ROLE_ASSISTANT,
    base.Role.TOOL: content_pb2.ROLE_TOOL,
}


def request_of(question: Question, settings: Callback) -> check_service_pb2.CheckAnswerRequest:
    """Return a question as the callback gets it: the conversation only where it may have that."""
    return check_service_pb2.CheckAnswerRequest(
        decision_id=question.decision_id,
        attempt_id=question.attempt_id,
        task_class=question.task_class,
        workflow=question.workflow,
        model=question.model,
        cascade=question.cascade,
        request_id=question.request_id,
        data_class=question.data_class,
        answer=question.answer,
        finish_reason=FINISH.get(question.finish, 0),  # type: ignore[arg-type]
        messages=[_message(message) for message in question.messages] if settings.send_task else (),
    )


def _message(message: base.Message) -> content_pb2.Message:
    return content_pb2.Message(role=_ROLES[message.role], parts=_parts(message.parts))


def _parts(parts: Iterable[base.Part]) -> list[content_pb2.Part]:
    return [_part(part) for part in parts]


def _part(part: base.Part) -> content_pb2.Part:
    if isinstance(part, base.TextPart):
        return content_pb2.Part(text=part.text)
    if isinstance(part, base.ImagePart):  # not its data, which is large and of little use to a check
        image = content_pb2.Image(media_type=part.media_type)
        if part.url:
            image.uri = part.url
        return content_pb2.Part(image=image)
    if isinstance(part, base.ToolCallPart):
        call = content_pb2.ToolCall(tool_call_id=part.id, name=part.name, arguments_json=part.arguments)
        return content_pb2.Part(tool_call=call)
    result = content_pb2.ToolResult(tool_call_id=part.call_id, parts=_parts(part.content), failed=part.is_error)
    return content_pb2.Part(tool_result=result)
