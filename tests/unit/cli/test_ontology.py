"""`uss-ray ontology`: the tree."""

from __future__ import annotations

import json


def test_the_ontology_can_be_cut_at_a_level(command):
    ran = command("ontology", "--level", 1)
    assert ran.exit_code == 0
    assert len(ran.out.splitlines()) == 7


def test_programs_get_a_line_of_json_a_node(command):
    ran = command("ontology", "--find", "alarm", "--weights", "starter", "--json")
    nodes = {node["label"]: node for node in map(json.loads, ran.out.splitlines())}
    assert nodes["Car alarm"]["level"] == 3
    assert nodes["Car alarm"]["class_index"] == 310
    assert len(nodes["Car alarm"]["parent_ids"]) == 2
    assert (nodes["Car alarm"]["is_known"], nodes["Alarm"]["is_known"]) == (False, True)
    assert len(nodes) == len(ran.out.splitlines())


def test_a_text_that_no_node_holds_is_an_error(command):
    ran = command("ontology", "--find", "xyzzy")
    assert ran.exit_code == 4
    assert ran.err.startswith("error: xyzzy: expected ")


def test_what_weights_do_not_know_is_marked(command):
    ran = command("ontology", "--find", "alarm", "--weights", "starter")
    assert ran.exit_code == 0
    alarm, car_alarm = (
        next(line for line in ran.out.splitlines() if f" {label}  /" in line)
        for label in ("Alarm", "Car alarm")
    )
    assert "  unknown" in car_alarm
    assert "unknown" not in alarm
