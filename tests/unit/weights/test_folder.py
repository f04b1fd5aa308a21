"""A weights folder is read back bit for bit, and anything missing, altered or left over is refused by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from uss_ray.config import Settings
from uss_ray.errors import ConfigError, OccupiedError, OutputError, WeightsError
from uss_ray.models import registry
from uss_ray.models.conv_tasnet import ConvTasNet
from uss_ray.models.network_settings import AdaptorConfig, ConvTasNetConfig, ResUNetConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.query_net import Adaptor
from uss_ray.models.resunet import ResUNet
from uss_ray.models.specifications import ClassCalibration, ClassListId, Condition
from uss_ray.weights.folder import check_free, read_folder, save_weights, specify

CLASS_IDS = tuple(f"/m/{index}" for index in range(6))
NARROW = PannsConfig(classes=6, block_channels=(4, 8), embedding_size=10)
SMALL = ResUNetConfig(condition_size=6, channels=(4, 6), bottleneck_channels=6, stem_channels=4)


def randomised(module: Any, seed: int) -> Any:
    draw = torch.Generator().manual_seed(seed)
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(0.1 + torch.rand(value.shape, generator=draw))
        elif key.endswith("num_batches_tracked"):
            value.fill_(seed)
    return module.eval()


@pytest.fixture
def networks() -> dict[Any, Any]:
    return {"tagger": randomised(Panns(NARROW), 1), "separator": randomised(ResUNet(SMALL), 2)}


CLASS_MEANS = {4: torch.rand(6), 1: torch.rand(6)}


def save(folder: Path, networks: dict[Any, Any], **others: Any) -> Path:
    if "specifications" not in others:
        others["specifications"] = specify(
            networks, segment_seconds=2.0, class_list=ClassListId.of(CLASS_IDS)
        )
    return save_weights(folder, networks, **({"name": "tiny"} | others))


@pytest.fixture
def folder(tmp_path: Path, networks: dict[Any, Any]) -> Path:
    return save(tmp_path / "tiny", networks, class_means=CLASS_MEANS, model_card="# tiny\n")


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def rewrite(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a file and record its new hash, so that only the tensors are wrong."""
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    edit(folder, lambda config: config["files"].update({name: digest}))


def test_what_is_written_is_read_back(folder: Path, networks: dict[Any, Any]) -> None:
    weights = read_folder(folder)
    for key in ("tagger", "separator"):
        written, read = networks[key].state_dict(), getattr(weights, key).state_dict()
        assert written.keys() == read.keys()
        assert all(torch.equal(written[name], read[name]) for name in written)
    assert weights.name == "tiny"
    assert weights.specifications == specify(
        networks, segment_seconds=2.0, class_list=ClassListId.of(CLASS_IDS)
    )
    assert weights.specifications.condition == Condition(kind="soft", size=6)
    assert weights.networks.keys() == {"tagger", "separator"}
    assert weights.sha256 == hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    assert weights.class_means is not None
    assert list(weights.class_means) == [1, 4]
    assert torch.equal(weights.class_means[4], CLASS_MEANS[4])
    assert weights.query_net is not None
    assert not weights.query_net.training
    assert weights.detector is None
    assert (folder / "MODEL_CARD.md").read_text() == "# tiny\n"


def test_the_loaded_separator_gives_the_same_waveform(folder: Path, networks: dict[Any, Any]) -> None:
    mixture, condition = torch.randn(1, 4000), torch.rand(1, 6)
    with torch.no_grad():
        assert torch.equal(
            read_folder(folder).separator(mixture, condition), networks["separator"](mixture, condition)
        )


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    read_folder(folder)
    assert torch.equal(torch.rand(1), expected)


def test_half_precision_halves_matrices_and_keeps_statistics(
    tmp_path: Path, networks: dict[Any, Any]
) -> None:
    networks["tagger"].norm.running_var.fill_(1e-7)
    folder = save(tmp_path / "half", networks, dtype="float16")
    stored = load_file(folder / "tagger.safetensors")
    assert stored["classify.weight"].dtype == torch.float16
    assert stored["log_mel.filters"].dtype == torch.float32
    weights = read_folder(folder)
    assert weights.tagger is not None
    assert torch.equal(weights.tagger.norm.running_var, networks["tagger"].norm.running_var)
    assert weights.tagger.classify.weight.dtype == torch.float32
    assert torch.equal(weights.tagger.classify.weight, networks["tagger"].classify.weight.half().float())


