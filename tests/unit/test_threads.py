from __future__ import annotations

import os

import pytest

from uss_ray.threads import PATIENT_THREADS, wait_patiently


def test_a_choice_of_the_user_stands_and_the_rest_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PATIENT_THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_patiently()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
