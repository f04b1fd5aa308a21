from __future__ import annotations

from xml.etree import ElementTree

from uss_ray.pipelines.training.curve import draw_curve


def test_losses_and_scores_are_drawn_over_their_steps() -> None:
    losses = [{"step": step, "loss": 1.0 / step} for step in range(1, 2001)]
    drawn = ElementTree.fromstring(draw_curve(losses, [{"step": 1000, "sdri_db": 3.0}]))
    lines = [line.attrib["points"].split() for line in drawn.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [500, 1]
    places = [tuple(map(float, point.split(","))) for point in lines[0]]
    assert places == sorted(places)  # to the right and, as y grows downwards, down
    assert places[-1] == (700.0, 240.0)
    assert lines[1][0].startswith("380.0,")
    titles = [
        text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text") if ":" in (text.text or "")
    ]
    assert titles == ["loss: 0.0005 at step 2000", "SDRi in dB, mean over classes: 3 at step 1000"]


def test_a_run_without_a_line_is_drawn_empty() -> None:
    assert ElementTree.fromstring(draw_curve([], [])) is not None