def test_values_that_half_precision_cannot_hold_are_refused(tmp_path: Path, networks: dict[Any, Any]) -> None:
    with torch.no_grad():
        networks["tagger"].classify.weight[0, 0] = 1e6
    with pytest.raises(ConfigError, match=r"tagger classify\.weight"):
        save(tmp_path / "half", networks, dtype="float16")
    assert list(tmp_path.iterdir()) == []


def test_a_tagger_with_a_frame_head_is_the_detector_too(tmp_path: Path) -> None:
    tagger = Panns(PannsConfig(classes=6, block_channels=(4, 8), embedding_size=10, head="frame"))
    folder = save(tmp_path / "one", {"tagger": tagger, "detector": tagger})
    weights = read_folder(folder)
    assert weights.detector is weights.tagger
    assert not (folder / "detector.safetensors").exists()


def test_an_adaptor_sets_the_condition(tmp_path: Path) -> None:
    adaptor = Adaptor(AdaptorConfig(bottleneck_size=10, hidden_size=7, condition_size=3))
    networks: dict[Any, Any] = {"tagger": Panns(NARROW), "adaptor": adaptor}
    specifications = specify(networks, segment_seconds=2.0, condition_kind="latent")
    weights = read_folder(save(tmp_path / "a", networks, specifications=specifications))
    assert weights.specifications.condition == Condition(kind="latent", size=3)
    assert weights.query_net is not None
    assert weights.query_net(torch.randn(2, 4000)).shape == (2, 3)


def test_a_separator_in_the_time_domain_is_one_too(tmp_path: Path) -> None:
    separator = ConvTasNet(
        ConvTasNetConfig(condition_size=6, filters=8, channels=4, hidden_channels=6, stack_blocks=2, stacks=1)
    )
    weights = read_folder(save(tmp_path / "time", {"tagger": Panns(NARROW), "separator": separator}))
    assert isinstance(weights.separator, ConvTasNet)
    mixture, condition = torch.randn(1, 4000), torch.rand(1, 6)
    with torch.no_grad():
        assert torch.equal(weights.separator(mixture, condition), separator(mixture, condition))


class GainConfig(Settings):
    architecture: Literal["gain"] = "gain"
    condition_size: int = 6
    sample_rate: int = 32_000


