"""Tables of results as LaTeX (booktabs), HTML and Typst, ready for a paper."""

from __future__ import annotations

import re

import polars as pl

from cascadelab.display import frame_html, frame_rows

__all__ = ["Exported", "frame_to_latex", "frame_to_typst"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "∞": r"$\infty$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "²": r"$^2$",
    "|": r"\textbar{}",
}
_GREEK = (
    "αalpha βbeta γgamma δdelta εepsilon ζzeta ηeta θtheta κkappa λlambda μmu νnu ξxi πpi ρrho "
    "σsigma τtau φphi χchi ψpsi ωomega ΓGamma ΔDelta ΘTheta ΛLambda ΞXi ΠPi ΣSigma ΦPhi ΨPsi ΩOmega"
)
_LATEX |= {word[0]: rf"$\{word[1:]}$" for word in _GREEK.split()}
_TYPST = "\\#$*_`@<>[]~/"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _typst(text: str) -> str:
    escaped = "".join("\\" + letter if letter in _TYPST else letter for letter in text)
    # A mark and a blank at the start of a cell would begin a list or a heading.
    return "\\" + escaped if re.match(r"[-+=]+ ", escaped) else escaped


def _alignment(frame: pl.DataFrame) -> list[bool]:
    return [dtype.is_numeric() for dtype in frame.dtypes]


def frame_to_latex(frame: pl.DataFrame, *, caption: str = "", notes: str = "") -> str:
    r"""LaTeX ``table`` with booktabs rules; every cell is escaped.

    Examples
    --------
    >>> text = frame_to_latex(pl.DataFrame({"x_usd": [1.5]}))
    >>> r"x\_usd" in text, r"1.5 \\" in text
    (True, True)
    """
    columns = "".join("r" if is_number else "l" for is_number in _alignment(frame))
    lines = [r"\begin{table}", r"\centering"]
    lines += [rf"\caption{{{_latex(caption)}}}"] if caption else []
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(map(_latex, frame.columns)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_latex, row)) + r" \\" for row in frame_rows(frame)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {_latex(notes)}"] if notes else []
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def frame_to_typst(frame: pl.DataFrame, *, caption: str = "", notes: str = "") -> str:
    """Typst ``figure`` that holds a table; every cell is escaped.

    Examples
    --------
    >>> "[1.5]" in frame_to_typst(pl.DataFrame({"x": [1.5]}))
    True
    """
    align = ", ".join("right" if is_number else "left" for is_number in _alignment(frame))
    head = "".join(f"[*{_typst(name)}*], " for name in frame.columns)
    lines = ["#figure(", "  table("]
    lines += [f"    columns: {len(frame.columns)}, align: ({align},), stroke: none,"]
    lines += ["    table.hline(),", f"    table.header({head.rstrip(', ')}),", "    table.hline(),"]
    lines += [
        "    " + ", ".join(f"[{_typst(cell)}]" for cell in row) + "," for row in frame_rows(frame)
    ]
    lines += ["    table.hline(),", "  ),"]
    words = ". ".join(part.rstrip(".") for part in (caption, notes) if part)
    lines += [f"  caption: [{_typst(words)}]," if words else "  caption: none,"]
    return "\n".join([*lines, ")"]) + "\n"


class Exported:
    """Adds paper tables to a result that has ``summary()`` and ``to_frame()``."""

    def _paper(self) -> tuple[pl.DataFrame, str, str]:
        summary = self.summary()  # type: ignore[attr-defined]
        frame: pl.DataFrame = self.to_frame()  # type: ignore[attr-defined]
        return frame, summary.title, " ".join(summary.notes)

    def to_latex(self) -> str:
        """LaTeX table (needs the booktabs package) with the notes under it."""
        frame, caption, notes = self._paper()
        return frame_to_latex(frame, caption=caption, notes=notes)

    def to_typst(self) -> str:
        """Typst figure with the notes in its caption."""
        frame, caption, notes = self._paper()
        return frame_to_typst(frame, caption=caption, notes=notes)

    def to_html(self) -> str:
        """HTML table; every cell is escaped."""
        frame, caption, _ = self._paper()
        return frame_html(frame, caption)
