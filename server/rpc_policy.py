"""PolicyService: nothing of it is built yet; the guard answers UNIMPLEMENTED for each method."""

from __future__ import annotations

from naiad.v1 import policy_service_pb2_grpc


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """Versions of the policy."""