class Gain(torch.nn.Linear):
    """A separator that no module of ours knows: louder or softer, as the condition says."""

    def __init__(self, config: GainConfig) -> None:
        super().__init__(config.condition_size, 1)
        self.config, self.sample_rate, self.condition_size = config, config.sample_rate, config.condition_size

    def forward(self, mixture: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return mixture * super().forward(condition)


def test_a_network_from_outside_is_written_and_read_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_architectures", dict(registry._architectures))
    registry.register("separator", GainConfig)(Gain)
    separator = Gain(GainConfig())
    folder = save(tmp_path / "gain", {"tagger": Panns(NARROW), "separator": separator})
    loaded = read_folder(folder).separator
    assert isinstance(loaded, Gain)
    assert torch.equal(loaded.weight, separator.weight)
    monkeypatch.undo()
    with pytest.raises(
        WeightsError,
        match=r"expected resunet or banded-resunet or unet or open-unmix or conv-tasnet or band-split, found 'gain'",
    ):
        read_folder(folder)


def test_another_class_list_is_refused(folder: Path) -> None:
    weights = read_folder(folder)
    weights.check_classes(CLASS_IDS)
    with pytest.raises(WeightsError, match="expected a class list of 6, found one of 5"):
        weights.check_classes(CLASS_IDS[:5])
    with pytest.raises(WeightsError, match="another order"):
        weights.check_classes(CLASS_IDS[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(colour="red"), r"colour\): expected a known setting"),
        (lambda c: c.pop("name"), r"name\): expected a value, found none"),
        (lambda c: c.update(name=""), r"name\): expected "),
        (lambda c: c.update(format_version=3), r"format_version\): expected 2, found 3"),
        (
            lambda c: c["specifications"].pop("sample_rate"),
            r"specifications sample_rate\): expected a value",
        ),
        (
            lambda c: c["specifications"].update(sample_rate="32000"),
            r"sample_rate\): expected a whole number",
        ),
        (lambda c: c["specifications"].update(sample_rate=True), r"sample_rate\): expected a whole number"),
        (
            lambda c: c["specifications"].update(sample_rate=16000),
            r"tagger sample_rate\): expected 16000, .*found 32000",
        ),
        (lambda c: c["specifications"].update(segment_seconds=0), r"segment_seconds\): expected more than 0"),
        (lambda c: c["specifications"].update(colour="red"), r"specifications colour\): expected a known"),
        (lambda c: c.update(dtype="int8"), r"dtype\): expected 'float32', 'float16' or 'bfloat16'"),
        (lambda c: c.update(source="text"), r"source\): expected values by their names"),
        (
            lambda c: c["specifications"]["condition"].update(kind="loud"),
            r"condition kind\): expected 'hard', 'soft' or 'latent'",
        ),
        (
            lambda c: c["specifications"]["condition"].update(size=7),
            r"condition_size\): expected 7, .*found 6",
        ),
        (lambda c: c["specifications"]["condition"].update(shape=7), r"condition shape\): expected a known"),
        (lambda c: c.update(tagger="panns"), r"tagger\): expected values by their names"),
        (lambda c: c["tagger"].pop("head"), r"tagger \(tagger\): .*found no head"),
        (lambda c: c["tagger"].update(width=3), r"tagger \(panns config width\): expected a known setting"),
        (lambda c: c["tagger"].update(classes=6.5), r"classes\): expected a whole number, found 6\.5"),
        (lambda c: c["tagger"].update(block_channels=4), r"block_channels\): expected a list"),
        (lambda c: c["tagger"].update(classes=-6), r"classes\): expected at least 1, found -6"),
        (lambda c: c["tagger"].update(min_hertz=-1), r"min_hertz\): expected at least 0, found -1"),
        (lambda c: c["tagger"].update(head="both"), r"head\): expected 'clip' or 'frame', found 'both'"),
        (
            lambda c: c["tagger"].update(embedding_size=11),
            r"tagger\.safetensors embed\.weight: expected shape",
        ),
        (lambda c: c["tagger"].update(embedding_size=10**13), r"tagger \(tagger\): expected sizes that fit"),
        (lambda c: c["tagger"].update(embedding_size=10**30), r"tagger \(tagger\): expected sizes that fit"),
        (
            lambda c: c["tagger"].update(architecture="resnet"),
            r"tagger architecture\): expected panns or htsat, found 'resnet'",
        ),
        (lambda c: c["tagger"].update(architecture=["htsat"]), r"architecture\): expected panns or htsat"),
        (
            lambda c: c["tagger"].update(architecture="htsat"),
            r"tagger \(tagger\): expected every setting of the architecture, found no channels, ",
        ),
        (
            lambda c: c["separator"].update(architecture="panns"),
            r"separator architecture\): expected resunet or banded-resunet or .*, found 'panns'",
        ),
        (lambda c: c.pop("tagger"), r"files: .*1 unknown \(tagger\.safetensors\)"),
        (lambda c: c["files"].pop("tagger.safetensors"), r"files: .*1 missing \(tagger\.safetensors\)"),
        (lambda c: c["files"].update({"tagger.safetensors": "0" * 64}), f"expected sha256 {'0' * 64}"),
        (
            lambda c: c["specifications"].update(class_list={"count": 6}),
            r"class list id sha256\): expected a value",
        ),
        (lambda c: c.pop("files"), r"files\): expected a value"),
        (lambda c: c["files"].update({"tagger.safetensors": "x"}), r"files\.tagger\.safetensors\): "),
    ],
)
def test_a_wrong_config_is_refused_by_name(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(folder, change)
    with pytest.raises(WeightsError, match=message) as caught:
        read_folder(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("embed.bias"), r"1 missing \(embed\.bias\)"),
        (lambda t: t.update(more=torch.zeros(1)), r"1 unknown \(more\)"),
        (
            lambda t: t.update({"embed.bias": torch.zeros(3)}),
            r"embed\.bias: expected shape \(10,\), found shape \(3,\)",
        ),
        (lambda t: t.update({"embed.bias": torch.zeros(10).half()}), r"embed\.bias: expected torch\.float32"),
        (lambda t: t.clear() or t.update(a=torch.zeros(1)), r"missing \(.*, …\) and 1 unknown \(a\)"),
    ],
)
def test_wrong_tensors_are_refused_by_name(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    rewrite(folder, "tagger.safetensors", change)
    with pytest.raises(WeightsError, match=message):
        read_folder(folder)


def test_an_altered_a_missing_and_a_foreign_file_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "separator.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(
        WeightsError, match=r"separator\.safetensors: expected sha256 \w{64}, found sha256 \w{64}"
    ):
        read_folder(folder)
    path.unlink()
    with pytest.raises(WeightsError, match=r"separator\.safetensors: .* found nothing there"):
        read_folder(folder)
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path / "absent"))):
        read_folder(tmp_path / "absent")
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="expected a JSON object"):
        read_folder(folder)


