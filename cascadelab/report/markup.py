"""Text of notebooks as safe HTML: Markdown, maths as MathML, code, and HTML outputs of libraries.

Nothing that comes in can add a script, a style, or an address that a browser would fetch.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any
from xml.sax.saxutils import quoteattr

__all__ = ["highlighted_python", "markdown_html", "math_html", "safe_html"]

_INLINE_MATH = (
    r"\$\$(?P<latex_display>(?:\\.|[^$\\])+?)\$\$"
    r"|\$(?![\s$])(?P<latex_inline>(?:\\.|[^$\\\n`])+?)(?<!\s)\$(?!\d)"
)
_BLOCK_MATH = r"^ {0,3}\$\$[ \t]*\n?(?P<latex_block>(?:\\.|[^$\\])+?)\s*\$\$[ \t]*(?:\n|$)"

_TAGS = frozenset(
    {"a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del"}
    | {"details", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5"}
    | {"h6", "hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "s", "samp", "small", "span"}
    | {"strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
    | {"u", "ul", "var"}
)
_VOID = frozenset({"br", "col", "hr"})
_DROPPED_WITH_CONTENT = frozenset(
    {"embed", "iframe", "math", "noscript", "object", "script", "style", "svg", "template", "title"}
)
_ATTRIBUTES = frozenset({"class", "colspan", "rowspan", "scope", "title", "lang", "dir"})
_LINK = re.compile(r"(?:https?://|mailto:|#|\.{0,2}/|[\w-]+(?:/|\.html|$))", re.IGNORECASE)


def markdown_html(text: str) -> str:
    """HTML of a Markdown text; raw HTML in it shows as text, images become links.

    Parameters
    ----------
    text : str
        ``$...$`` and ``$$...$$`` are maths; ``$5`` is money.
    """
    rendered: str = _markdown()(text)
    return rendered


def math_html(latex: str, is_block: bool) -> str:
    """MathML of a formula; a formula that cannot be read shows as code."""
    from latex2mathml import converter, exceptions

    # The converter's own classes have no common root; on broken input it also runs off a list.
    own: tuple[Any, ...] = tuple(
        item for item in vars(exceptions).values() if isinstance(item, type)
    )
    try:
        mathml: str = converter.convert(latex, display="block" if is_block else "inline")
    except (*own, IndexError, KeyError, ValueError, StopIteration):
        return f"<code>{html.escape(latex)}</code>"
    return mathml


def highlighted_python(code: str) -> str:
    """HTML of Python code, with classes that ``page.css`` colours."""
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped]

    marked: str = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))
    marked = re.sub(r"(<[^>]*>)|\"", lambda match: match[1] or "&quot;", marked)
    return f"<pre class='code'><code>{marked}</code></pre>"


def safe_html(text: str) -> str:
    """The same HTML with only tags and attributes that show text and tables.

    Scripts, styles, pictures, forms and frames go; so do all attributes that could fetch or run.
    """
    cleaner = _Cleaner()
    cleaner.feed(text)
    cleaner.close()
    return cleaner.result()


class _Cleaner(HTMLParser):
    """Rebuilds HTML from the tags it knows, closing what was left open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[str] = []
        self._dropped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED_WITH_CONTENT:
            self._dropped.append(tag)
        if self._dropped or tag not in _TAGS:
            return
        kept = "".join(
            f" {name}={quoteattr(value or '')}" for name, value in attrs if _keeps(tag, name, value)
        )
        self._parts.append(f"<{tag}{kept}>")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _DROPPED_WITH_CONTENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            if tag in self._dropped:
                while self._dropped.pop() != tag:
                    pass
        elif tag in self._open:
            while self._open:
                closed = self._open.pop()
                self._parts.append(f"</{closed}>")
                if closed == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self._parts.append(html.escape(data, quote=False))

    def result(self) -> str:
        return "".join(self._parts) + "".join(f"</{tag}>" for tag in reversed(self._open))


def _keeps(tag: str, name: str, value: str | None) -> bool:
    if name == "href":
        return tag == "a" and _LINK.match((value or "").strip()) is not None
    return name in _ATTRIBUTES


@lru_cache(maxsize=1)
def _markdown() -> Any:
    import mistune

    class Renderer(mistune.HTMLRenderer):
        """Mistune's own, with pictures as links: a page fetches nothing."""

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return self.link(text or url, url, title)

    plugins: list[Any] = ["table", "strikethrough", "footnotes", _with_math]
    return mistune.create_markdown(renderer=Renderer(escape=True), plugins=plugins)


def _with_math(markdown: Any) -> None:
    def inline(_parser: Any, match: re.Match[str], state: Any) -> int:
        latex = match["latex_display"] or match["latex_inline"]
        state.append_token({"type": "inline_math", "raw": latex})
        return match.end()

    def block(_parser: Any, match: re.Match[str], state: Any) -> int:
        state.append_token({"type": "block_math", "raw": match["latex_block"]})
        return match.end()

    markdown.inline.register("inline_math", _INLINE_MATH, inline, before="link")
    markdown.block.register("block_math", _BLOCK_MATH, block, before="list")
    markdown.renderer.register("inline_math", lambda _renderer, raw: math_html(raw, False))
    markdown.renderer.register(
        "block_math", lambda _renderer, raw: f"<div class='formula'>{math_html(raw, True)}</div>\n"
    )
