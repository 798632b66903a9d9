"""One error, one status: exactly one ErrorInfo, BadRequest for fields, RetryInfo where waiting helps."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.errors import NaiadError
from naiad.server.status import DOMAIN, status_of
from naiad.v1 import decision_pb2, error_pb2
from tests.server.reasons import documented

words = st.text(max_size=30)


@given(
    reason=st.sampled_from(sorted(documented())),
    message=words,
    metadata=st.dictionaries(words, st.one_of(words, st.integers(), st.floats()), max_size=3),
    field=words,
    retry=st.none() | st.floats(0.001, 1e6),
)
def test_the_details_of_any_error(
    reason: str, message: str, metadata: dict[str, object], field: str, retry: float | None
) -> None:
    code = documented()[reason].code
    error = NaiadError(reason, message, code=code, metadata=metadata, field=field, retry_after_s=retry)
    status = status_of(error)
    assert status.code == grpc.StatusCode[code].value[0]
    assert status.message == message
    kinds = [detail.type_url.rpartition(".")[2] for detail in status.details]
    assert kinds == ["ErrorInfo", *["BadRequest"] * bool(field), *["RetryInfo"] * (retry is not None)]
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (f"ERROR_REASON_{reason}", DOMAIN)
    assert dict(info.metadata) == error.metadata
    if retry is not None:
        wait = error_details_pb2.RetryInfo()
        status.details[-1].Unpack(wait)
        assert wait.retry_delay.ToNanoseconds() == pytest.approx(retry * 1e9, rel=1e-6)


def test_excluded_models_become_their_detail() -> None:
    error = NaiadError(
        "NO_ELIGIBLE_MODEL", "none", code="FAILED_PRECONDITION", details=[("excluded", [("a/b", 6, "disabled")])]
    )
    detail = error_pb2.NoEligibleModelDetail()
    assert status_of(error).details[1].Unpack(detail)
    assert list(detail.excluded) == [decision_pb2.Exclusion(model="a/b", reason=6, detail="disabled")]  # type: ignore[arg-type]
