"""The templates of pages and cards: where they lie, and the rules they all share."""

from __future__ import annotations

import functools

import jinja2


@functools.cache
def template(name: str, *, package: str = "uss_ray.results.report") -> jinja2.Template:
    """Give a template of a package; what it lacks is an error, and in a page what it is filled with is escaped."""
    is_page = name.endswith(".html.j2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=is_page,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not is_page,
    )
    return environment.get_template(name)
