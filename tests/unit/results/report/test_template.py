from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from uss_ray.results.report.template import template


def test_what_a_page_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        template("report.html.j2").render()
