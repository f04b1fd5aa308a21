"""Every command line of README, docs, benchmarks, Makefile and jobs means what it says."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from uss_ray.cli.main import COMMANDS
from uss_ray.config import merged, overlay, read_layers


def settings_of(path: Path) -> dict[str, Any]:
    return merged(read_layers(path))


ROOT = Path(__file__).parents[3]
STATION, BUCKET = "examples/archive/station.flac", "s3://BUCKET"
HELD_OUT = "benchmarks/lists/held_out_classes.txt"
STORE = {"endpoint": "https://s3.example.org"}
JOB_OF_THE_GUIDE = {
    "archive": f"{BUCKET}/archive",
    "request": {"output": f"{BUCKET}/separated", "query": {"levels": (1, 2, 3)}, "device": "cuda"},
    "options": {"actors": 32},
}


HARBOUR, FARM = "examples/archive/harbour.ogg", "examples/archive/farm by the brook.ogg"


def one(output: str, recording: str = STATION, **query: Any) -> dict[str, Any]:
    return {"recording": (recording,), "request": {"output": f"out/{output}", "query": query}}


DOCUMENTED: dict[str, dict[str, Any]] = {
    "separate my.wav -o out/my": {"recording": ("my.wav",), "request": {"output": "out/my"}},
    f"separate {STATION} -o out/events": one("events"),
    f"separate {STATION} -o out/one --levels 1 2 3": one("one", levels=(1, 2, 3)),
    f"separate {STATION} -o out/classes --classes Speech /m/07rv4dm --exclude Music": one(
        "classes", classes=("Speech", "/m/07rv4dm"), exclude=("Music",)
    ),
    f"separate {HARBOUR} -o out/harbour": one("harbour", HARBOUR),
    f"separate {HARBOUR} -o out/levels --levels 1 2 3": one("levels", HARBOUR, levels=(1, 2, 3)),
    f'separate "{FARM}" -o out/named --classes Horse /m/0j6m2 --exclude Speech': one(
        "named", FARM, classes=("Horse", "/m/0j6m2"), exclude=("Speech",)
    ),
    f'separate "{FARM}" -o out/text --text "a man speaking"': one("text", FARM, texts=("a man speaking",)),
    f"separate {STATION} -o out/example --query-dir out/wanted": one("example", example_folder="out/wanted"),
    f"separate {STATION} -o out/without --exclude Speech": one("without", exclude=("Speech",)),
    'separate examples/archive -o out/several --text "a man speaking" --json': {
        "recording": ("examples/archive",),
        "request": {"output": "out/several", "query": {"texts": ("a man speaking",)}},
        "extras": {"json": True},
    },
    f"separate {STATION} -o out/labels --labels audacity raven": {
        "recording": (STATION,),
        "request": {"output": "out/labels", "write": {"labels": ("audacity", "raven")}},
    },
    "calibrate --data DATA -o FOLDER": {"data": ("DATA",), "output": "FOLDER"},
    f"separate {STATION} -o OUT --levels 1 2 3 --write index-only": {
        "recording": (STATION,),
        "request": {"output": "OUT", "query": {"levels": (1, 2, 3)}, "write": {"write": "index-only"}},
    },
    "find out/labels --class Speech --labels rttm --labels-folder out/speech": {
        "output": "out/labels",
        "classes": ("Speech",),
        "labels": ("rttm",),
        "labels_folder": "out/speech",
    },
    "report out/demo": {"output": "out/demo"},
    "separate - -o - --classes Speech --format wav": {
        "recording": ("-",),
        "request": {"output": "-", "query": {"classes": ("Speech",)}, "write": {"stem_format": "wav"}},
    },
    "find out/demo/harbour.ogg --sort probability": {"output": "out/demo/harbour.ogg", "sort": "probability"},
    "separate RECORDING -o OUT --weights uss-resunet30": {
        "recording": ("RECORDING",),
        "request": {"output": "OUT", "weights": "uss-resunet30"},
    },
    "archive examples/archive out/archive --levels 1 2 3": {
        "archive": "examples/archive",
        "request": {"output": "out/archive", "query": {"levels": (1, 2, 3)}},
    },
    f"archive {BUCKET}/recordings {BUCKET}/separated --levels 1 2 --format opus "
    "--storage-endpoint https://s3.example.org": {
        "archive": f"{BUCKET}/recordings",
        "request": {
            "output": f"{BUCKET}/separated",
            "query": {"levels": (1, 2)},
            "write": {"stem_format": "opus"},
            "storage": STORE,
        },
    },
    "archive IN OUT": {"archive": "IN", "request": {"output": "OUT"}},
    "archive examples/archive out/archive --dry-run": {
        "archive": "examples/archive",
        "request": {"output": "out/archive"},
        "extras": {"dry_run": True},
    },
    "archive examples/archive out/archive --dry-run --trial": {
        "archive": "examples/archive",
        "request": {"output": "out/archive"},
        "extras": {"dry_run": True, "trial": True},
    },
    "archive examples/archive $(DEMO) --events --overwrite": {
        "archive": "examples/archive",
        "request": {"output": "$(DEMO)", "query": {"events": True}, "overwrite": True},
    },
    "archive configs/archive/index_only.yaml --threshold 0.3": {
        "archive": "examples/archive",
        "request": {
            "output": "out/index",
            "query": {"levels": (1, 2, 3, 4)},
            "write": {"write": "index-only", "report": False},
            "settings": {"threshold": 0.3},
        },
    },
    f"archive {BUCKET}/archive {BUCKET}/separated --levels 1 2 3 --actors 32 --device cuda": JOB_OF_THE_GUIDE,
    f"archive {BUCKET}/archive {BUCKET}/separated --actors 16 --device cuda": JOB_OF_THE_GUIDE
    | {"request": {"output": f"{BUCKET}/separated", "device": "cuda"}, "options": {"actors": 16}},
    "archive --help": {},
    "separate --help": {},
    "find out/demo --class Speech --min-probability 0.5": {
        "output": "out/demo",
        "classes": ("Speech",),
        "min_probability": 0.5,
    },
    'find out/demo --text "water running" --json': {
        "output": "out/demo",
        "texts": ("water running",),
        "json_lines": True,
    },
    "verify OUT": {"output": "OUT"},
    "verify out/demo": {"output": "out/demo"},
    "ontology --find dog": {"find": "dog"},
    "ontology --level 2 --weights starter": {"level": 2, "weights": "starter"},
    f"data check balanced_train_segments.csv {BUCKET}/audio": {
        "sources": ("balanced_train_segments.csv", f"{BUCKET}/audio")
    },
    f"mine balanced_train_segments.csv unbalanced_train_segments.csv {BUCKET}/audio {BUCKET}/anchors "
    "--conditions both": {
        "request": {
            "segments": ("balanced_train_segments.csv", "unbalanced_train_segments.csv"),
            "audio": f"{BUCKET}/audio",
            "output": f"{BUCKET}/anchors",
            "settings": {"conditions": "both"},
        }
    },
    "mine CSV AUDIO ANCHORS": {"request": {"segments": ("CSV",), "audio": "AUDIO", "output": "ANCHORS"}},
    "weights list": {},
    "weights show starter --classes": {"weights": "starter", "classes": True},
    "weights fetch uss-resunet30": {"name": "uss-resunet30"},
    "weights fetch starter-v1 --base s3://BUCKET/weights": {
        "name": "starter-v1",
        "base": f"{BUCKET}/weights",
    },
    "weights fetch htsat --base https://models.example.org/published": {
        "name": "htsat",
        "base": "https://models.example.org/published",
    },
    "calibrate --weights uss-resunet30 --data DATA -o FOLDER": {
        "weights": "uss-resunet30",
        "data": ("DATA",),
        "output": "FOLDER",
    },
    "mine SEGMENTS_CSV AUDIO OUT --detector htsat": {
        "request": {"segments": ("SEGMENTS_CSV",), "audio": "AUDIO", "output": "OUT", "weights": "htsat"}
    },
    "evaluate run mini --data SETS --weights FOLDER -o PAIRS": {
        "request": {"benchmark": "mini", "data": "SETS", "weights": "FOLDER", "output": "PAIRS"}
    },
    "evaluate run scenes --data SETS --weights FOLDER -o SCENES": {
        "request": {"benchmark": "scenes", "data": "SETS", "weights": "FOLDER", "output": "SCENES"}
    },
    'weights card FOLDER --results PAIRS SCENES --data SETS/one SETS/two --hours 0.3 --hardware "one GPU" '
    "--made-with COMMAND": {
        "weights": "FOLDER",
        "results": ("PAIRS", "SCENES"),
        "data": ("SETS/one", "SETS/two"),
        "hours": "0.3",
        "hardware": "one GPU",
        "made_with": "COMMAND",
    },
    f"data hold-out DATA/metadata/train_segments.csv --classes {HELD_OUT} -o known.csv": {
        "segments": ("DATA/metadata/train_segments.csv",),
        "classes": HELD_OUT,
        "output": "known.csv",
    },
    "train starter DATA --segments known.csv -o my-weights/known --work runs/known": {
        "source": "DATA",
        "segments": "known.csv",
        "output": "my-weights/known",
        "work": "runs/known",
    },
    f"evaluate list mini --data DATA --classes {HELD_OUT} -o unseen.parquet": {
        "benchmark": "mini",
        "data": "DATA",
        "classes": HELD_OUT,
        "output": "unseen.parquet",
    },
    f"evaluate list mini --data DATA --split train --classes {HELD_OUT} -o examples.parquet": {
        "benchmark": "mini",
        "data": "DATA",
        "split": "train",
        "classes": HELD_OUT,
        "output": "examples.parquet",
    },
    "evaluate run mini --data DATA --list unseen.parquet --train-list examples.parquet --query examples oracle "
    "--weights my-weights/known -o UNSEEN": {
        "request": {
            "benchmark": "mini",
            "data": "DATA",
            "list": "unseen.parquet",
            "train_list": "examples.parquet",
            "queries": ("examples", "oracle"),
            "weights": "my-weights/known",
            "output": "UNSEEN",
        }
    },
    "weights import Cnn14_mAP=0.431.pth -o my-weights/cnn14": {
        "file": "Cnn14_mAP=0.431.pth",
        "output": "my-weights/cnn14",
    },
    "weights import HTSAT_AudioSet_Saved_1.ckpt -o FOLDER": {
        "file": "HTSAT_AudioSet_Saved_1.ckpt",
        "output": "FOLDER",
    },
    "train starter DATA -o my-weights/starter": {"source": "DATA", "output": "my-weights/starter"},
    "mine SEGMENTS_CSV AUDIO anchors --detector DETECTOR --conditions soft": {
        "request": {
            "segments": ("SEGMENTS_CSV",),
            "audio": "AUDIO",
            "output": "anchors",
            "weights": "DETECTOR",
            "settings": {"conditions": "soft"},
        }
    },
    "anchors pack anchors packed": {"request": {"anchors": "anchors", "output": "packed"}},
    "train separator configs/train/base.yaml configs/train/small.yaml --anchors packed --weights DETECTOR -o runs/a": (
        overlay(
            overlay(
                settings_of(ROOT / "configs/train/base.yaml"),
                settings_of(ROOT / "configs/train/small.yaml"),
            ),
            {"request": {"anchors": "packed", "weights": "DETECTOR", "output": "runs/a"}},
        )
    ),
    "serve --no-auth": {"service": {"no_auth": True}},
    "serve --host 0.0.0.0 --tokens tokens.yaml --replicas 2": {
        "service": {"host": "0.0.0.0", "tokens": "tokens.yaml"},
        "options": {"replicas": 2},
    },
    "train show runs/a": {"run": "runs/a"},
    "train export runs/a -o my-weights/a": {"run": "runs/a", "output": "my-weights/a"},
    "mine unbalanced_train_segments.csv s3://BUCKET/audio s3://BUCKET/anchors --detector DETECTOR --conditions both": {
        "request": {
            "segments": ("unbalanced_train_segments.csv",),
            "audio": "s3://BUCKET/audio",
            "output": "s3://BUCKET/anchors",
            "weights": "DETECTOR",
            "settings": {"conditions": "both"},
        }
    },
    "anchors pack s3://BUCKET/anchors s3://BUCKET/packed": {
        "request": {"anchors": "s3://BUCKET/anchors", "output": "s3://BUCKET/packed"}
    },
    "train separator configs/train/base.yaml --anchors s3://BUCKET/packed --weights DETECTOR -o s3://BUCKET/runs/a "
    "--validation.data EVAL --workers 8": overlay(
        settings_of(ROOT / "configs/train/base.yaml"),
        {
            "request": {
                "anchors": "s3://BUCKET/packed",
                "weights": "DETECTOR",
                "output": "s3://BUCKET/runs/a",
                "validation": {"data": "EVAL"},
            },
            "options": {"workers": "8"},
        },
    ),
    "train show s3://BUCKET/runs/a": {"run": "s3://BUCKET/runs/a"},
    "train export s3://BUCKET/runs/a -o my-weights/a --best": {
        "run": "s3://BUCKET/runs/a",
        "output": "my-weights/a",
        "best": True,
    },
    "ablate my-base.yaml configs/ablations -o s3://BUCKET/ablations --seeds 3 --workers 8": {
        "request": {
            "base": "my-base.yaml",
            "overlays": ("configs/ablations",),
            "output": "s3://BUCKET/ablations",
            "seeds": 3,
        },
        "options": {"workers": 8},
    },
    "ablate BASE OVERLAYS -o OUT --seeds 3": {
        "request": {"base": "BASE", "overlays": ("OVERLAYS",), "output": "OUT", "seeds": 3}
    },
    "ablate my-base.yaml configs/ablations -o runs/ablations --seeds 3": {
        "request": {
            "base": "my-base.yaml",
            "overlays": ("configs/ablations",),
            "output": "runs/ablations",
            "seeds": 3,
        },
    },
    "train tagger examples/bioacoustics/tagger.yaml": settings_of(ROOT / "examples/bioacoustics/tagger.yaml"),
    "train export animals/runs/ear -o animals/ear": {"run": "animals/runs/ear", "output": "animals/ear"},
    "mine animals/metadata/train_segments.csv animals/audio/train animals/anchors --detector animals/ear --ontology "
    "animals/ontology.json --class-list animals/classes.csv --conditions soft --per-label 2": {
        "request": {
            "segments": ("animals/metadata/train_segments.csv",),
            "audio": "animals/audio/train",
            "output": "animals/anchors",
            "weights": "animals/ear",
            "ontology": "animals/ontology.json",
            "class_list": "animals/classes.csv",
            "settings": {"conditions": "soft", "anchors_per_label": 2},
        }
    },
    "anchors pack animals/anchors animals/packed": {
        "request": {"anchors": "animals/anchors", "output": "animals/packed"}
    },
    "train separator examples/bioacoustics/separator.yaml": settings_of(
        ROOT / "examples/bioacoustics/separator.yaml"
    ),
    "train export animals/runs/separator -o animals/weights --best": {
        "run": "animals/runs/separator",
        "output": "animals/weights",
        "best": True,
    },
    "separate animals/audio/eval/eval-frog-0.flac -o animals/out --weights animals/weights --ontology "
    "animals/ontology.json --class-list animals/classes.csv --classes Frog": {
        "recording": ("animals/audio/eval/eval-frog-0.flac",),
        "request": {
            "output": "animals/out",
            "weights": "animals/weights",
            "ontology": "animals/ontology.json",
            "class_list": "animals/classes.csv",
            "query": {"classes": ("Frog",)},
        },
    },
    "train starter ANCHORS --weights DETECTOR -o FOLDER": {
        "source": "ANCHORS",
        "weights": "DETECTOR",
        "output": "FOLDER",
    },
    "train starter DATA -o FOLDER": {"source": "DATA", "output": "FOLDER"},
    "evaluate run mini --data SETS --in-bands --limit 430 --allow-unknown -o RUN": {
        "request": {
            "benchmark": "mini",
            "data": "SETS",
            "networks": {"in_bands": True},
            "limit": 430,
            "allow_unknown": True,
            "output": "RUN",
        }
    },
    "evaluate run mini --data DATA --query class-mean -o RUN": {
        "request": {"benchmark": "mini", "data": "DATA", "queries": ("class-mean",), "output": "RUN"}
    },
    "evaluate run mini --data DATA --system engine gated --query class-mean detected oracle -o RUN": {
        "request": {
            "benchmark": "mini",
            "data": "DATA",
            "systems": ("engine", "gated"),
            "queries": ("class-mean", "detected", "oracle"),
            "output": "RUN",
        }
    },
    **{
        f"evaluate run {name} --data SETS --weights W --allow-unknown -o {run}": {
            "request": {
                "benchmark": name,
                "data": "SETS",
                "weights": "W",
                "allow_unknown": True,
                "output": run,
            }
        }
        for name, run in (("mini", "PAIRS-W"), ("scenes", "SCENES-W"))
    },
    "evaluate list mini --data SETS --vary-snr-db -10 -5 0 5 10 --vary-sources 2 3 4 6 --vary-seconds 0.5 1 2 4 8 "
    "-o curves.parquet": {
        "benchmark": "mini",
        "data": "SETS",
        "variation": {
            "snr_db": (-10.0, -5.0, 0.0, 5.0, 10.0),
            "sources": (2, 3, 4, 6),
            "seconds": (0.5, 1.0, 2.0, 4.0, 8.0),
        },
        "output": "curves.parquet",
    },
    "evaluate list mini --data SETS --vary-snr-db -10 -5 0 5 10 -o curves.parquet": {
        "benchmark": "mini",
        "data": "SETS",
        "variation": {"snr_db": (-10.0, -5.0, 0.0, 5.0, 10.0)},
        "output": "curves.parquet",
    },
    "evaluate run mini --data DATA --list LIST --system engine gated -o RUN": {
        "request": {
            "benchmark": "mini",
            "data": "DATA",
            "list": "LIST",
            "systems": ("engine", "gated"),
            "output": "RUN",
        }
    },
    "evaluate compare PAIRS-W PAIRS-V": {"one": "PAIRS-W", "other": "PAIRS-V"},
    "evaluate compare SCENES-W SCENES-V --measure ca_sdri": {
        "one": "SCENES-W",
        "other": "SCENES-V",
        "measure": "ca_sdri",
    },
    "evaluate check fsd50k --data FSD50K": {"benchmark": "fsd50k", "data": "FSD50K"},
    "evaluate list fsd50k --data FSD50K --protocol published -o fsd50k.parquet": {
        "benchmark": "fsd50k",
        "data": "FSD50K",
        "protocol": "published",
        "output": "fsd50k.parquet",
    },
    "evaluate list fsd50k --data FSD50K --protocol published --split train -o fsd50k-train.parquet": {
        "benchmark": "fsd50k",
        "data": "FSD50K",
        "protocol": "published",
        "split": "train",
        "output": "fsd50k-train.parquet",
    },
    "evaluate run fsd50k --data FSD50K --list fsd50k.parquet --train-list fsd50k-train.parquet "
    "--query class-mean oracle -o RUN": {
        "request": {
            "benchmark": "fsd50k",
            "data": "FSD50K",
            "list": "fsd50k.parquet",
            "train_list": "fsd50k-train.parquet",
            "queries": ("class-mean", "oracle"),
            "output": "RUN",
        }
    },
    "evaluate list mini --data SETS -o mini.parquet": {
        "benchmark": "mini",
        "data": "SETS",
        "output": "mini.parquet",
    },
    "evaluate run mini --data SETS --list mini.parquet --allow-unknown --limit 430 -o RUN": {
        "request": {
            "benchmark": "mini",
            "data": "SETS",
            "list": "mini.parquet",
            "allow_unknown": True,
            "limit": 430,
            "output": "RUN",
        }
    },
    "evaluate list mini --data audioset_mini -o mini.parquet": {
        "benchmark": "mini",
        "data": "audioset_mini",
        "output": "mini.parquet",
    },
    "evaluate run mini --data audioset_mini --list mini.parquet --limit 240 --query class-mean oracle detected "
    "--system engine published -o RUN": {
        "request": {
            "benchmark": "mini",
            "data": "audioset_mini",
            "list": "mini.parquet",
            "limit": 240,
            "queries": ("class-mean", "oracle", "detected"),
            "systems": ("engine", "published"),
            "output": "RUN",
        }
    },
    "evaluate run scenes --data audioset_mini --limit 12 --query class-mean oracle --system engine published "
    "-o RUN": {
        "request": {
            "benchmark": "scenes",
            "data": "audioset_mini",
            "limit": 12,
            "queries": ("class-mean", "oracle"),
            "systems": ("engine", "published"),
            "output": "RUN",
        }
    },
    "evaluate compare RUN OTHER": {"one": "RUN", "other": "OTHER"},
    "evaluate report RUN OTHER -o PAGES": {"runs": ("RUN", "OTHER"), "output": "PAGES"},
    "evaluate mining DATA": {"data": "DATA"},
    "calibrate --data DATA --corrections corrections.json -o better": {
        "data": ("DATA",),
        "corrections": ("corrections.json",),
        "output": "better",
    },
    "completion bash": {"shell": "bash"},
}
"""What each line is read as, beside the defaults."""

MORE: dict[str, dict[str, Any]] = {
    "separate a.wav -o out --levels 1,2 3": {
        "recording": ("a.wav",),
        "request": {"output": "out", "query": {"levels": (1, 2, 3)}},
    },
    "separate --levels 1 2 a.wav --output=out": {
        "recording": ("a.wav",),
        "request": {"output": "out", "query": {"levels": (1, 2)}},
    },
    "separate --classes Dog Speech --union -o out a.wav": {
        "recording": ("a.wav",),
        "request": {"output": "out", "query": {"classes": ("Dog", "Speech"), "union": True}},
    },
    "separate a.wav -o out --channels independent --consistency --condition detected --threshold 0.4": {
        "recording": ("a.wav",),
        "request": {
            "output": "out",
            "settings": {
                "channel_mode": "independent",
                "mixture_consistency": True,
                "condition": "detected",
                "threshold": 0.4,
            },
        },
    },
    "separate a.wav -o out --write active-spans --format wav --no-residual --no-report --overwrite": {
        "recording": ("a.wav",),
        "request": {
            "output": "out",
            "overwrite": True,
            "write": {"write": "active-spans", "stem_format": "wav", "residual": False, "report": False},
        },
    },
    "separate a.wav -o out --batch-size 8 --precision bfloat16 --device cpu --ontology o.json --class-list c.csv": {
        "recording": ("a.wav",),
        "request": {
            "output": "out",
            "device": "cpu",
            "ontology": "o.json",
            "class_list": "c.csv",
            "networks": {"batch_size": 8, "precision": "bfloat16"},
        },
    },
    "separate a.wav -o out --storage-profile p --storage-region r --storage-patience 2.5": {
        "recording": ("a.wav",),
        "request": {"output": "out", "storage": {"profile": "p", "region": "r", "patience_seconds": 2.5}},
    },
    "archive in --limit 3 out --shard 1/4 --retry-failed --max-failed-fraction 0.1 --address auto": {
        "archive": "in",
        "request": {"output": "out"},
        "options": {
            "limit": 3,
            "shard": (1, 4),
            "retry_failed": True,
            "max_failed_fraction": 0.1,
            "address": "auto",
        },
    },
    "archive in out/ --version b --threads 2 --actors-per-gpu 3 --span-seconds 60 --verbose": {
        "archive": "in",
        "request": {"output": "out/b", "span_seconds": 60},
        "options": {"threads": 2, "actors_per_gpu": 3, "verbose": True},
        "extras": {"version": "b"},
    },
    "mine a.csv audio out --detector panns --purity 0.5 --silence -50 --per-label 2 --min-probability 0.2": {
        "request": {
            "segments": ("a.csv",),
            "audio": "audio",
            "output": "out",
            "weights": "panns",
            "settings": {
                "min_purity": 0.5,
                "anchors_per_label": 2,
                "min_probability": 0.2,
                "silence": {"anchor_rejected_below_rms_dbfs": -50.0},
            },
        }
    },
    "mine a.csv audio out --silence -inf --mode random --seed 3 --compile --no-report --shard 2/2 --limit 5": {
        "request": {
            "segments": ("a.csv",),
            "audio": "audio",
            "output": "out",
            "compiled": True,
            "report": False,
            "settings": {"mode": "random", "seed": 3, "silence": {"anchor_rejected_below_rms_dbfs": None}},
        },
        "options": {"shard": (2, 2), "limit": 5},
    },
    "mine a.csv audio out --container tar --id-column ytid --audio-column sound --batch-size 8 --precision tfloat32": {
        "request": {
            "segments": ("a.csv",),
            "audio": "audio",
            "output": "out",
            "container": "tar",
            "precision": "tfloat32",
            "columns": {"clip_id": "ytid", "audio": "sound"},
            "settings": {"batch_size": 8},
        }
    },
    "find out --status written --status silent --exact --min-seconds 2 --limit 7 --csv": {
        "output": "out",
        "statuses": ("written", "silent"),
        "exact": True,
        "min_seconds": 2,
        "limit": 7,
        "csv_rows": True,
    },
    "data check a.csv audio --sample 0 --problems p.csv --container files --json": {
        "sources": ("a.csv", "audio"),
        "sample": 0,
        "problems": "p.csv",
        "container": "files",
        "json_lines": True,
    },
    "archive in -o out --json": {"archive": "in", "request": {"output": "out"}, "extras": {"json": True}},
    "mine a.csv b.csv audio -o anchors --weights w --min-purity 0.5": {
        "request": {
            "segments": ("a.csv", "b.csv"),
            "audio": "audio",
            "output": "anchors",
            "weights": "w",
            "settings": {"min_purity": 0.5},
        }
    },
    "find out --classes Dog --recording a.wav --recording tapes/* --sort seconds": {
        "output": "out",
        "classes": ("Dog",),
        "recordings": ("a.wav", "tapes/*"),
        "sort": "seconds",
    },
    "weights import a.pth -o out --kind panns-cnn14": {
        "file": "a.pth",
        "output": "out",
        "kind": "panns-cnn14",
    },
    "train starter DATA -o out --work runs/x": {"source": "DATA", "output": "out", "work": "runs/x"},
    "evaluate list DATA -o pairs.csv": {"benchmark": "DATA", "output": "pairs.csv"},
    "evaluate mining DATA --split train --anchors-per-label 2 --min-probability 0 --min-purity 0.3 --weights w": {
        "data": "DATA",
        "split": "train",
        "weights": "w",
        "settings": {"anchors_per_label": 2, "min_probability": 0, "min_purity": 0.3},
    },
}
"""Flags that no line of the documentation shows."""


def command_of(words: list[str]) -> tuple[str, list[str]]:
    name = " ".join(words[:2])
    return (name, words[2:]) if name in COMMANDS else (words[0], words[1:])


def lines_of_the_documentation() -> set[str]:
    """Find all in blocks of code, in backticks and in entry points, without comments, prompts and continuations."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile", ROOT / "deploy/rayjob.yaml"]
    files += [ROOT / "benchmarks/README.md"]
    files += [ROOT / "deploy/Dockerfile", *sorted((ROOT / "docs").glob("*.md"))]
    found: set[str] = set()
    for file in files:
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = re.findall(r"^[^`\n]*?(?:^|/)uss-ray ([a-z].*)$", text, re.MULTILINE)
        lines += re.findall(r"`uss-ray ([^`|…]+)`", text)
        lines += [f"archive {rest}" for rest in re.findall(r"python -m jobs\.separate_archive(.*)", text)]
        lines += [
            f"mine {rest}" for rest in re.findall(r"python -m jobs\.mine_anchors (?!SEGMENTS)(.+)", text)
        ]
        for line in lines:
            words = " ".join(re.sub(r"\s+#.*|[<>].*", "", line).split())
            if len(words.split()) > 1 and "config.yaml" not in words:
                found.add(words)
    return found


GENERAL = {"--print-config", "--quiet", "--verbose", "--debug"}
"""All commands know these; the help of the program has them."""


def test_every_line_of_the_documentation_is_in_the_table():
    missing = lines_of_the_documentation() - {*DOCUMENTED, *COMMANDS}
    assert not missing, "add to DOCUMENTED what each of these lines means"


@pytest.mark.parametrize(("line", "changes"), [*DOCUMENTED.items(), *MORE.items()])
def test_a_line_is_read_as_what_it_means(line, changes, capsys):
    name, arguments = command_of(shlex.split(line))
    entry = COMMANDS[name]
    command = getattr(import_module(f"uss_ray.cli.{entry.module}"), entry.command)
    if "--help" in arguments:
        with pytest.raises(SystemExit):
            command.read(arguments)
        assert capsys.readouterr().out.startswith(f"usage: uss-ray {name}")
        return
    shown = {option for flag in command.shown_flags() for option in flag.options}
    typed = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
    if line in DOCUMENTED:  # names of before, and of elsewhere, are understood but stand in no help (ADR 47)
        assert typed <= shown | GENERAL
    settings, extras = command.read(arguments)
    expected = dict(changes)
    assert extras == expected.pop("extras", {})
    assert settings == command.model(**expected)
