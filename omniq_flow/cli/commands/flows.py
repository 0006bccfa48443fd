"""`flows list`, `flows show`, `flows check`, and `graph`: what can be said without a server."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniq_flow.cli.session import Session
from omniq_flow.cli.text import table, visible

if TYPE_CHECKING:
    from omniq_flow.flow.definition import Flow
    from omniq_flow.model.plan import Plan, StepPlan

app = typer.Typer(help="Look at the flows of this project.", no_args_is_help=True, rich_markup_mode=None)


class Format(StrEnum):
    text = "text"
    mermaid = "mermaid"


@app.command("list")
def list_flows(context: typer.Context) -> None:
    """List the flows of this project."""
    session: Session = context.obj
    flows = list(session.registry.flows.values())
    if session.output.is_json:
        session.output.objects(map(_object, flows))
    elif session.output.is_quiet:
        session.output.data(*(flow.name for flow in flows))
    elif flows:
        rows = [(flow.name, str(len(flow.steps)), flow.queue, flow.where) for flow in flows]
        session.output.data(*table(("FLOW", "STEPS", "QUEUE", "WHERE"), rows))
    else:
        session.output.talk(f"no flows in {session.settings.flows}")
    session.registry.raise_faults()


@app.command("show")
def show(context: typer.Context, name: Annotated[str, typer.Argument(metavar="FLOW")]) -> None:
    """Show a flow: its input, its steps and how they are worked."""
    session: Session = context.obj
    flow = session.flow(name)
    plan = flow.plan()
    if session.output.is_json:
        session.output.objects([{**_object(flow), "input": json.loads(plan.schema), "plan": json.loads(plan.json)}])
        return
    session.output.data(*_about(flow, plan), "", *_steps(flow, plan))


@app.command("check")
def check(context: typer.Context, name: Annotated[str | None, typer.Argument(metavar="[FLOW]")] = None) -> None:
    """Check that the flows load and are wired rightly; all that is wrong is said at once (exit code 3)."""
    session: Session = context.obj
    registry = session.registry
    if name is None:
        registry.raise_faults()
    names = list(registry.flows) if name is None else [session.flow(name).name]
    if session.output.is_json:
        session.output.objects([{"ok": True, "flows": names}])
    else:
        session.output.data(f"{name}: ok" if name else f"{len(names)} flow{'' if len(names) == 1 else 's'} ok: {', '.join(names)}")


def graph(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="FLOW")],
    format: Annotated[Format, typer.Option(help="How to draw.")] = Format.text,
) -> None:
    """Draw a flow, one line a step."""
    from omniq_flow.observe.drawing import draw, mermaid

    session: Session = context.obj
    plan = session.flow(name).plan()
    drawing = draw(plan) if format is Format.text else mermaid(plan)
    if session.output.is_json:
        nodes = [{"step": s.name, "level": list(s.level)} for s in plan.steps]
        edges = [{"from": i.step, "to": s.name, "kind": i.kind, "param": i.param} for s in plan.steps for i in s.inputs if i.is_edge]
        session.output.objects([{"flow": name, "nodes": nodes, "edges": edges, "format": format.value, "drawing": drawing}])
    else:
        session.output.data(drawing)


def _object(flow: Flow) -> dict[str, Any]:
    plan = flow.plan()
    return {"flow": flow.name, "queue": plan.queue, "steps": [s.name for s in plan.steps], "plan_sha": plan.sha, "where": flow.where}


def _about(flow: Flow, plan: Plan) -> list[str]:
    lines = [f"flow          {flow.name}  ({visible(flow.where)})", f"queue         {plan.queue}", f"plan          {plan.sha[:12]}"]
    lines.append(f"max parallel  {plan.max_parallel}" + (f" per {visible(plan.group)}" if plan.group else " per run"))
    lines += ["on failure    stop"] if plan.on_failure == "stop" else []
    return [*lines, *_input_lines(json.loads(plan.schema))]


def _input_lines(schema: Any) -> list[str]:
    if not schema:
        return ["input         none"]
    needed = schema.get("required", ())
    rows = [
        (f"  {field}", _type(about), "required" if field in needed else f"default {json.dumps(about.get('default'), ensure_ascii=False)}")
        for field, about in schema.get("properties", {}).items()
    ]
    return [f"input         {schema.get('title', '')}", *table(("", "", ""), rows)[1:]]


def _type(schema: dict[str, Any]) -> str:
    """A short word for a JSON Schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if options := schema.get("anyOf"):
        return " or ".join(map(_type, options))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _steps(flow: Flow, plan: Plan) -> list[str]:
    from omniq_flow.observe.drawing import MAP_MARK

    rows = [
        (f"{s.name} {MAP_MARK * s.depth}".rstrip(), ", ".join(_takes(s)), f"{s.options.attempts} attempts", flow.steps[s.name].where())
        for s in plan.steps
    ]
    return table(("STEP", "TAKES", "RETRY", "WHERE"), rows)


def _takes(step: StepPlan) -> list[str]:
    return [f"{i.kind} {i.step}".rstrip() for i in step.inputs if i.kind != "context"]
