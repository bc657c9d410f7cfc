"""Inputs that are wrong in ways people, editors and attackers make them wrong."""

from random import Random

from hypothesis import strategies as st

LONG = "9" * 5000
ODD_VALUES = (
    *[
        "0",
        "-1",
        "1",
        "2",
        "1.5",
        "1e400",
        "-1e400",
        "nan",
        "inf",
        "-0.0",
        "true",
        "false",
        "10000000000",
        "x",
        "'",
        '"',
        '""',
        '"x"',
        "[]",
        "[[]]",
        "{}",
    ],
    *[
        "{a=1}",
        "{use=1}",
        "[{}]",
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        "0x10",
        "0o7",
        "1_000",
        "1__0",
        "+1",
        "--1",
    ],
    *[
        "9223372036854775808",
        '"""',
        "'''",
        "\\",
        "=",
        "a=b=c",
        "#",
        "${HOME}",
        "%s",
        '"\\u0000"',
        '"\\u001b[31m"',
        '"\\u202e"',
    ],
    *[
        '"\\ud7ff"',
        '"../../x"',
        '"/etc/passwd"',
        '"/dev/null"',
        '"/dev/zero"',
        '"~nobody-there/x"',
        '"C:\\\\x"',
        '"."',
    ],
    *[
        '"auto"',
        '"cpu"',
        '"meta"',
        '"cuda:99"',
        '"none"',
        '"__class__"',
        '"{0.__class__}"',
        '"%n%n"',
        "[0,-1]",
        "[1e999]",
        "ﬀ",
        "Ⅷ",
    ],
    *[
        '["score","score"]',
        '["-score"]',
        '["jsonl","jsonl"]',
        '{"a":1}',
        '[1,"a",{}]',
        '"all"',
        '"small"',
        '"large"',
    ],
    *(LONG, f"1{'0' * 400}", f'"{"x" * 5000}"', f"[{'1, ' * 3000}]", "[" * 60 + "]" * 60),
    *("[" * 300 + "]" * 300, "[" * 900 + "]" * 900, "\x1b[31mred", "\x07", "\u202e", "\ufeff"),
)
"""Values of options, as text of TOML; some are not valid TOML."""

OPTIONS = {
    "run": "name seed device threads workers backend observers precision report compile channels_last",
    "data": "use root path image_size batch_size limit_train resize train_images num_classes channels",
    "space": "use channels cells search_channels operations stem allow_none cut_none threshold",
    "searcher": "use evaluations population tournament epochs arch objectives guard.policy confirm batch",
    "evaluator": "use table dataset epochs proxies budgets score base base.use predictor epoch_batches",
    "train": "use epochs batch_size lr augment.policy stop.patience ema init class_weights",
    "constraints": "max_params max_macs max_latency_ms max_memory latency",
    "bench": "searchers seeds budget metric options space",
    "export": "formats images",
    "plugins": "modules checksums",
    "latency": "backend timeout",
    "distiller": "use weight",
}
ODD_KEYS = ("", "__proto__", "a.b.c.d", "ünï", "x" * 300, "\x1b[31m", "use.use", '"a.b"', '"quoted key"', "0")

odd = st.one_of(
    st.sampled_from(ODD_VALUES), st.text(max_size=20), st.integers().map(str), st.floats().map(str)
)
table_and_key = st.sampled_from(sorted(OPTIONS)).flatmap(
    lambda table: st.tuples(
        st.just(table),
        st.one_of(st.sampled_from(OPTIONS[table].split()), st.sampled_from(ODD_KEYS)),
    )
)
overrides = st.one_of(
    st.builds(lambda place, value: f"{place[0]}.{place[1]}={value}", table_and_key, odd),
    st.builds(lambda place, value: f"{place[0]}.{place[1]}={value}", table_and_key, odd),
    st.builds(lambda table, value: f"{table}={value}", st.sampled_from(sorted(OPTIONS)), odd),
    st.text(max_size=30),
)

WAYS = ("value", "value", "value", "value", "drop", "twice", "key", "table", "odd", "cut")


@st.composite
def recipes(draw, texts):
    """Draw a shipped recipe with a few odd changes."""
    lines = draw(st.sampled_from(texts)).splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        way, line = draw(st.sampled_from(WAYS)), lines[at] if lines else ""
        if way == "value" and "=" in line:
            lines[at] = f"{line.partition('=')[0]}= {draw(odd)}"
        elif way == "key" and "=" in line:
            lines[at] = f"{draw(table_and_key)[1]} ={line.partition('=')[2]}"
        elif way == "twice":
            lines.insert(at, line)
        elif way == "drop" and lines:
            del lines[at]
        elif way == "table":
            name, key = draw(table_and_key)
            lines += [f"[{name}]", f"{key} = {draw(odd)}"]
        elif way == "cut":
            lines[at:] = [line[: draw(st.integers(0, 40))]]
        else:
            lines.insert(at, draw(odd))
    return "\n".join(lines) + "\n"


def mutate(content: bytes, draw: Random) -> bytes:
    """Change bytes: flip, cut, repeat, insert, replace."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(changed) + 1)
        match draw.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << draw.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                changed[at:at] = changed[at : at + draw.randrange(1, 200)]
            case 3:
                changed[at:at] = draw.randbytes(draw.randrange(1, 30))
            case 4:
                del changed[at : at + draw.randrange(1, 60)]
            case _:
                changed[at : at + 8] = draw.choice((b"\0" * 8, b"\xff" * 8, b"\x1b[31mred", b"99999999"))
    return bytes(changed)


NOTATIONS = {
    "nasbench201": (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
        "resnet",
        "440301",
        '{"0->1": "none"}',
    ),
    "darts": (
        "DARTS_V2",
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], normal_concat=range(2, 6), "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])",
        '{"normal_node2": ["sep_conv_3x3"]}',
    ),
    "chain": ("mobilenet_v2", '{"block0": "k3_e6"}', "k3_e6 k3_e6"),
}
PIECES = (
    *[
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "|",
        "+",
        "~",
        "'",
        '"',
        ":",
        "=",
        "0",
        "-1",
        "3",
        "none",
        "None",
        "lambda",
        "Genotype",
        "normal",
        "NaN",
        "null",
        "true",
        "1e999",
        "[[[]]]",
    ],
    *[
        "range(10**9)",
        "__import__('os')",
        '{"a":1}',
        '{"a":[[1]]}',
        "é",
        "٣",
        "*",
        "**",
        "nor_conv_3x3",
        "skip_connect~0",
    ],
    *("range(2, 6)", LONG, "[" * 3000, "\x1b[", "\n", "\t", "\u202e", ""),
)


@st.composite
def architectures(draw):
    """Draw a space and a notation that is nearly one of it."""
    space = draw(st.sampled_from(sorted(NOTATIONS)))
    if draw(st.integers(0, 5)) == 0:
        return space, draw(st.one_of(st.text(max_size=40), st.sampled_from(PIECES)))
    text = draw(st.sampled_from(NOTATIONS[space]))
    for _ in range(draw(st.integers(1, 3))):
        at, piece = draw(st.integers(0, len(text))), draw(st.sampled_from(PIECES))
        text = text[:at] + piece + text[at + draw(st.integers(0, 8)) :]
    return space, text
