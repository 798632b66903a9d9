"""What results tell at a glance."""

from __future__ import annotations

import pytest

from naiad.client.convert import read
from naiad.client.results import Completion, Decision
from naiad.v1 import decision_pb2, router_service_pb2


@pytest.mark.parametrize("code", decision_pb2.NoticeCode.values())
def test_kept_answers_and_models_say_so(code: int) -> None:
    response = router_service_pb2.CompleteResponse()
    response.notices.add(code=decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED)
    response.notices.add(code=code)
    sticky = code == decision_pb2.NOTICE_CODE_STICKY_SESSION
    completion = read(Completion, response)
    assert completion.cached is (code == decision_pb2.NOTICE_CODE_CACHED_ANSWER)
    assert completion.sticky is sticky
    assert read(Decision, router_service_pb2.DecideResponse(notices=response.notices)).sticky is sticky
