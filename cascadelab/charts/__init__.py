"""Altair charts of result objects."""
