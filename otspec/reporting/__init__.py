"""The parts of `otspec.build_report`: what to compute, the folder that keeps it, the figures and the page."""
