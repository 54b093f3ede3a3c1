"""A page that one can send: what structures are, what the modifiers say of them, and how far to trust that."""

from ovito_glassml.workflow.report.collect import Wishes
from ovito_glassml.workflow.report.page import write_report

__all__ = ["Wishes", "write_report"]
