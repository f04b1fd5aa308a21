from __future__ import annotations

import errno
import io
import tempfile

import numpy as np
import pytest
import soundfile as sf
import torch

from uss_ray.api.inputs import input_of, is_several
from uss_ray.errors import ConfigError, RecordingError

RATE = 8000


def read(given):
    with given.opened() as opened:
        return np.concatenate(list(opened.reader.blocks(1000)), axis=1), opened.reader.spec


@pytest.mark.parametrize(
    ("array", "expected", "subtype"),
    [
        (np.array([-32768, 16384], np.int16), [-1.0, 0.5], "PCM_16"),
        (np.array([-(2**31), 2**30], np.int32), [-1.0, 0.5], "PCM_32"),
        (np.array([-0.25, 1.5], np.float32), [-0.25, 1.5], "FLOAT"),
        (np.array([-0.25, 1.5], np.float64), [-0.25, 1.5], "FLOAT"),
        (torch.tensor([-16384, 0], dtype=torch.int16), [-0.5, 0.0], "PCM_16"),
        (torch.tensor([-0.25, 0.5], dtype=torch.bfloat16, requires_grad=True), [-0.25, 0.5], "FLOAT"),
    ],
)
def test_samples_of_any_kind_are_read_at_full_scale_one(array, expected, subtype):
    samples, spec = read(input_of(array, sample_rate=RATE))
    assert samples.tolist() == [expected]
    assert (spec.subtype, spec.sample_rate, spec.channels, spec.frames) == (subtype, RATE, 1, 2)


def test_arrays_come_back_as_the_kind_and_shape_that_went_in():
    samples = np.zeros((1, 4), np.float32)
    assert input_of(np.zeros(4), sample_rate=RATE).given_back(samples).shape == (4,)
    assert input_of(np.zeros((1, 4)), sample_rate=RATE).given_back(samples).shape == (1, 4)
    tensor = input_of(torch.zeros(4), sample_rate=RATE).given_back(samples)
    assert isinstance(tensor, torch.Tensor)
    assert (tensor.shape, tensor.dtype) == ((4,), torch.float32)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0,)), r"shape \(0,\)"),
        (np.zeros((1, 1, 4)), r"shape \(1, 1, 4\)"),
        (np.zeros((4, 2)), r"\.T"),
        (np.zeros(4, np.uint8), "found uint8"),
        (np.zeros(4, complex), "found complex128"),
    ],
)
def test_an_array_that_is_no_waveform_is_refused(array, message):
    with pytest.raises(RecordingError, match=message):
        input_of(array, sample_rate=RATE)


def test_samples_that_are_no_numbers_are_refused_when_they_are_read():
    with pytest.raises(RecordingError, match="NaN"), input_of(np.array([np.nan]), sample_rate=RATE).opened():
        pass


@pytest.mark.parametrize(
    ("rate", "found"), [(None, "found none"), (0, "found 0"), (44_100.5, "found 44100.5")]
)
def test_a_waveform_needs_a_whole_rate(rate, found):
    with pytest.raises(ConfigError, match=found):
        input_of(np.zeros(4), sample_rate=rate)
    assert read(input_of(np.zeros(4), sample_rate=8000.0))[1].sample_rate == 8000


@pytest.mark.parametrize(
    "rate", ["16000", "x", np.nan, np.inf, -np.inf, True, np.True_, [8000], 1j, np.array([8000, 8000])]
)
def test_what_is_no_number_is_no_rate_of_a_waveform_or_a_file(rate):
    with pytest.raises(ConfigError, match="sample_rate: expected a whole number of Hz, at least 1, found"):
        input_of(np.zeros(4), sample_rate=rate)
    with pytest.raises(ConfigError, match="sample_rate: expected none for a file"):
        input_of("a.wav", sample_rate=rate)


@pytest.mark.parametrize(
    "rate", [8000.0, np.int64(8000), np.float32(8000), torch.tensor(8000), np.array(8000)]
)
def test_a_rate_may_be_any_whole_number(rate):
    assert read(input_of(np.zeros(4), sample_rate=rate))[1].sample_rate == 8000


