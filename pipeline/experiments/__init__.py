"""Runs of the pipeline: reproduction, studies, preflight checks, the doctor."""
