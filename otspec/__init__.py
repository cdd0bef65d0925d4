"""otspec: the optimal-transport theory of speculative decoding.

``import otspec as ot`` gives every public name below; each is loaded from its room when it is first used, so the
import itself costs no solver, no torch and no plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_ROOMS = {
    "otspec.core.errors": "BadArgument BadFile MissingExtra NotALaw NotCertified OtspecError SchemeMismatch "
    "ShapeMismatch TooLarge UnknownName VersionWarning WorkFailed",
    "otspec.core.laws": "draw law_from_logits normalize overlap residual temper total_variation truncate",
    "otspec.core.noise": "Noise",
    "otspec.core.schemes": "DraftScheme Greedy Hub Hybrid WithReplacement WithoutReplacement",
    "otspec.core.drafters": "Independent Joint",
    "otspec.core.problem": "MembershipProblem",
    "otspec.core.bound": "AcceptanceBound Cut TransportPlan",
    "otspec.core.estimate": "Estimate",
    "otspec.core.table": "Table",
    "otspec.core.verifier": "TokenVerifier Verdict",
    "otspec.core.block": "BlockVerifier",
    "otspec.core.coupling": "Coupling",
    "otspec.core.markov": "MarkovModel",
    "otspec.core.trace": "Trace",
    "otspec.transport.bounds": "acceptance_bound optimal_acceptance optimal_plan winner_law",
    "otspec.verifiers": "list_verifiers verifier",
    "otspec.couplings": "coupling list_couplings",
    "otspec.lossy_rules": "LossyBound LossyRule list_lossy lossy lossy_bound",
    "otspec.policies.trees": "AcceptanceTable Calibration TreePlan TreePolicy list_tree_policies tree_policy",
    "otspec.couplings.bottleneck": "entropy_bottleneck",
    "otspec.analysis.exact": "acceptance output_law",
    "otspec.analysis.monte_carlo": "sampled_acceptance",
    "otspec.analysis.agreement": "agreement bits sampled_agreement",
    "otspec.analysis.coupling_table": "compare_couplings",
    "otspec.analysis.watermark": "detect_watermark",
    "otspec.analysis.blocks": "block_efficiency text_law trace_block_efficiency",
    "otspec.analysis.compare": "compare",
    "otspec.analysis.block_optimum": "block_optimum",
    "otspec.analysis.toys": "compare_toys",
    "otspec.analysis.worst_case": "worst_case",
    "otspec.analysis.ceiling": "zero_rejection",
    "otspec.limits": "best_tree_tokens drafts_needed expected_rejections kl_ceiling pareto_front speed_of_light",
    "otspec.analysis.sweep": "sweep",
    "otspec.analysis.attribution": "attribute_gap",
    "otspec.policies.length": "LengthPolicy StepTime StoppingProblem TimeModel formula_table length_policy "
    "list_length_policies phase_diagram",
    "otspec.analysis.lengths": "compare_lengths drafted_blocks toy_blocks",
    "otspec.analysis.profile": "expected_profile",
    "otspec.decode.models": "Pair load_pair",
    "otspec.recording.record": "load_trace record",
    "otspec.decode.measure": "DecodeRun",
    "otspec.decode.loop": "generate",
    "otspec.decode.step_times": "measure_steps",
    "otspec.decode.streams": "text_noise",
    "otspec.decode.drafters": "Drafter drafter list_drafters",
    "otspec.decode.reading.behaviour": "SlowReading",
    "otspec.decode.sweep": "Sweep decode_sweep",
    "otspec.recording.paths": "record_paths",
    "otspec.recording.path_bound": "PathBound path_bound",
    "otspec.recording.sequence": "compare_sequences",
    "otspec.core.drafted": "DraftedTrees",
    "otspec.core.tree": "DraftTree",
    "otspec.core.tree_verifier": "TreeVerifier",
    "otspec.neighbours.blockwise": "blockwise",
    "otspec.neighbours.best_of_n": "best_of_n_kl best_of_n_law",
    "otspec.neighbours.parallel": "parallel_bound",
    "otspec.neighbours.jacobi": "JacobiRun jacobi",
    "otspec.neighbours.jacobi_exact": "jacobi_law",
    "otspec.neighbours.jacobi_pair": "decode_jacobi",
    "otspec.planner.recommend": "recommend",
    "otspec.planner.recommendation": "Recommendation",
    "otspec.auditing.run": "audit",
    "otspec.auditing.report": "AuditReport",
    "otspec.auditing.samples": "audit_samples samples_needed",
    "otspec.citation": "cite",
    "otspec.registration": "register unregister",
    "otspec.report": "Report build_report",
}
_HOME = {name: module for module, names in _ROOMS.items() for name in names.split()}
_SUBMODULES = {"plots", "testing"}
__all__ = ["__version__", "plots", "testing", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return import_module(f"otspec.{name}")
    near = ""
    if not name.startswith("_"):  # tools probe for many private names
        from otspec.core.names import did_you_mean

        near = did_you_mean(name, __all__)
    raise AttributeError(f"module 'otspec' has no attribute {name!r}.{near}".rstrip("."))


def __dir__() -> list[str]:
    return sorted(__all__)
