"""What a page plays, beside the sound that it should be of."""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCKS = 8
_TRIES = 5
_CAPTURE = """async ([at, blocks]) => {
  const player = [...UssRayPlayer.players].at(-1), { engine } = player;
  const begin = () => {
    player.pause();
    player.seek(at);
    return player.play();
  };
  engine.prepare();
  const { context, output } = engine;
  await (context.tapped ??= context.audioWorklet.addModule('/assets/recorder.js'));
  const tap = new AudioWorkletNode(context, 'recorder', { channelCount: 2, channelCountMode: 'explicit' }), heard = [];
  let again;
  try {
    await new Promise((resolve, reject) => {
      tap.port.onmessage = ({ data }) => heard.push(data) < 2 * blocks || resolve();
      player.pause();
      output.connect(tap);
      begin().catch(reject);
      again = setInterval(() => player.isPlaying || begin().catch(reject), 500);
    });
  } finally {
    clearInterval(again);
    tap.port.onmessage = null;
    output.disconnect(tap);
    player.pause();
  }
  return [0, 1].map(channel => heard.slice(blocks, 2 * blocks).flatMap(block => [...block[channel]]));
}"""


def is_heard(page: Any, at: float, expected: np.ndarray, *, within: float) -> bool:
    """Tell whether what the last player plays after some seconds is a piece of a sound, to an error.

    The tap is the page's own recorder, in the thread that renders: it misses nothing, however busy the machine is.
    Where a service was late, there is a gap in what it took, and it takes again: a player that is wrong is wrong again.
    """
    return any(
        _error(np.array(page.evaluate(_CAPTURE, [at, _BLOCKS])), expected) < within for _ in range(_TRIES)
    )


def _error(block: np.ndarray, expected: np.ndarray) -> float:
    """Give the largest difference at the place where the block fits best."""
    length = block.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(expected[0], 8)
    place = int(np.abs(windows[: expected.shape[1] - length + 1] - block[0, :8]).sum(axis=1).argmin())
    return float(np.abs(expected[:, place : place + length] - block).max())
