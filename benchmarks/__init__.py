"""Benchmarks: one file for one question, and the results."""
