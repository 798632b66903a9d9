"""What the command line prints for people: inventory, verified log, beliefs, costs, and why a decision was made."""

from naiad.server.report.access import access_of
from naiad.server.report.arms import print_arms
from naiad.server.report.audit import print_audit, verify_audit
from naiad.server.report.callbacks import trouble
from naiad.server.report.costs import print_costs
from naiad.server.report.explanation import print_explanation
from naiad.server.report.faults import print_faults
from naiad.server.report.inventory import print_inventory
from naiad.server.report.keys import run as run_keys
from naiad.server.report.live_arms import watch_arms
from naiad.server.report.models import import_models, print_models
from naiad.server.report.verification import print_replay

__all__ = [
    "access_of",
    "import_models",
    "print_arms",
    "print_audit",
    "print_costs",
    "print_explanation",
    "print_faults",
    "print_inventory",
    "print_models",
    "print_replay",
    "run_keys",
    "trouble",
    "verify_audit",
    "watch_arms",
]
