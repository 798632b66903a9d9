"""What each method of the API must answer to each identity: written by hand, apart from the server's own table."""

from __future__ import annotations

from typing import Any

from naiad.server.authorization import Role
from tests.keys import Wanted

PROMPT = "Xq7vKw2mZr9tLb4n"  # the canary of all prompts
TURN = {"role": 2, "parts": [{"text": f"repeat {PROMPT} please"}]}

_ROLES = {
    Role.CLIENT: """
        RouterService: Decide BatchDecide DecideStream Complete StreamComplete
        FeedbackService: ReportOutcome ReportFeedback BatchReportFeedback StreamFeedback RetractFeedback
        CatalogService: GetModel ListModels GetTaskClass ListTaskClasses
        InsightService: GetDecision
        """,
    Role.REVIEWER: """
        FeedbackService: ListReviewItems ClaimReviewItem SubmitReview
        InsightService: ListDecisions WatchDecisions ListArms WatchArms
        """,
    Role.OPERATOR: """
        CatalogService: CreateModel UpdateModel DeleteModel CreateTaskClass UpdateTaskClass DeleteTaskClass
        PolicyService: CreatePolicy GetPolicy ListPolicies PromotePolicy RollbackPolicy EvaluatePolicy DiffPolicies
        InsightService: GetCostReport ListAlerts WatchAlerts
        AdminService: CreateBudget GetBudget ListBudgets UpdateBudget DeleteBudget VerifyLog
        """,
    Role.ADMIN: """
        CatalogService: ListProviderModels
        AdminService: CreateKey ListKeys RotateKey RevokeKey RevokeSource ListAuditEvents VerifyAudit CreateBackup
        """,
}
ROLE_OF = {
    f"{line.split(':')[0].strip()}/{method}": role
    for role, lines in _ROLES.items()
    for line in lines.strip().splitlines()
    for method in line.split(":")[1].split()
}

# What a method answers to the request below once the caller may call it: code and reason.
_OK = ("OK", "")
_FINE = """
    Decide Complete StreamComplete ListModels ListTaskClasses ListArms ListDecisions WatchArms ListKeys ListAuditEvents
    VerifyAudit ListBudgets GetCostReport
    """
_LACKING = """
    ReportOutcome ReportFeedback RetractFeedback GetDecision GetModel GetTaskClass CreateModel UpdateModel DeleteModel
    CreateTaskClass UpdateTaskClass DeleteTaskClass RotateKey RevokeKey
    CreateBudget GetBudget UpdateBudget DeleteBudget ListProviderModels
    """
_ANSWERS = {
    **dict.fromkeys(_FINE.split(), _OK),
    **dict.fromkeys(_LACKING.split(), ("INVALID_ARGUMENT", "FIELD_REQUIRED")),
    "CreateKey": ("INVALID_ARGUMENT", "UNKNOWN_ENUM_VALUE"),
    "VerifyLog": ("INVALID_ARGUMENT", "NUMBER_OUT_OF_RANGE"),
}
REQUESTS: dict[str, dict[str, Any]] = {
    "RouterService/Decide": {"messages": [TURN], "task_class": "b10"},
    "RouterService/Complete": {"messages": [TURN], "task_class": "b10"},
    "RouterService/StreamComplete": {"messages": [TURN], "task_class": "b10"},
    "AdminService/VerifyLog": {"until_sequence": 1 << 40},
}  # of the others: nothing

KEYS = {
    "admin": Wanted(Role.ADMIN),
    "operator": Wanted(Role.OPERATOR),
    "reviewer": Wanted(Role.REVIEWER),
    "client": Wanted(Role.CLIENT),
    "expired": Wanted(Role.ADMIN, expired=True),
    "revoked": Wanted(Role.ADMIN, revoked=True),
    "replaced": Wanted(Role.ADMIN, replaced=True),
    "other admin": Wanted(Role.ADMIN, tenant="other"),
    "other client": Wanted(Role.CLIENT, tenant="other"),
}
INVALID = ("none", "malformed", "unknown", "wrong secret", "basic", "twice", "expired", "revoked", "replaced")
IDENTITIES = (*INVALID, *(name for name in KEYS if name not in INVALID))


def expected(method: str, identity: str) -> tuple[str, str]:
    """Return code and reason of a cell; raises KeyError for a method without a row."""
    required = ROLE_OF[method]
    if identity in INVALID:
        return "UNAUTHENTICATED", "UNAUTHENTICATED"
    if KEYS[identity].role < required:
        return "PERMISSION_DENIED", "PERMISSION_DENIED"
    return _ANSWERS.get(method.partition("/")[2], ("UNIMPLEMENTED", "NOT_IMPLEMENTED"))
