"""`uss-ray train` and `uss-ray evaluate`: from a data set to weights, and from weights to figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from uss_ray.cli.display import progress_bar, say, show_table

Data = Annotated[
    Path,
    typer.Argument(help="Data set folder: audio/<split>, metadata/<split>_segments.csv.", show_default=False),
]

train_app = typer.Typer(help="Train weights from weak labels.", no_args_is_help=True)
evaluate_app = typer.Typer(help="Score weights.", no_args_is_help=True)


@train_app.command("starter", no_args_is_help=True)
def train_starter_weights(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DATA|ANCHORS",
            help="Data set: audio/train, metadata/train_segments.csv; or anchors: `uss-ray mine --conditions soft`.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Weights folder to write.", show_default=False)
    ],
    work: Annotated[
        Path, typer.Option("--work", help="Checkpoints; started again with the same folder, it goes on.")
    ] = Path("runs/starter"),
    weights: Annotated[
        str, typer.Option("--weights", help="Those that mined ANCHORS; their tagger goes into the new ones.")
    ] = "starter",
) -> None:
    """Train tagger and separator on one machine, as the weights in the package were; from ANCHORS the latter."""
    import logging

    from uss_ray.anchors.manifest import MANIFEST_NAME
    from uss_ray.pipelines.starter import train_starter, train_starter_from_anchors

    logging.getLogger("uss_ray").setLevel(logging.INFO)
    if (source / MANIFEST_NAME).is_file():
        folder = train_starter_from_anchors(source, output, weights=weights, work=work)
    else:
        folder = train_starter(source, output, work=work)
    say(f"Weights: {folder}")


@evaluate_app.command("separation", no_args_is_help=True)
def evaluate_separation_command(
    data: Data,
    weights: Annotated[str, typer.Option("--weights", help="Name, folder or URI.")] = "starter",
    query: Annotated[str, typer.Option("--query", help="class-mean, detected or oracle.")] = "class-mean",
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="List to score; default: the one drawn from the eval split."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file for the result.")] = None,
) -> None:
    """Score weights on two-source mixtures of the eval split: SDRi by class, and its mean."""
    from uss_ray.evaluation.protocol import QueryKind
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.pipelines.evaluate import evaluate_separation
    from uss_ray.store.store import Store

    vocabulary = Vocabulary.load()
    result = evaluate_separation(
        data, weights=weights, query=cast("QueryKind", query), pairs=pairs, vocabulary=vocabulary
    )
    rows = [
        (vocabulary.ontology.node(score.class_id).label, f"{score.sdri_db:.2f}", str(score.pairs))
        for score in sorted(result.classes, key=lambda score: -score.sdri_db)
    ]
    show_table(
        ("Class", "SDRi dB", "Pairs"),
        rows,
        title=f"{result.weights}, {query} query",
        right=("SDRi dB", "Pairs"),
    )
    say(f"Mean over {len(rows)} classes: {result.mean_sdri_db:.2f} dB ({result.pairs} mixtures)")
    say(result.metric)
    if output is not None:
        Store(output).put(result.to_json().encode())
        say(f"Result: {output}")


@evaluate_app.command("list", no_args_is_help=True)
def write_evaluation_list(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.", show_default=False)],
) -> None:
    """Draw the two-source list of the eval split from its true events; the same each time."""
    from uss_ray.pipelines.evaluate import write_list

    say(f"{write_list(data, output)} pairs: {output}")


@evaluate_app.command("mining", no_args_is_help=True)
def evaluate_mining_command(
    data: Data,
    weights: Annotated[str, typer.Option("--weights", help="Name, folder or URI.")] = "starter",
    split: Annotated[str, typer.Option("--split", help="Split to mine; choose settings on train.")] = "eval",
    anchors_per_label: Annotated[int, typer.Option("--anchors-per-label", help="Most anchors a label.")] = 1,
    min_probability: Annotated[float, typer.Option("--min-probability", help="Least score.")] = 0.1,
    min_purity: Annotated[float, typer.Option("--min-purity", help="Least purity.")] = 0.0,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file for the result.")] = None,
) -> None:
    """Measure how much of an anchor its true event covers, mined against random, where events are known."""
    from uss_ray.evaluation.coverage import evaluate_mining
    from uss_ray.mining.settings import MiningSettings
    from uss_ray.ontology.vocabulary import Vocabulary
    from uss_ray.store.store import Store
    from uss_ray.weights.folder import load_weights
    from uss_ray.weights.locate import locate_weights

    vocabulary = Vocabulary.load()
    settings = MiningSettings(
        anchors_per_label=anchors_per_label, min_probability=min_probability, min_purity=min_purity
    )
    with progress_bar("Mining", unit="clips") as advance:
        result = evaluate_mining(
            data,
            weights=load_weights(locate_weights(weights)),
            vocabulary=vocabulary,
            settings=settings,
            split=split,
            progress=advance,
        )
    rows = [
        (
            vocabulary.ontology.node(score.class_id).label,
            f"{score.mined:.2f}",
            f"{score.random:.2f}",
            f"{score.best:.2f}",
            f"{score.kept}/{score.places}",
            "" if score.kept_mined is None else f"{score.kept_mined:.2f}",
        )
        for score in sorted(result.classes, key=lambda score: -score.mined)
    ]
    columns = ("Class", "Mined", "Random", "Best", "Kept", "Mined, kept")
    show_table(columns, rows, title=f"{result.weights}, coverage of anchors, {split}", right=columns[1:])
    for name, means in (("All labels", result.everything), ("Kept anchors", result.kept)):
        say(
            f"{name}: mean over {means.places} anchors: mined {means.mined:.3f}, random {means.random:.3f}, "
            f"best {means.best:.3f}; over {means.classes} classes: mined {means.mined_by_class:.3f}, "
            f"random {means.random_by_class:.3f}, best {means.best_by_class:.3f}"
        )
    say(f"Left out: {result.labels_without_event} labels without a true event. {result.metric}")
    if output is not None:
        Store(output).put(result.to_json().encode())
        say(f"Result: {output}")
