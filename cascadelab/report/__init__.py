"""Notebooks into reports: what a notebook publishes, and the runner that makes pages of it.

A notebook speaks by three calls, importable from here: :func:`headline`, :func:`input_file` and
:func:`quality_note`, and ends with :func:`cascadelab.estimate.default_block`, or with
:func:`provenance` where there is nothing to put into a block. All of them work in any Jupyter,
under papermill, and in plain Python, where they print.
"""

from cascadelab.report.publish import headline, input_file, provenance, quality_note

__all__ = ["headline", "input_file", "provenance", "quality_note"]
