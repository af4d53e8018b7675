"""The text of an HTML document is its visible text."""

import pytest

from app.mime.html_text import text_of_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("   ", ""),
        ("a", "a"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<p>a<p>b", "a\n\nb"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<div><div><div>a</div></div></div><div>b</div>", "a\nb"),
        ("a<br>b", "a\nb"),
        ("a<br><br>b", "a\n\nb"),
        ("a<br><br><br><br>b", "a\n\nb"),
        ("<div>a</div><br><div>b</div>", "a\n\nb"),
        ("a\n  b\t c", "a b c"),
        ("a <b>b</b> c", "a b c"),
        ("a<b> b </b>c", "a b c"),
        ("a<b>b</b>c", "abc"),
        ("<b>a</b> <i>b</i>", "a b"),
        ("<ul><li>a</li><li>b</li></ul>c", "a\nb\n\nc"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<h1>a</h1>b", "a\n\nb"),
        ("see <a href='https://example.com/'>the page</a>.", "see the page."),
        ("<pre>a  b\n  c</pre>d", "a  b\n  c\n\nd"),
        ("a&nbsp;b &amp; &lt;c&gt; &#8364; &unknown;", "a b & <c> € &unknown;"),
        ("<style>p { color: red }</style><p>a", "a"),
        ("<script>var a = '<p>b</p>';</script>a", "a"),
        ("<head><title>t</title><meta charset=utf-8></head><body>a", "a"),
        ("<template>b</template>a", "a"),
        ("<template><template>b</template>c</template>a", "a"),
        ("<head><head><title>b</title></head></head><body>a", "a"),
        ("a<!-- b -->c", "ac"),
        ("<!--[if mso]><p>b</p><![endif]-->a", "a"),
        ("<!DOCTYPE html><html><body>a</body></html>", "a"),
        ("<img alt=b src=cid:1>a", "a"),
        ("<a", ""),
        ("a < b", "a < b"),
        ("</p>a</div>", "a"),
        ("<o:p>a</o:p>", "a"),
        ("日本<br>語　文", "日本\n語　文"),
        ("a<script>", "a"),
        ("😀<p>ü", "😀\n\nü"),
    ],
)
def test_html_becomes_its_visible_text(html: str, text: str) -> None:
    """Blocks and <br> end lines, runs of spaces are reduced to one, hidden elements are omitted."""
    assert text_of_html(html) == text


def test_no_depth_hides_text() -> None:
    """Text nested deeper than a parser's tree would allow is found."""
    assert text_of_html("<div>" * 100_000 + "deep") == "deep"


def test_text_that_comes_in_pieces_is_whole() -> None:
    """Words are joined across pieces, whether split before the parser or by it."""
    assert text_of_html("ab" * 100_000) == "ab" * 100_000
    assert text_of_html("a&lt;" * 20_000) == "a<" * 20_000
