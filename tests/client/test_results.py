"""What results tell at a glance."""

from __future__ import annotations

import pytest

from naiad.client.convert import read
from naiad.client.results import Completion
from naiad.v1 import decision_pb2, router_service_pb2


@pytest.mark.parametrize("code", decision_pb2.NoticeCode.values())
def test_a_kept_answer_says_so(code: int) -> None:
    response = router_service_pb2.CompleteResponse()
    response.notices.add(code=decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED)
    response.notices.add(code=code)
    assert read(Completion, response).cached is (code == decision_pb2.NOTICE_CODE_CACHED_ANSWER)
    assert not read(Completion, router_service_pb2.CompleteResponse()).cached