def test_a_place_is_looked_at_before_any_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for free in ("empty", "new"):
        check_free(tmp_path / free, overwrite=False)
    check_free(folder, overwrite=True)
    with pytest.raises(OccupiedError, match=r"expected no weights yet \(--overwrite replaces them\)"):
        check_free(folder, overwrite=False)
    (tmp_path / "empty" / "holiday.jpg").write_bytes(b"")
    (tmp_path / "file").write_bytes(b"")
    for foreign, found in (("empty", r"holiday\.jpg in it"), ("file", "Not a directory")):
        with pytest.raises(OutputError, match=found):
            check_free(tmp_path / foreign, overwrite=True)


def test_an_older_folder_is_replaced_and_a_foreign_one_is_not(folder: Path, networks: dict[Any, Any]) -> None:
    before = read_folder(folder).sha256
    save(folder, networks, name="newer")
    assert read_folder(folder).sha256 != before
    (folder / "holiday.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match=r"holiday\.jpg"):
        save(folder, networks, name="newest")
    assert read_folder(folder).name == "newer"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tagger, separator = Panns(NARROW), ResUNet(ResUNetConfig(condition_size=5, channels=(4, 6)))
    with pytest.raises(ConfigError, match=r"query net condition_size: expected 5, .*found 6"):
        save(tmp_path / "x", {"tagger": tagger, "separator": separator})
    with pytest.raises(ConfigError, match="expected a tagger, detector or separator, found none"):
        save(tmp_path / "x", {})
    with pytest.raises(ConfigError, match="adaptor: expected a tagger before it"):
        save(tmp_path / "x", {"adaptor": Adaptor(AdaptorConfig()), "separator": separator})
    with pytest.raises(ConfigError, match=r"detector sample_rate: expected 32000, .*found 16000"):
        save(tmp_path / "x", {"tagger": tagger, "detector": Panns(NARROW.replace(sample_rate=16_000))})
    with pytest.raises(ConfigError, match=r"class_means\[3\]: expected shape \(6,\)"):
        save(tmp_path / "x", {"tagger": tagger}, class_means={3: torch.rand(5)})
    with pytest.raises(ConfigError, match="segment_seconds"):
        specify({"tagger": tagger}, segment_seconds=-1)
    with pytest.raises(ConfigError, match="separator: expected a network of"):
        save_weights(
            tmp_path / "x",
            {"tagger": tagger, "separator": torch.nn.Identity()},
            name="x",
            specifications=specify({"tagger": tagger}, segment_seconds=2.0),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_listed_file_that_belongs_to_no_network_is_refused(folder: Path) -> None:
    edit(folder, lambda c: c["files"].update({"more.safetensors": "0" * 64}))
    with pytest.raises(WeightsError, match=r"files: expected one of each network, found 1 unknown \(more"):
        read_folder(folder)


def test_a_calibration_travels_with_the_weights_and_is_read_strictly(tmp_path: Path, networks: Any) -> None:
    calibration = (ClassCalibration(class_index=1, slope=0.5, offset=-0.25, threshold=0.3),)
    specifications = specify(networks, segment_seconds=2.0, calibration=calibration)
    folder = save_weights(tmp_path / "w", networks, name="w", specifications=specifications)
    assert read_folder(folder).specifications.calibration == calibration
    config = json.loads((folder / "config.json").read_text())
    config["specifications"]["calibration"][0]["threshold"] = 2.0
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="calibration"):
        read_folder(folder)
