"""The evaluation table and the little Markdown."""

import math
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distembed.evaluation.metrics import number
from distembed.evaluation.result import Score
from distembed.report.markdown import to_html
from distembed.report.results import metrics_of

METHODS = ("gde", "mean", "bures", "ot", "floor")
finite = st.floats(-0.999, 0.999).map(lambda x: round(x, 6))


@given(st.sampled_from(["w2", "spearman_w2"]), st.lists(finite, min_size=5, max_size=5))
def test_right_is_better_for_every_metric(metric, values):
    (found,) = metrics_of([Score(metric, m, v) for m, v in zip(METHODS, values, strict=True)])
    sign = 1 if metric == "spearman_w2" else -1
    value = dict(zip(METHODS, values, strict=True))
    places = [line.place for line in found.lines]
    assert places == sorted(places, reverse=True)
    assert all(4 - 1e-9 <= place <= 96 + 1e-9 for place in places)
    for line in found.lines:
        if line.method in ("gde", "floor"):
            assert line.kind == line.method
            continue
        gain = sign * (value[line.method] - value["gde"])
        assert line.kind == ("better" if gain > 0 else "worse" if gain < 0 else "level")
        assert line.bar[0] == pytest.approx(min(line.place, found.own))
        assert sum(line.bar) == pytest.approx(max(line.place, found.own))
    assert found.beaten == any(line.kind == "better" for line in found.lines)


def test_a_loss_is_called_a_loss():
    rows = [Score("spearman_w2", "gde", 0.93, 0.9, 0.95, p=0.2)]
    rows += [Score("spearman_w2", "mean", 0.9), Score("spearman_w2", "mean_cov", 0.975)]
    (metric,) = metrics_of([*rows, Score("spearman_w2", "floor", 0.99)])
    assert metric.verdict.replace("\u00a0", " ") == (
        "1 of 2 baselines does better than the GDE (0.930); the best is mean and root covariance "
        "(0.975), p = 0.2, which may be chance"
    )
    assert [line.method for line in metric.lines] == ["floor", "mean_cov", "gde", "mean"]
    assert metric.lines[2].interval == "0.900 to 0.950"


def test_a_gain_and_a_tie_are_not_confused():
    rows = [Score("w2", "gde", 1.0), Score("w2", "mean", 1.0), Score("w2", "pooled", 2.0)]
    (metric,) = metrics_of(rows)
    assert metric.verdict.startswith("The GDE (1.00) is ahead of 1 of 2 baselines")
    assert not metric.beaten


def test_what_is_not_defined_has_no_place_and_the_gde_may_be_absent():
    rows = [Score("energy", "mean", 0.2), Score("energy", "ot", math.nan, math.nan, math.nan)]
    (metric,) = metrics_of(rows)
    assert (metric.verdict, metric.own) == ("", None)
    assert [(line.value, line.place) for line in metric.lines][1] == ("–", None)
    assert [line.kind for line in metric.lines] == ["unknown", "unknown"]
    assert metrics_of([Score("energy", "gde", math.nan)])[0].own is None


def test_metrics_keep_their_order_and_wide_ranges_are_logarithmic():
    rows = [Score("energy", "gde", 0.01), Score("w2", "gde", 1.0), Score("energy", "x", 1.0)]
    energy, w2 = metrics_of([*rows, Score("energy", "y", 0.1)])
    assert (energy.key, w2.key) == ("energy", "w2")
    assert "logarithm" in energy.scale
    assert [line.place for line in energy.lines] == pytest.approx([96, 50, 4])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.99973, "0.9997"), (0.5, "0.500"), (1234.5, "1234"), (1e-5, "1.00e-05"), (123.4, "123")],
)
def test_numbers(value, text):
    assert number(value) == text


# -- Markdown -----------------------------------------------------------------------------------

ALLOWED = {
    *("h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "pre", "code", "strong", "em", "a"),
    *("table", "thead", "tbody", "tr", "th", "td", "div"),
}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def tags(text):
    parser = Tags()
    parser.feed(to_html(text))
    parser.close()
    assert not parser.open
    return parser.found


pieces = st.sampled_from(
    [
        "<script>",
        "</p>",
        "# ",
        "- ",
        "1. ",
        "`",
        "```",
        "**",
        "*",
        "|",
        "|---|",
        "\n",
        "\n\n",
        "---",
    ]
    + [
        "[a](",
        "https://x.y",
        "javascript:alert(1)",
        ")",
        '"',
        "'",
        "&",
        "onclick=",
        "word ",
        "\\|",
    ]
)


@given(st.one_of(st.text(), st.lists(pieces, max_size=30).map("".join)))
def test_no_text_becomes_more_than_the_subset(text):
    for tag, attributes in tags(text):
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "class"}
        assert attributes.get("href", "https://").startswith(("https://", "http://"))
        assert attributes.get("class", "wide") == "wide"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** *c* `d*e*`", "<p>a <strong>b</strong> <em>c</em> <code>d*e*</code></p>"),
        ("## A\ntext\nmore", "<h4>A</h4>\n<p>text more</p>"),
        ("- a\n  b\n- c", "<ul><li>a b</li><li>c</li></ul>"),
        ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        ("```python\nx < 1\n\n# no\n```", "<pre><code>x &lt; 1\n\n# no</code></pre>"),
        ("---\na: 1\n---\nb", "<pre><code>a: 1</code></pre>\n<p>b</p>"),
        ("[a](https://b.c/d)", '<p><a href="https://b.c/d">a</a></p>'),
        ("[a](javascript:b)", "<p>[a](javascript:b)</p>"),
        ("<b>", "<p>&lt;b&gt;</p>"),
        ("2 * 3 * 4, snake_case", "<p>2 * 3 * 4, snake_case</p>"),
        ("", ""),
    ],
)
def test_markdown(text, html):
    assert to_html(text) == html


def test_a_table():
    html = to_html("| a | b |\n|---|:-:|\n| `x|y` \\| z | 2 |\n\nafter")
    assert "<th>a</th><th>b</th>" in html
    assert html.endswith("<p>after</p>")
    assert to_html("|a|b|\n|-|-|\n|1|2|").count("<td>") == 2
