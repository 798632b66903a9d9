"""Content that no provider takes, and too much of anything: a part of the table of `test_bad_input`."""

from __future__ import annotations

from typing import Any

LONG = "x" * 129
USER = {"role": 2, "parts": [{"text": "hello"}]}
DECIDE, COMPLETE, STREAM = "RouterService/Decide", "RouterService/Complete", "RouterService/StreamComplete"
CREATE, UPDATE = "CatalogService/CreateModel", "CatalogService/UpdateModel"
NEW_CLASS, SET_CLASS = "CatalogService/CreateTaskClass", "CatalogService/UpdateTaskClass"


def asked(*messages: Any, **generation: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and the fields of a completion of some messages."""
    fields = {"generation": generation} if generation else {}
    return COMPLETE, {"task_class": "e2e", "messages": list(messages or (USER,))} | fields


def call(call_id: str = "1", **fields: Any) -> dict[str, Any]:
    """Return an assistant's message that calls a tool."""
    return {"role": 3, "parts": [{"tool_call": {"tool_call_id": call_id, "name": "look"} | fields}]}


def result(call_id: str = "1", *parts: Any) -> dict[str, Any]:
    """Return the message of a tool's result."""
    return {"role": 4, "parts": [{"tool_result": {"tool_call_id": call_id, "parts": list(parts)}}]}


def image(**fields: Any) -> dict[str, Any]:
    """Return a user's message that holds an image."""
    return {"role": 2, "parts": [{"image": fields}]}


def tool(name: str = "look", schema: str = "") -> dict[str, Any]:
    """Return a tool."""
    return {"name": name, "parameters_json_schema": schema}


def wanted(**objective: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and the fields of a request with an objective."""
    return DECIDE, {"task_class": "e2e", "objective": objective}


# name: reason, method, fields
CONTENT: dict[str, tuple[str, str, dict[str, Any]]] = {
    # conversations
    "text_empty": ("FIELD_REQUIRED", *asked({"role": 2, "parts": [{"text": ""}, {"text": ""}]})),
    "text_of_tool": ("INVALID_COMBINATION", *asked(USER, call(), {"role": 4, "parts": [{"text": "a"}]})),
    "call_of_user": (
        "INVALID_COMBINATION", *asked({"role": 2, "parts": [{"tool_call": {"tool_call_id": "1", "name": "look"}}]}),
    ),
    "call_without_id": ("FIELD_REQUIRED", *asked(USER, call(""), result(""))),
    "call_id_too_long": ("INVALID_ID", *asked(USER, call(LONG), result(LONG))),
    "call_without_name": ("FIELD_REQUIRED", *asked(USER, call(name=""), result())),
    "call_of_odd_name": ("INVALID_ID", *asked(USER, call(name="look up"), result())),
    "call_twice": ("INVALID_COMBINATION", *asked(USER, call(), result(), call(), result())),
    "call_unanswered": ("INVALID_COMBINATION", *asked(USER, call(), USER)),
    "call_unanswered_at_the_end": ("INVALID_COMBINATION", *asked(USER, call())),
    "result_without_call": ("INVALID_COMBINATION", *asked(USER, result())),
    "result_before_its_call": ("INVALID_COMBINATION", *asked(USER, result(), call())),
    "result_of_another_call": ("INVALID_COMBINATION", *asked(USER, call(), result("2"))),
    "result_twice": ("INVALID_COMBINATION", *asked(USER, call(), result(), result())),
    "result_without_id": ("FIELD_REQUIRED", *asked(USER, call(), result(""))),
    "result_in_a_result": (
        "INVALID_COMBINATION", *asked(USER, call(), result("1", {"tool_result": {"tool_call_id": "1"}})),
    ),
    "call_in_a_result": (
        "INVALID_COMBINATION", *asked(USER, call(), result("1", {"tool_call": {"tool_call_id": "2"}})),
    ),
    "result_part_without_content": ("FIELD_REQUIRED", *asked(USER, call(), result("1", {}))),
    "image_without_source": ("FIELD_REQUIRED", *asked(image(media_type="image/png"))),
    "image_without_type": ("FIELD_REQUIRED", *asked(image(data=b"x"))),
    "image_without_data": ("FIELD_REQUIRED", *asked(image(media_type="image/png", data=b""))),
    "image_of_odd_type": ("INVALID_FORMAT", *asked(image(media_type="text/html", data=b"x"))),
    "image_of_odd_type_in_a_result": (
        "INVALID_FORMAT", *asked(USER, call(), result("1", {"image": {"media_type": "png", "data": b"x"}})),
    ),
    "image_by_http": ("INVALID_FORMAT", *asked(image(uri="http://example.org/a.png"))),
    "image_by_file": ("INVALID_FORMAT", *asked(image(uri="file:///etc/passwd"))),
    "image_without_host": ("INVALID_FORMAT", *asked(image(uri="https:///a.png"))),
    "image_with_space": ("INVALID_FORMAT", *asked(image(uri="https://example.org/a b"))),
    "image_with_line_end": ("INVALID_FORMAT", *asked(image(uri="https://example.org/a\nb"))),
    "image_of_odd_port": ("INVALID_FORMAT", *asked(image(uri="https://example.org:x/"))),
    "image_uri_too_long": ("FIELD_TOO_LONG", *asked(image(uri="https://example.org/" + "x" * 4_096))),
    "rules_of_decide_too": (
        "INVALID_COMBINATION", DECIDE, {"task_class": "e2e", "messages": [USER, result()], "input_tokens": 5},
    ),
    # tools
    "tool_without_name": ("FIELD_REQUIRED", *asked(tools=[tool("")])),
    "tool_of_odd_name": ("INVALID_ID", *asked(tools=[tool("a.b")])),
    "tool_name_too_long": ("INVALID_ID", *asked(tools=[tool("a" * 65)])),
    "tool_twice": ("INVALID_COMBINATION", *asked(tools=[tool(), tool()])),
    "tool_schema_not_json": ("INVALID_FORMAT", *asked(tools=[tool(schema="{")])),
    "tool_schema_not_an_object": ("INVALID_FORMAT", *asked(tools=[tool(schema="[]")])),
    "tool_schema_of_a_list": ("INVALID_FORMAT", *asked(tools=[tool(schema='{"type": "array"}')])),
    "tool_schema_properties": ("INVALID_FORMAT", *asked(tools=[tool(schema='{"properties": []}')])),
    "tool_schema_required": ("INVALID_FORMAT", *asked(tools=[tool(schema='{"required": {"a": 1}}')])),
    "tool_schema_nested": ("INVALID_FORMAT", *asked(tools=[tool(schema="[" * 60_000)])),
    "tool_schema_too_long": ("FIELD_TOO_LONG", *asked(tools=[tool(schema="{" + " " * 65_536 + "}")])),
    "tool_schemas_too_long": (
        "FIELD_TOO_LONG", *asked(tools=[tool(f"t{i}", "{" + " " * 65_000 + "}") for i in range(9)]),
    ),
    "tool_description_too_long": (
        "FIELD_TOO_LONG", *asked(tools=[{"name": "look", "description": "x" * 16_385}]),
    ),
    "tool_choice_without_tools": ("INVALID_COMBINATION", *asked(tool_choice=3)),
    "tool_choice_unknown": ("UNKNOWN_ENUM_VALUE", *asked(tool_choice=9)),
    "schema_type_unknown": ("INVALID_FORMAT", *asked(response_json_schema='{"type": "text"}')),
    "stop_empty": ("FIELD_REQUIRED", *asked(stop=["a", ""])),
    "stop_too_long": ("FIELD_TOO_LONG", *asked(stop=["a" * 257])),
    "top_p_zero": ("NUMBER_OUT_OF_RANGE", *asked(top_p=0.0)),
    # too many
    "messages_too_many": ("TOO_MANY_ITEMS", *asked(*[USER] * 1_001)),
    "parts_too_many": ("TOO_MANY_ITEMS", *asked({"role": 2, "parts": [{"text": "a"}] * 257})),
    "parts_too_many_in_all": ("TOO_MANY_ITEMS", *asked(*[{"role": 2, "parts": [{"text": "a"}] * 250}] * 9)),
    "parts_too_many_in_a_result": ("TOO_MANY_ITEMS", *asked(USER, call(), result("1", *[{"text": "a"}] * 257))),
    "parts_far_too_many": ("TOO_MANY_ITEMS", *asked({"role": 2, "parts": [{"text": "a"}] * 1_000_000})),
    "tools_too_many": ("TOO_MANY_ITEMS", *asked(tools=[tool(f"t{i}") for i in range(129)])),
    "features_too_many": (
        "TOO_MANY_ITEMS", DECIDE, {"task_class": "e2e", "features": {f"f{i}": 1.0 for i in range(65)}},
    ),
    "capabilities_too_many": ("TOO_MANY_ITEMS", DECIDE, {"task_class": "e2e", "required_capabilities": [1] * 65}),
    "objective_models_too_many": ("TOO_MANY_ITEMS", *wanted(models=[f"echo/m{i}" for i in range(65)])),
    "model_capabilities_too_many": ("TOO_MANY_ITEMS", CREATE, {"model": {"name": "echo/x", "capabilities": [1] * 65}}),
    "labels_too_many": (
        "TOO_MANY_ITEMS", CREATE, {"model": {"name": "echo/x", "labels": {f"l{i}": "" for i in range(65)}}},
    ),
    "class_features_too_many": (
        "TOO_MANY_ITEMS", NEW_CLASS, {"task_class": {"name": "f", "features": [{"name": "x"}] * 65}},
    ),
    "mask_too_long": (
        "TOO_MANY_ITEMS", UPDATE, {"model": {"name": "echo/small"}, "update_mask": {"paths": ["disabled"] * 65}},
    ),
}  # fmt: skip
