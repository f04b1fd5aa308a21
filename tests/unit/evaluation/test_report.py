from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.unit.evaluation.test_result import result_of, row
from uss_ray.evaluation.heard import HeardSound
from uss_ray.evaluation.report import Run, report_html, report_markdown
from uss_ray.evaluation.result import Heard
from uss_ray.ontology.vocabulary import Vocabulary

ROWS = [
    row("Dog/0", 5.0, input_sdr=0.0, is_detected=True, sources=2),
    row("Dog/1", 7.0, input_sdr=-12.0, is_detected=False, sources=3),
    row("Rain/0", -1.0, input_sdr=20.0, is_detected=False, sources=2),
    row("Dog/0", 4.8, query="random-class"),
    row("Dog/0", 0.0, system="mixture", query=""),
]


def test_both_say_figures_the_paper_s_and_that_a_separator_is_blind(vocabulary: Vocabulary) -> None:
    result = result_of(ROWS)
    page = report_html([Run(result, ROWS)], vocabulary=vocabulary)
    text = report_markdown([Run(result, ROWS)], vocabulary=vocabulary)
    for told in (page, text):
        assert "hardly hears its condition" in told.replace("\n", " ")
        assert "10.57" in told
    assert "| engine | class-mean | 2.50 [1.09, 3.91] |" in text  # Rain has one item, and borrows from Dog
    assert "| -20 … -10 | 1 | 7.00 |" in text
    assert "| 0 … 5 | 1 | 5.00 |" in text
    assert "| 10 … | 1 | -1.00 |" in text
    assert "| detected | 1 | 5.00 |" in text
    assert "| 3 | 1 | 7.00 |" in text
    assert "| Animal | 2 | 6.00 |" in text


def test_names_of_data_are_no_markup(vocabulary: Vocabulary) -> None:
    rows = [row("<b>|/0", 5.0), row("c/0", None, reason="<script>")]
    result = result_of(rows)
    page = report_html([Run(result, rows)], vocabulary=vocabulary)
    assert "<script>" not in page
    assert "&lt;b&gt;|" in page


def test_what_is_kept_can_be_seen_and_heard(vocabulary: Vocabulary) -> None:
    heard = Heard(which="best", item_id="Dog/0", label="<Dog>", sdri=5.0)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 8000).astype(np.float32)
    sound = HeardSound(heard, dict.fromkeys(("mixture", "target", "estimate"), noise), 8000)
    page = report_html([Run(result_of(ROWS), ROWS, [sound])], vocabulary=vocabulary)
    assert "Best: &lt;Dog&gt;, 5.00 dB SDRi (Dog/0)" in page
    assert page.count("data:audio/mpeg") == page.count("data:image/png") == 3
    assert "UssRayPlayer.mount" in page


def test_what_is_of_scenes_is_their_mean(vocabulary: Vocabulary) -> None:
    rows = [
        replace(row(f"events/{number}", None, query="events"), scores={"ca_sdri": value}, undefined=())
        for number, value in enumerate((0.0, 0.0, 3.0))
    ]
    text = report_markdown([Run(result_of(rows), rows)], vocabulary=vocabulary)
    assert "CA-SDRi, mean" in text
    assert "| engine | events |  | 1.00 [" in text
