"""wav2vec 2.0 as a network that hears queries: an example of one that was made for something else.

pip install ./examples/wav2vec
python -m uss_ray_wav2vec -o wav2vec-weights                 downloads torchaudio's WAV2VEC2_BASE
uss-ray train separator my-base.yaml configs/ablations/query_foreign_wav2vec.yaml --query-weights wav2vec-weights
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

import torchaudio
from torch import Tensor
from torchaudio.functional import resample

from uss_ray.config import Count, Settings
from uss_ray.models.registry import register
from uss_ray.models.tagging import AudioTagger, Tagging
from uss_ray.weights.folder import save_weights, specify

HEARD_RATE = 16_000
CONV_LAYERS = [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]


class Wav2VecConfig(Settings):
    """Size of the network, by default that of WAV2VEC2_BASE."""

    architecture: Literal["wav2vec"] = "wav2vec"
    embedding_size: Count = 768
    layers: Count = 12
    heads: Count = 12
    hidden_size: Count = 3072
    sample_rate: Count = 32_000
    classes: Count = 1
    head: Literal["clip"] = "clip"

    @property
    def frames_per_second(self) -> float:
        """It tags no frames."""
        return 0.0


@register("tagger", Wav2VecConfig)
class Wav2Vec(AudioTagger):
    """The mean over time of what the last layer makes of a sound; it knows no classes."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.config: Any = config
        self.network = torchaudio.models.wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=CONV_LAYERS,
            extractor_conv_bias=False,
            encoder_embed_dim=config.embedding_size,
            encoder_projection_dropout=0.1,
            encoder_pos_conv_kernel=128,
            encoder_pos_conv_groups=16,
            encoder_num_layers=config.layers,
            encoder_num_heads=config.heads,
            encoder_attention_dropout=0.1,
            encoder_ff_interm_features=config.hidden_size,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=0.1,
            encoder_layer_norm_first=False,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )

    def forward(self, waveform: Tensor) -> Tagging:
        """See `AudioTagger`."""
        frames, _ = self.network(resample(waveform, self.config.sample_rate, HEARD_RATE))
        return Tagging(waveform.new_zeros(len(waveform), 1), frames.mean(dim=1), None)


def write(network: Wav2Vec, folder: Path, *, segment_seconds: float = 2.0) -> Path:
    """Write its weights folder."""
    networks = {"tagger": network}
    specifications = specify(networks, segment_seconds=segment_seconds)
    return save_weights(folder, networks, name="wav2vec", specifications=specifications)


def main() -> None:
    """Download, and write the weights folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    output = parser.parse_args().output
    network = Wav2Vec(Wav2VecConfig())
    network.network.load_state_dict(torchaudio.pipelines.WAV2VEC2_BASE.get_model().state_dict())
    print(write(network, output))


if __name__ == "__main__":
    main()
