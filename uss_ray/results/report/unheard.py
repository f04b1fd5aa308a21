"""What has no lane in a player, because nothing was heard of it, in the words of reports and the service's page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from uss_ray.results.index.table import IndexRow
from uss_ray.results.report.template import template

_NAMED = 24  # the most probable; the rest is folded away


def unheard_markup(rows: Sequence[IndexRow], *, heard: bool) -> Markup:
    """Make the markup that tells what was looked for and is silent, absent or unknown, and what failed.

    Parameters
    ----------
    rows : sequence of IndexRow
        Of one recording.
    heard : bool
        Whether anything has a lane.

    Returns
    -------
    Markup
        Its style is in `player.css`.
    """
    quiet = [row for row in rows if row.status in ("silent", "absent") and row.kind != "residual"]
    quiet.sort(key=lambda row: (row.status == "absent", -(row.probability or 0.0)))
    return Markup(
        template("unheard.html.j2").render(
            heard=heard,
            failed=[row for row in rows if row.status == "failed"],
            near=quiet[:_NAMED],
            far=quiet[_NAMED:],
            unknown=[row for row in rows if row.status == "unknown"],
            is_rest_silent=any(row.status == "silent" and row.kind == "residual" for row in rows),
        )
    )
