"""What a notebook says to its report: headline numbers, input files, quality notes, provenance.

Each call shows a small table where it stands and, in the same output, carries the same facts as
JSON under :data:`MIME`; the runner reads them back from the executed notebook. Nothing depends on
the runner: ``papermill`` alone, or JupyterLab, shows the same tables.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

from cascadelab.display import FACT_MIME, Summary, publish_fact
from cascadelab.errors import DataError, ParameterError

__all__ = ["MIME", "headline", "input_file", "provenance", "quality_note"]

#: Output type under which the facts travel inside the executed notebook.
MIME = FACT_MIME


class _Summarised(Protocol):
    def summary(self) -> Summary: ...


def headline(
    name: str,
    value: float | None,
    unit: str,
    *,
    source: str = "",
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Publish one headline number; it shows here, on the index page and in ``numbers.parquet``.

    Parameters
    ----------
    name : str
        What the number is, in words; unique within the notebook.
    value : float or None
        The number; infinity is allowed, ``None`` means that it is not available.
    unit : str
        Unit of `value`, `low` and `high`; ``"fraction"``, ``"1"`` or ``"count"`` for plain ones.
    source : str
        Where it comes from: a figure's source, or the function that gave it.
    low, high : float or None
        Ends of its interval, in the same unit.

    Raises
    ------
    ParameterError
        If a name or unit is empty, or a number is NaN or not a number.

    Examples
    --------
    >>> headline("Largest fall", 0.145, "fraction", source="catalogue")
    Largest fall  0.145 fraction (catalogue)
    """
    for field, text in (("name", name), ("unit", unit)):
        if not isinstance(text, str) or not text.strip():
            msg = f"headline: {field} is {text!r}; expected words. Name the number and its unit."
            raise ParameterError(msg)
    fact = {
        "kind": "headline",
        "name": name,
        "value": _plain_number(name, "value", value),
        "unit": unit,
        "source": source,
        "low": _plain_number(name, "low", low),
        "high": _plain_number(name, "high", high),
    }
    origin = f" ({source})" if source else ""
    text = f"{name}  {_words(fact)} {unit}{origin}"
    _publish(fact, text, Summary(title="Headline", rows=[(name, f"{_words(fact)} {unit}{origin}")]))


def input_file(path: Path | str, *, source: str = "", licence: str = "") -> Path:
    """Publish that this file was read: name, size, SHA-256, source and licence.

    Parameters
    ----------
    path : Path or str
        The file. Only its name is published, so that pages do not hold machine paths.
    source, licence : str
        Who made it and under which terms.

    Returns
    -------
    Path
        The same path, ready to be read.

    Raises
    ------
    DataError
        If it is not a readable file.
    """
    from cascadelab.fingerprint import file_hash

    file = Path(path)
    if not file.is_file():
        raise DataError.in_file(file, "There is no such file.", "Check the path or the parameter.")
    fact = {
        "kind": "input",
        "name": file.name,
        "n_bytes": file.stat().st_size,
        "sha256": file_hash(file),
        "source": source,
        "licence": licence,
    }
    rows: list[tuple[str, object]] = [
        ("file", fact["name"]),
        ("bytes", fact["n_bytes"]),
        ("SHA-256", fact["sha256"]),
    ]
    rows += [(label, text) for label, text in (("source", source), ("licence", licence)) if text]
    # The path itself is for the next run, which checks that the file is still the same.
    private = {"path": str(file.resolve())}
    _publish(
        fact, f"{file.name}  sha256 {fact['sha256']}", Summary(title="Input", rows=rows), private
    )
    return file


def quality_note(note: _Summarised) -> None:
    """Publish what a reader found wrong or odd in its data.

    Parameters
    ----------
    note : object with ``summary()``
        The quality record that comes with a read.
    """
    summary = note.summary()
    rows = [[label, str(value)] for label, value in summary.rows]
    fact = {"kind": "quality", "title": summary.title, "rows": rows, "notes": list(summary.notes)}
    _publish(fact, str(summary), summary)


def provenance(*, seed: int | None = None) -> None:
    """Publish versions and seed, in a notebook that has no print block to say them.

    Parameters
    ----------
    seed : int or None
        The seed used, if any number was drawn.
    """
    from cascadelab.fingerprint import code_hash, versions

    fact = {"kind": "provenance", "versions": versions(), "code_sha256": code_hash(), "seed": seed}
    rows: list[tuple[str, object]] = [*versions().items(), ("code SHA-256", code_hash())]
    if seed is not None:
        rows.append(("seed", str(seed)))
    summary = Summary(title="Provenance", rows=rows)
    _publish(fact, str(summary), summary)


def _plain_number(name: str, field: str, value: object) -> float | str | None:
    """JSON-plain number: infinities as words, as JSON has none."""
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ParameterError(
            f"headline {name!r}: {field} is {value!r}; expected a number. "
            f"Pass None where the number is not available, and say why in the text."
        )
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return number


def _words(fact: dict[str, Any]) -> str:
    from cascadelab.display import number

    def text(value: float | str | None) -> str:
        return "not available" if value is None else number(float(value))

    interval = ""
    if fact["low"] is not None or fact["high"] is not None:
        interval = f" [{text(fact['low'])}, {text(fact['high'])}]"
    return text(fact["value"]) + interval


def _publish(
    fact: dict[str, Any], text: str, summary: Summary, private: dict[str, Any] | None = None
) -> None:
    publish_fact(fact, {"text/plain": text, "text/html": summary.to_html()}, private)
