"""What is not built yet says so: UNIMPLEMENTED with its ErrorInfo, for unary calls and streams of all six services."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from tests.e2e.live import METHODS, Caller, path_of, refusal_of
from tests.server.reasons import check

BUILT = {
    "RouterService/Decide", "RouterService/Complete", "RouterService/StreamComplete",
    "FeedbackService/ReportOutcome", "FeedbackService/ReportFeedback", "FeedbackService/RetractFeedback",
    "CatalogService/CreateModel", "CatalogService/GetModel", "CatalogService/ListModels",
    "CatalogService/UpdateModel", "CatalogService/DeleteModel", "CatalogService/ListProviderModels",
    "CatalogService/CreateTaskClass", "CatalogService/GetTaskClass", "CatalogService/ListTaskClasses",
    "CatalogService/UpdateTaskClass", "CatalogService/DeleteTaskClass",
    "InsightService/ListArms", "InsightService/WatchArms", "InsightService/GetDecision", "InsightService/ListDecisions",
    "InsightService/GetCostReport",
    "AdminService/CreateKey", "AdminService/ListKeys", "AdminService/RotateKey", "AdminService/RevokeKey",
    "AdminService/CreateBudget", "AdminService/GetBudget", "AdminService/ListBudgets", "AdminService/UpdateBudget",
    "AdminService/DeleteBudget", "AdminService/ListAuditEvents", "AdminService/VerifyAudit", "AdminService/VerifyLog",
}  # fmt: skip
NOT_BUILT = sorted(METHODS.keys() - BUILT)


def test_the_api_has_six_services() -> None:
    assert {name.partition("/")[0] for name in METHODS} == {
        "RouterService", "FeedbackService", "CatalogService", "PolicyService", "InsightService", "AdminService",
    }  # fmt: skip
    assert METHODS.keys() >= BUILT


def invoke(address: str, method: str) -> grpc.RpcError:
    """Call a method of any kind with an empty request and return how it fails."""
    descriptor = METHODS[method]
    kind = ("stream" if descriptor.client_streaming else "unary") + "_"
    kind += "stream" if descriptor.server_streaming else "unary"
    request = GetMessageClass(descriptor.input_type)()
    with grpc.insecure_channel(address) as channel:
        call: Any = getattr(channel, kind)(
            path_of(method),
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=GetMessageClass(descriptor.output_type).FromString,
        )
        try:
            reply = call(iter([request]) if descriptor.client_streaming else request, timeout=20.0)
            if descriptor.server_streaming:
                reply = list(reply)
        except grpc.RpcError as error:
            return error
    raise AssertionError(f"{method} answered {reply}")


@pytest.mark.parametrize("method", NOT_BUILT)
def test_says_that_it_is_not_built(method: str, api: Caller) -> None:
    refusal = refusal_of(invoke(api.address, method))
    assert (refusal.code, refusal.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
    check(refusal.reason, refusal.code, refusal.metadata)
    assert refusal.metadata["method"] == method


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("CatalogService/CreateTaskClass", {"task_class": {"name": "a", "priors": [{}]}}, "task_class.priors"),
    ],
)
def test_a_field_that_asks_for_what_is_not_built_names_its_method(
    api: Caller, method: str, request_: dict[str, Any], field: str
) -> None:
    refusal = api.refused(method, **request_)
    assert (refusal.code, refusal.reason) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
    assert refusal.metadata == {"method": method, "field": field}


def test_an_unknown_method_is_unimplemented(api: Caller) -> None:
    with grpc.insecure_channel(api.address) as channel:
        call: Any = channel.unary_unary("/naiad.v1.RouterService/NoSuchMethod")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=20.0)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
