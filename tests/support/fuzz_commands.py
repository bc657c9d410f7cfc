"""Command lines with options and arguments that are right or wrong."""

from hypothesis import strategies as st

from support.fuzz_inputs import LONG

COMMANDS = {
    "run": "--profile --set --out --device --seed --update --strict --trust",
    "check": "--profile --set --deep --json",
    "inspect": "--arch --svg --set --json --recipe",
    "predict": "--top --json --csv --skip-broken --device --trust",
    "bench": "--seeds --budget --searchers --workers --set --out",
    "compare": "--metric --baseline --allow --json",
    "export": "--format --images --json --trust",
    "report": "--out -o",
    "init": "--images --budget --max-params --data --name --force",
    "schema": "--recipe --out",
    "new plugin": "--kind --out",
    "plugins list": "--json --kind",
    "plugins show": "--kind --all --json",
    "recipes list": "--json",
    "recipes show": "--profile",
    "recipes copy": "--force --out",
    "tables import": "--name --trust --replace --json",
    "tables list": "--json",
    "tables show": "--json",
    "latency show": "--json --name",
    "nosuch": "--help",
}
WORDS = (
    *[
        "r.toml",
        "missing.toml",
        "folder",
        "file",
        "folder/inner",
        "/dev/null",
        "/etc/passwd",
        "~nobody-there/x",
        ".",
        "..",
        "darts",
    ],
    *[
        "nasbench201",
        "evolution",
        "random",
        "no/such/place",
        "*",
        "[",
        "0",
        "-1",
        "3",
        "1e999",
        "space=darts",
        "run.name=x",
        "=",
        "x",
        "%s",
        "cpu",
    ],
    *[
        "quickstart.toml",
        "image-folder",
        "synthetic",
        "tabular",
        "onnx",
        "smoke",
        "searcher",
        "searcher.evaluations=3",
        "--",
        "-",
    ],
    *("a" * 300, "\x1b[31m", "ü", LONG, "\udc80", "\u202e", "a\nb", ""),
)


@st.composite
def command_lines(draw):
    """Draw a command with some of its options and arguments, right or wrong."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    flags = [*COMMANDS[name].split(), "--help", "--nosuch"]
    piece = st.one_of(
        st.sampled_from(WORDS), st.sampled_from(WORDS), st.sampled_from(flags), st.text(max_size=8)
    )
    return [*name.split(), *draw(st.lists(piece, max_size=4))]
