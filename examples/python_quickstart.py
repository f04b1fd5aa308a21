"""Take a recording apart in memory, look at what sounds when, and write the sounds to files.

Run it in a checkout: `python examples/python_quickstart.py`; it takes some seconds and needs no GPU and no Ray.
"""

from __future__ import annotations

import numpy as np
import soundfile as sf

import uss_ray


def main() -> None:
    """Separate six seconds of a railway station."""
    waveform, rate = sf.read("examples/archive/station.flac", start=4 * 44_100, dtype="float32")
    separator = uss_ray.Separator.from_pretrained("starter")

    print("What sounds when:")
    for event in separator.tag(waveform, rate).to_pylist():
        print(f"  {event['start_seconds']:4.1f} to {event['end_seconds']:4.1f} s  {event['label']}")

    sounds = separator(waveform, rate, classes=["Speech"], name="station.flac")
    for name, sound in {**sounds, "what it leaves": sounds.residual}.items():
        print(f"{name}: {np.sqrt(np.mean(np.square(sound))):.4f} RMS")

    saved = sounds.save("out/quickstart", overwrite=True)
    print(f"Stems in {saved.folder}, page {saved.report}")


if __name__ == "__main__":
    main()