@pytest.mark.parametrize("given", [np.zeros(4), "a.wav", io.BytesIO()])
def test_a_name_is_a_text(given):
    rate = RATE if isinstance(given, np.ndarray) else None
    for name in (5, 0, b"a"):
        with pytest.raises(ConfigError, match=f"name: expected a text, found {name!r}"):
            input_of(given, sample_rate=rate, name=name)


def test_a_file_states_its_own_rate(tmp_path):
    with pytest.raises(ConfigError, match="sample_rate: expected none"):
        input_of(tmp_path / "a.wav", sample_rate=RATE)


class Pipe(io.RawIOBase):
    """What cannot be sought in, such as stdin."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size=-1):
        return self._content.read(size)

    def seekable(self):
        return False


def test_open_files_are_read_whether_they_can_seek_or_not():
    samples = np.array([0.5, -0.25, 0.0], np.float32)
    content = io.BytesIO()
    sf.write(content, samples, RATE, format="WAV", subtype="FLOAT")
    for file in (content, Pipe(content.getvalue())):
        given = input_of(file)
        assert read(given)[0].tolist() == [samples.tolist()]
        assert given.recording.recording_id == "recording"
        assert not file.closed


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_that_is_open_for_text_is_refused_as_such(tmp_path, encoding):
    path = tmp_path / "a.wav"
    sf.write(path, np.linspace(-1, 1, 400), RATE)
    wrapped = tempfile.NamedTemporaryFile("w+", encoding=encoding)  # noqa: SIM115  # no TextIOBase itself
    with path.open(encoding=encoding) as file, wrapped, io.StringIO("RIFF") as text:
        for given in (file, wrapped, text):
            with pytest.raises(
                RecordingError, match="open for reading bytes, found one that is open for text"
            ):
                input_of(given)


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros(4), RATE)
    with path.open("rb") as file:
        given = input_of(file)
    opened = r"a\.wav: expected a file that is open for reading bytes, found "
    with pytest.raises(RecordingError, match=f"^{opened}a closed file$"):
        input_of(file)
    with pytest.raises(RecordingError, match=f"^{opened}ValueError: .*closed file"), given.opened():
        pass
    with path.open("ab") as file, pytest.raises(RecordingError, match=f"^{opened}one .* for writing alone$"):
        input_of(file)


@pytest.mark.parametrize("refused", [0, -1])
def test_a_pipe_that_breaks_is_told_as_one(refused):
    class Broken(Pipe):
        def read(self, size=-1):
            if size == refused:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with pytest.raises(RecordingError, match=r"^recording: expected .*, found Input/output error$"):
        read(input_of(Broken(b"RIFF")))


def test_a_recording_has_the_name_of_its_file_or_the_one_that_is_given(tmp_path):
    path = tmp_path / "a b.wav"
    sf.write(path, np.zeros(4), RATE)
    with path.open("rb") as file:
        assert input_of(file).recording.recording_id == "a b.wav"
    assert input_of(path).recording.recording_id == "a b.wav"
    named = input_of(path, name="tapes/1.wav").recording
    assert (named.recording_id, named.recording_uri) == ("tapes/1.wav", str(path))
    assert input_of(np.zeros(4), sample_rate=RATE, name="take 1").recording.recording_id == "take 1"
    with pytest.raises(RecordingError, match="expected a name"):
        input_of(np.zeros(4), sample_rate=RATE, name="..")


def test_something_else_is_refused_by_its_kind():
    with pytest.raises(RecordingError, match="found a dict"):
        input_of({"a": 1})
    for given in (0.5, [0.1, 0.2], b"RIFF"):  # as a list of numbers is several of; the rate is not to blame
        with pytest.raises(RecordingError, match=rf"`numpy\.asarray` .*, found a {type(given).__name__}$"):
            input_of(given, sample_rate=RATE)
    assert [is_several(given) for given in ([1], (1,), np.zeros(3), "a.wav")] == [True, True, False, False]
