"""The study of the paper's claims: runs that are done once, and a report made from their rows.

The claims themselves are study/claims/*.py.
"""

from .claim import Claim, Finding, Results
from .command import main
from .figures import Figure, Panel, Series
from .report import Report
from .runner import study
from .statistics import Interval, mean_interval, verdict

__all__ = [
    "Claim",
    "Figure",
    "Finding",
    "Interval",
    "Panel",
    "Report",
    "Results",
    "Series",
    "main",
    "mean_interval",
    "study",
    "verdict",
]
