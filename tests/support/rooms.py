"""The rooms of the core and their order, for the test of arrows and the test of their picture."""

# A room may import rooms of earlier rows only. Imports for type checkers alone do not count.
ROWS = (
    ("ground",),
    ("nn", "plugins"),
    ("contracts", "runtime"),
    ("cost", "images", "recipe", "tables", "training"),
    ("confirm", "exports"),
    ("runs",),
    ("parallel", "testing"),
    ("stages",),
    ("benches",),
    ("report",),
    ("api",),
    ("cli",),
)
