"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from nasforge.cli import (
    bench,
    check,
    compare,
    doctor,
    export,
    init,
    inspect,
    latency,
    new,
    plugins,
    predict,
    recipes,
    report,
    run,
    schema,
    tables,
)

__all__ = ["app"]

app = typer.Typer(
    name="nasforge",
    help="Modular neural architecture search: from a recipe to a trained network.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("inspect")(inspect.inspect)
app.command("predict")(predict.predict)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("init")(init.init)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.add_typer(new.app, name="new")
app.add_typer(plugins.app, name="plugins")
app.add_typer(recipes.app, name="recipes")
app.add_typer(tables.app, name="tables")
app.add_typer(latency.app, name="latency")


def _version(wanted: bool) -> None:
    if wanted:
        from nasforge import __version__

        print(f"nasforge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors. Also accepted after a command.")
    ] = False,
) -> None:
    pass  # --debug is read by main, which shows the errors
