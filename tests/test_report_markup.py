"""Text of notebooks becomes HTML that shows, and can neither run nor fetch."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.report.markup import highlighted_python, markdown_html, math_html, safe_html


def test_formulas_become_mathml() -> None:
    html = markdown_html("The gain $g = \\lambda q(y)$.\n\n$$\nA = \\frac{1}{1-g}\n$$\n\nEnd.")
    assert html.count("<math") == 2
    assert "<mfrac>" in html
    assert 'display="block"' in html
    assert "$" not in html


@pytest.mark.parametrize(
    "text", ["It fell by $5 to $10.", "$19 bn and `$x`", "\\$5 and \\$6", "a $ b $ c", "cost: $7"]
)
def test_money_is_not_maths(text: str) -> None:
    assert "<math" not in markdown_html(text)


def test_underscores_inside_formulas_are_not_emphasis() -> None:
    assert "<em>" not in markdown_html("$a_1 b_2$ and $c_3$")


def test_dollars_inside_code_stay() -> None:
    assert "<code>$x$</code>" in markdown_html("Write `$x$`.")


def test_a_formula_that_cannot_be_read_shows_as_code() -> None:
    assert math_html("x_1_2 < 3", is_block=False) == "<code>x_1_2 &lt; 3</code>"


def test_tables_and_links_of_markdown_work() -> None:
    html = markdown_html("| a | b |\n|---|---|\n| 1 | [s](https://doi.org/10.1/x) |\n")
    assert "<td>1</td>" in html
    assert '<a href="https://doi.org/10.1/x">' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "![p](https://example.org/p.png)",
        '<img src="https://example.org/p.png">',
        "[x](javascript:alert(1))",
        "<iframe src='https://example.org'></iframe>",
    ],
)
def test_markdown_cannot_run_or_fetch(text: str) -> None:
    html = markdown_html(text)
    assert not re.search(r"<(script|img|iframe)|javascript:", html)


def test_html_tables_of_libraries_keep_their_cells() -> None:
    rows = '<tr><td colspan="2">a &lt; b</td></tr></table>'
    html = f'<style>td {{}}</style><table border="1" class="dataframe">{rows}'
    assert safe_html(html) == f'<table class="dataframe">{rows}'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<b onclick='x()'>a</b>", "<b>a</b>"),
        ("a<script>x</script>b", "ab"),
        ("a<script>x", "a"),
        ("<a href='javascript:x()'>a</a>", "<a>a</a>"),
        ("<a href=' JaVaScRiPt:x()'>a</a>", "<a>a</a>"),
        ("<a href='data:text/html,x'>a</a>", "<a>a</a>"),
        ("<p style='background:url(https://e.org)'>a</p>", "<p>a</p>"),
        ("<img src='https://e.org/x.png'>", ""),
        ("<link rel=stylesheet href='https://e.org/x.css'>a", "a"),
        ("<form action='https://e.org'><input></form>", ""),
        ("</div></main>a", "a"),
        ("<div><b>a", "<div><b>a</b></div>"),
        ("<svg><script>x</script></svg>a", "a"),
    ],
)
def test_html_outputs_cannot_run_fetch_or_break_the_page(html: str, expected: str) -> None:
    assert safe_html(html) == expected


@given(st.text(alphabet="<>/'\"=abscriptonlmg &;!-#x:", max_size=60))
def test_no_text_makes_a_forbidden_tag(text: str) -> None:
    for html in (safe_html(text), markdown_html(text)):
        assert not re.search(r"<(script|img|iframe|style|svg|link|object)\b", html, re.IGNORECASE)
        assert not re.search(r"<[^>]*\son\w+\s*=", html)


def test_code_is_escaped() -> None:
    html = highlighted_python("x = '</code><script>'")
    assert "<script" not in html
    assert html.count("</code>") == 1
