from __future__ import annotations

import pytest
import torch

from uss_ray.models.film import Film
from uss_ray.models.network_settings import FilmSettings


def film_of(**settings: object) -> Film:
    torch.manual_seed(0)
    film = Film(condition_size=3, layer_channels=[2, 5], settings=FilmSettings(**settings))
    for parameter in film.parameters():
        torch.nn.init.normal_(parameter)
    return film


def test_each_layer_gets_its_channels_of_one_linear_map() -> None:
    torch.manual_seed(0)
    film = Film(condition_size=3, layer_channels=[2, 5])
    condition = torch.rand(4, 3)
    first, second = film(condition)
    assert (first.shift.shape, second.shift.shape) == ((4, 2, 1, 1), (4, 5, 1, 1))
    shifts = torch.cat((first.shift, second.shift), dim=1).flatten(1)
    torch.testing.assert_close(shifts, film.shift(condition))
    assert list(film.state_dict()) == ["shift.weight", "shift.bias"]


def test_no_condition_is_no_shift() -> None:
    shifts = Film(condition_size=3, layer_channels=[2, 5])(torch.zeros(1, 3))
    assert all(not each.shift.any() for each in shifts)


def test_what_the_paper_has_not_begins_as_if_it_were_not_there() -> None:
    torch.manual_seed(0)
    plain = Film(condition_size=3, layer_channels=[4])
    torch.manual_seed(0)
    more = Film(
        condition_size=3, layer_channels=[4], settings=FilmSettings(kind="scale-shift", framewise=True)
    )
    more.shift.load_state_dict(plain.shift.state_dict())
    condition, maps = torch.rand(2, 3), torch.rand(2, 4, 6, 5)
    (one,), (other,) = plain(condition), more(condition, torch.rand(2, 9))
    torch.testing.assert_close(other(maps), one(maps))


def test_a_scale_multiplies_each_channel() -> None:
    film = film_of(kind="scale-shift")
    condition, maps = torch.rand(2, 3), torch.rand(2, 2, 6, 5)
    made = film(condition)[0](maps)
    scale, shift = film.scale(condition)[:, :2], film.shift(condition)[:, :2]  # type: ignore[misc]
    torch.testing.assert_close(made, maps * scale[..., None, None] + shift[..., None, None])


@pytest.mark.parametrize("kind", ["shift", "scale-shift"])
def test_a_frame_follows_what_is_heard_in_it(kind: str) -> None:
    film = film_of(kind=kind, framewise=True)
    condition, maps = torch.rand(1, 3), torch.rand(1, 2, 5, 4)
    silent, heard = (film(condition, torch.full((1, 3), level))[0](maps) for level in (0.0, 1.0))
    rising = film(condition, torch.linspace(0, 1, 9)[None])[0](maps)
    torch.testing.assert_close(rising[:, :, 0], silent[:, :, 0])
    torch.testing.assert_close(rising[:, :, 2], (silent + heard)[:, :, 2] / 2)
    torch.testing.assert_close(rising[:, :, 4], heard[:, :, 4])
    assert not torch.allclose(silent, heard)
    torch.testing.assert_close(film(condition)[0](maps), heard)
