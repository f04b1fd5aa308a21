from __future__ import annotations

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
