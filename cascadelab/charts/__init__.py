"""Altair charts of result objects: one theme, one renderer, one file per subject.

Nothing here is imported by ``import cascadelab``; Altair is imported when a chart is made.
"""
