"""Margin-engine feedback loops: exact cascades, margin rules, history, reports."""

__version__ = "0.1.0"
