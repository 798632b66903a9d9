"""Which role each method asks for. A method without a row cannot be served; a test compares the table with the API."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """Roles in rising order: each may do what those below it may."""

    CLIENT = 1
    REVIEWER = 2
    OPERATOR = 3
    ADMIN = 4


_CLIENT = {
    "RouterService": "Decide BatchDecide DecideStream Complete StreamComplete",
    "FeedbackService": "ReportOutcome ReportFeedback BatchReportFeedback StreamFeedback RetractFeedback",
    "CatalogService": "GetModel ListModels GetTaskClass ListTaskClasses",
    "InsightService": "GetDecision",
}
_REVIEWER = {
    "FeedbackService": "ListReviewItems ClaimReviewItem SubmitReview",
    "InsightService": "ListDecisions WatchDecisions ListArms WatchArms",
}
_OPERATOR = {
    "CatalogService": "CreateModel UpdateModel DeleteModel CreateTaskClass UpdateTaskClass DeleteTaskClass",
    "PolicyService": "CreatePolicy GetPolicy ListPolicies PromotePolicy RollbackPolicy EvaluatePolicy DiffPolicies",
    "InsightService": "GetCostReport ListAlerts WatchAlerts",
    "AdminService": "CreateBudget GetBudget ListBudgets UpdateBudget DeleteBudget VerifyLog",
}
_ADMIN = {
    "CatalogService": "ListProviderModels",
    "AdminService": "CreateKey ListKeys RotateKey RevokeKey RevokeSource ListAuditEvents VerifyAudit CreateBackup",
}

REQUIRED: dict[str, Role] = {
    f"{service}/{method}": role
    for role, table in (
        (Role.CLIENT, _CLIENT),
        (Role.REVIEWER, _REVIEWER),
        (Role.OPERATOR, _OPERATOR),
        (Role.ADMIN, _ADMIN),
    )
    for service, methods in table.items()
    for method in methods.split()
}
