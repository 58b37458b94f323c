"""Notebooks into reports: what a notebook publishes, and the runner that makes pages of it.

A notebook needs four calls, all importable from here: :func:`headline`, :func:`input_file`,
:func:`quality_note` and :func:`provenance`. They work in any Jupyter, under papermill, and in
plain Python, where they print.
"""

from cascadelab.report.publish import headline, input_file, provenance, quality_note

__all__ = ["headline", "input_file", "provenance", "quality_note"]
