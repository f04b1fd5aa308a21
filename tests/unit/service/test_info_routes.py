from __future__ import annotations

import pytest

from tests.unit.service.conftest import Running


def test_info_and_classes(service: Running) -> None:
    with service.client() as client:
        info = client.get("/v1/info").json()
        assert info["weights"]["name"] == "tiny"
        assert info["limits"]["decoded_seconds"] == 20
        dogs = client.get("/v1/classes?find=dog")
        assert "Dog" in {node["label"] for node in dogs.json()["classes"]}
        again = client.get("/v1/classes?find=dog", headers={"if-none-match": dogs.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get("/v1/classes?find=qqqq").json() == {"classes": []}
        roots = client.get("/v1/classes?level=1").json()["classes"]
        assert {node["level"] for node in roots} == {1}
        dog = client.get("/v1/classes/m/0bt9lr").json()
        assert (dog["label"], dog["is_known"]) == ("Dog", True)
        assert client.get("/v1/classes/m/none").status_code == 404


def test_what_is_known_of_one_ontology_is_not_taken_for_another(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.client() as client:
        call = "/v1/classes/m/0bt9lr"
        tag = client.get(call).headers["etag"]
        assert client.get(call, headers={"if-none-match": f'"x", W/{tag}'}).status_code == 304
        vocabulary = service.app.state.service.vocabulary
        monkeypatch.setattr(type(vocabulary), "is_separable", lambda *_: False)
        changed = client.get(call, headers={"if-none-match": tag})
        assert (changed.status_code, changed.json()["is_separable"]) == (200, False)
