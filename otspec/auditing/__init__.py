"""Is it lossless? The audit of verification functions and of samples, from outside.

`audit` judges a function, `audit_samples` what an engine has emitted. `Subject` is the form in which functions are
asked; `Function` and the adapters give it to functions of the shapes that engines use: `hugging_face`,
`rejection_sampler` (serving), `tree_sampler`, `json_lines` (another process).
"""

from otspec.auditing.adapters import hugging_face, rejection_sampler, tree_sampler
from otspec.auditing.mistakes import MISTAKES, Mistake, known_mistakes
from otspec.auditing.process import json_lines
from otspec.auditing.report import AuditReport, Counterexample
from otspec.auditing.run import audit
from otspec.auditing.samples import audit_samples, samples_needed
from otspec.auditing.subjects import Function, Subject

__all__ = [
    "MISTAKES",
    "AuditReport",
    "Counterexample",
    "Function",
    "Mistake",
    "Subject",
    "audit",
    "audit_samples",
    "hugging_face",
    "json_lines",
    "known_mistakes",
    "rejection_sampler",
    "samples_needed",
    "tree_sampler",
]
