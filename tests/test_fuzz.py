"""Hostile suites, sample files, plug-ins and command lines: never a traceback, never half a file.

260 cases; 10,400 new ones by `pytest tests/test_fuzz.py --hypothesis-profile long`.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import itertools
import json
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench import dag as dags
from bench import suite as suites
from bench.cli import main
from bench.errors import BenchError
from bench.report import catalogue

SUITE: dict[str, Any] = {
    "name": "s",
    "datasets": {"local": {"data_dir": "texts", "train": 8}},
    "methods": {"embed": {}, "mine": {"use": "della", "options": {"free_bits": 0.5}}},
    "seeds": [1],
    "metrics": {"iw": {}, "distinct": {"resamples": 0}},
    "backbone": {"layers": 1, "width": 8, "heads": 1, "vocabulary": 262, "max_tokens": 16},
    "training": {"epochs": 1, "batch_size": 8, "log_points": 2, "valid_examples": 4},
    "likelihood": {"importance_samples": 2, "posterior_samples": 1},
    "generation": {"samples": 4, "decoding": {"strategy": "top_k", "k": 5}},
    "decodings": {"beam": {"strategy": "beam", "k": 2}},
    "models": {"own": {"kind": "gpt2", "model_dir": "nowhere"}},
    "augmentation": {"model": "embed", "sizes": [4], "factors": [0, 0.5]},
    "reports": {"table1": {"datasets": ["local"], "methods": ["embed"]}},
}
CELL = ("--dataset", "local", "--method", "embed", "--seed", "1")

NASTY = [
    "", " ", ".", "..", "../../up", "/", "/dev/null/x", "a/b", "a\nb", "a\0b", "\x1b[2J",
    "-x", "--out", "\udcff", "\ud800", "é", "日本語",
    "x" * 300, "data", "logs", "human", "copy", "con", "~", "$HOME", "%s", "{0}", "{dataset}",
    "<script>alert(1)</script>", 
    "a:b", ":", "x.py:", "nowhere.py:Mine", "no.such:Mine", "os:path", ".:X", "..:X", "a..b:X", "bench.methods:X",
    "nan", "inf", "-1", "0", "1e400", str(2**63), str(2**31), "table1", "embed", "local", "fuzz.yaml",
    "texts", "texts/train.txt",
]  # fmt: skip
words = st.one_of(st.sampled_from(NASTY), st.text(max_size=8))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**31, 2**63, 10**400, -1, 0, 1]), st.floats(), words
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(words | st.integers(), v, max_size=3), max_leaves=6
)
CASES = settings().max_examples // 2  # of each kind: 50, or 2,000 in the long profile
fuzzed = settings(max_examples=CASES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a small dataset, where nothing has been run."""
    root = tmp_path_factory.mktemp("fuzz") / "in" / "side"  # what climbs out of it stays in the temporary directory
    (root / "texts").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (root / f"texts/{part}.txt").write_text("".join(f"{part} text {i} of few words\n" for i in range(8)))
    (root / "fuzz.yaml").write_text(yaml.safe_dump(SUITE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


COUNT = itertools.count()


@contextlib.contextmanager
def written(content: bytes, ending: str) -> Iterator[str]:
    """A file for the time of one case, of a name of its own: suites and plug-ins are cached by name."""
    path = Path(f"case{next(COUNT)}.{ending}")
    path.write_bytes(content)
    yield str(path)
    path.unlink()


def contents() -> dict[str, bytes]:
    files = (path for path in Path().rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return {str(path): path.read_bytes() for path in files}


def called(arguments: Sequence[str]) -> int:
    """Run the command; it ends well, or in one line and with everything as it was."""
    before, out, err = contents(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = main(arguments)
        except SystemExit as exit_:  # argparse
            code = exit_.code
    said = err.getvalue()
    assert code in (0, 2), (arguments, code, said)
    if code:
        # what a library or a plug-in printed may stand above
        assert said.endswith("\n") and said.splitlines()[-1].startswith("bench: "), (arguments, said)
        assert "Traceback" not in said and said.count("bench: ") == 1 and "\r" not in said, (arguments, said)
        assert contents() == before, arguments
    return code


def nodes(value: Any, at: tuple = ()) -> list[tuple]:
    """Where something may be changed in a nested value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, inner in items for place in nodes(inner, (*at, key)))]


plausible = st.sampled_from([1, 2, 3, 7, 0.5, True, None, "embed", "local", "table1", "curves", [1], [0, 2], ["embed"],
                             ["local"], ["embed", "mine"], {"use": "memory"}, {"strategy": "beam"}, {}])  # fmt: skip


@st.composite
def changed_suites(draw: st.DrawFn) -> Any:
    suite = json.loads(json.dumps(SUITE))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(nodes(suite)))
        if not place:
            continue
        owner = suite
        for key in place[:-1]:
            owner = owner[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"])):
            case "replace":
                owner[place[-1]] = copy.deepcopy(draw(st.one_of(plausible, values)))  # the next change may be inside
            case "remove":
                del owner[place[-1]]
            case "rename" if isinstance(owner, dict):
                owner[draw(words)] = owner.pop(place[-1])
            case "add" if isinstance(owner[place[-1]], dict):
                owner[place[-1]][draw(words)] = draw(values)
    return suite


def as_yaml(value: Any) -> bytes:
    return yaml.dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


broken_files = st.one_of(
    values.map(as_yaml), st.binary(max_size=60), st.text("{}[]:,-&*!|>'\"#%@`?\n a1", max_size=40).map(str.encode)
)
suite_files = st.integers(0, 9).flatmap(lambda i: changed_suites().map(as_yaml) if i else broken_files)


@fuzzed
@given(suite_files, st.data())
def test_suites(folder: Path, content: bytes, data: st.DataObject) -> None:
    verb = data.draw(st.sampled_from(["train", "likelihood", "generate", "interpolate", "score-cell", "record",
                                      "report", "freeze", "compare", "untrained", "augment", "data"]))  # fmt: skip
    more = {
        "score-cell": (*CELL, "--family", "ngrams"), "report": ("--report", "table1", "--out", "out.md"),
        "freeze": ("r1", "--finished", "--allow-dirty"), "compare": ("--frozen", "r1", "--out", "out.md"),
        "untrained": ("--dataset", "local", "--row", "human"), "augment": (*CELL, "--part", "4x0.5"), "data": (),
    }  # fmt: skip
    with written(content, "yaml") as suite:
        called((verb, "--suite", suite, *more.get(verb, CELL)))
        try:
            dag = dags.load({"suite": suite})
        except BenchError as error:
            assert str(error)
            return
        as_snakemake_asks(dag)


def as_snakemake_asks(dag: dags.Dag) -> None:
    """Everything the rules ask of a suite that was accepted; whatever it names lies in the results folder."""
    dag.constraints(), dag.compared(), dag.published(), dag.order()
    inside = Path("results").resolve()
    for report in dag.reports():
        name = report.removeprefix("reports/").rpartition(".")[0]
        for file in (*dag.read(name), *dag.manifests(name)):
            assert Path(file).resolve().is_relative_to(inside) and "\n" not in file, file
        dag.settings("report", report=name), dag.code("report", report=name)
    for cell in suites.cells(dag.suite):
        for stage in ("train", "likelihood", "generate"):
            dag.settings(stage, dataset=cell.dataset, method=cell.method)
            dag.code(stage, dataset=cell.dataset, method=cell.method)
        dag.families(cell.dataset, cell.method), dag.pretrained(cell.dataset, cell.method)


config = st.dictionaries(st.sampled_from(sorted(dags.DEFAULTS)), values | st.lists(words, max_size=2), max_size=3)


@fuzzed
@given(config)
def test_configurations_of_snakemake(folder: Path, given_: dict[str, Any]) -> None:
    try:
        as_snakemake_asks(dags.load({"suite": "fuzz.yaml", **given_}))
    except BenchError as error:
        assert str(error)


NUMBERS = [
    (section, *more, key)
    for section in ("backbone", "training", "likelihood", "generation")
    for more in ([(), ("decoding",)] if section == "generation" else [()])
    for key in (SUITE[section] | SUITE[section].get("decoding", {}))
    if not isinstance(SUITE[section].get(key), dict)
] + [("training", key) for key in ("learning_rate", "clip", "weight_decay", "warmup_steps", "threads", "halvings")]
NUMBERS += [("generation", "decoding", key) for key in ("temperature", "p", "repetition_penalty", "k")]
numbers = st.sampled_from([0, -1, 1, 2, 3, 0.5, True, "2", 1e-300, 1e-9, 1e300, 1e39])


@settings(fuzzed, max_examples=CASES // 5)
@given(st.dictionaries(st.sampled_from(NUMBERS), numbers, min_size=1, max_size=3),
       st.sampled_from(["top_k", "top_p", "sample", "beam", "greedy"]))  # fmt: skip
def test_settings_that_are_run(folder: Path, changed: dict[tuple, Any], strategy: str) -> None:
    suite = json.loads(json.dumps({**SUITE, "name": "run"}))
    suite["generation"]["decoding"]["strategy"] = strategy
    for (*sections, key), number in changed.items():
        owner = suite
        for section in sections:
            owner = owner[section]
        if isinstance(owner, dict):
            owner[key] = number
    family = ("--family", "likelihood")
    with written(as_yaml(suite), "yaml") as file:
        for verb, more in (("prepare", CELL[:2]), ("train", CELL), ("likelihood", CELL), ("generate", CELL),
                           ("score-cell", (*CELL, *family)), ("record", CELL)):  # fmt: skip
            if called((verb, "--suite", file, *more)):
                break
    shutil.rmtree("results/runs/run", ignore_errors=True)


lines = st.one_of(
    st.text(max_size=30), st.sampled_from(["a b c d e", "the cat sat", "", " ", "\t", "\u2028", "\x00", "a\rb"]),
    values.map(json.dumps), st.text(max_size=12).map(lambda t: json.dumps({"text": t})),
    st.text(max_size=12).map(lambda t: json.dumps({"text": t, "id": 0})),
    st.sampled_from(['{"text": "\\ud800"}', '{"text": NaN}', "[" * 2000, '{"text": "a", "text": 1}', '{"text":']),
)  # fmt: skip
texts = st.lists(lines, max_size=6).map(lambda rows: "\n".join(rows).encode("utf-8", "surrogatepass"))
sample_files = st.one_of(
    texts, texts, texts.map(gzip.compress), st.binary(max_size=40),
    st.tuples(texts.map(gzip.compress), st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]]),
)  # fmt: skip
endings = st.sampled_from(["txt", "jsonl", "txt.gz", "jsonl.gz", "csv"])
NGRAMS = ["distinct", "self_bleu", "bleu", "cnd", "jaccard", "entropy", "corpus_bleu", "rouge", "ibleu", "iw", "dist2",
          ""]  # fmt: skip
options = st.one_of(
    st.sampled_from(["bleu.resamples=0", "distinct.n=3", "self_bleu.seed=-1", "cnd.n=0", "bleu.n=99", "bleu.=", ".="]),
    st.tuples(st.sampled_from(NGRAMS), st.sampled_from(["n", "seed", "order", "tokenizer", "form", "x"]), words).map(
        lambda given: f"{given[0]}.{given[1]}={given[2]}"
    ),
)


@fuzzed
@given(st.lists(st.tuples(sample_files, endings), min_size=4, max_size=4), st.data())
def test_sample_files(folder: Path, files: list[tuple[bytes, str]], data: st.DataObject) -> None:
    arguments = ["score", "--resamples", data.draw(st.sampled_from(["0", "0", "3", "-1", "1.5"]))]
    roles = ("generated", "references", "sources", "baseline")
    for role, (content, ending) in list(zip(roles, files, strict=True))[: data.draw(st.integers(1, 4))]:
        path = Path(f"{role}.{ending}")
        path.write_bytes(content)
        arguments += [f"--{role}", str(path)]
    if chosen := data.draw(st.lists(st.sampled_from(NGRAMS), max_size=3)):
        arguments += ["--metrics", ",".join(chosen)]
    for option in data.draw(st.lists(options, max_size=2)):
        arguments += ["--option", option]
    Path("out.json").unlink(missing_ok=True)
    if called([*arguments, "--json", "out.json"]) == 0:
        json.loads(Path("out.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


BODY = """
from bench.methods.base import Method
from bench.methods.single import SingleEncoder, SingleOptions
from bench.methods.embed import Embed
class Mine(%s):
    variants = %s
    Options = %s
    def __init__(self, backbone, options):
        %s
    def posterior(self, batch, condition=None):
        %s
    def inject(self, z):
        %s
%s
"""
literals = st.one_of(
    st.just("{'mine': {}}"), st.just("{'mine': {}}"), values.map(repr),
    st.dictionaries(words, values, max_size=2).map(repr), st.sampled_from(["{[]: 1}", "{'mine': 3}", "f()", "{**{}}"]),
)  # fmt: skip
statements = st.sampled_from([
    "pass", "return None", "return 3",
    "1 / 0", "raise SystemExit(3)", "raise KeyError('z')", "raise Exception('a\\nb')",
    "import sys; sys.exit('gone')", "raise OSError(28, 'No space')", "raise ValueError", "assert False",
    "return super().posterior(batch, condition)", "return super().inject(z)", "super().__init__(backbone, options)",
    "return super().inject(z[..., :1])", "self.a = []\n        self.a[1]", "nowhere", "def f(): f()\n        f()",
])  # fmt: skip
plug_ins = st.one_of(
    st.tuples(
        st.sampled_from(["Embed", "Method", "object", "Embed, Method", "nowhere"]), literals,
        st.sampled_from(["SingleOptions", "3", "dict", "Embed.Options"]), statements, statements, statements,
        st.sampled_from(["", "1 / 0", "import nothing_so_named", "raise SystemExit(0)", "x ="]),
    ).map(lambda parts: (BODY % parts).encode("utf-8", "surrogatepass")),
    literals.map(lambda v: f"class Mine:\n    variants = {v}\n".encode("utf-8", "surrogatepass")),
    st.binary(max_size=60), st.text("class Mine:()[]=\n '\"\\\t#", max_size=50).map(str.encode),
    st.sampled_from([b"(" * 5000, b"x = " + b"-" * 5000 + b"1", b"\x00", b"# coding: nowhere\n",
                     b"class Mine: variants = {'mine': {}}"]),
)  # fmt: skip


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Path:
    assert main(["prepare", "--suite", "fuzz.yaml", "--dataset", "local"]) == 0
    return folder


@fuzzed
@given(plug_ins, st.sampled_from(["mine:Mine", "mine:Mine", "mine:Nine"]), st.sampled_from(["train", "record"]))
def test_plug_ins(prepared: Path, content: bytes, use: str, verb: str) -> None:
    with written(content, "py") as file:
        cell = ("--dataset", "local", "--method", "mine", "--seed", "1")
        called((verb, "--suite", "fuzz.yaml", "--use", use.replace("mine", file), *cell))


VERBS = [
    "data", "prepare", "pretrained", "train", "likelihood", "generate", "interpolate", "attention", "augment",
    "untrained", "score-cell", "record", "report", "compare", "freeze", "score", "metrics", "methods",
]  # fmt: skip
known = {
    "--suite": ["fuzz.yaml"], "--dataset": ["local"], "--method": ["embed", "mine", "human"], "--seed": ["1", "0"],
    "--decoding": ["beam"], "--part": ["4x0.5"], "--row": ["human", "copy"], "--family": ["ngrams", "likelihood"],
    "--report": ["table1", "curves"], "--frozen": ["r1"], "--model": ["own"],
    "--out": ["out.md", "deep/er/out.png", "out.svg", "out", ".", "/", "texts", "s-2026.11"],
    "--device": ["cpu", "cuda"], "--use": ["mine.py:Mine"], "--processes": ["0", "1", "x"], "--check": None,
    "--allow-dirty": None, "--finished": None, "--generated": ["texts/train.txt"], "--references": ["texts/test.txt"],
    "--metrics": ["distinct", "bleu,cnd"], "--resamples": ["0", "2"], "--json": ["out.json"], "--details": None,
    "--option": ["bleu.resamples=0"], "--threads": ["1", "0"], "--cache": ["cache"], "--baseline": ["texts/valid.txt"],
}  # fmt: skip


def valued(option: str) -> st.SearchStrategy[tuple[str, ...]]:
    good = known[option]
    if good is None:
        return st.just((option,))
    bounded = option in ("--processes", "--resamples", "--threads", "--metrics")  # any number of these is work
    value = st.sampled_from(good) if bounded else st.one_of(*[st.sampled_from(good)] * 4, words)
    return value.map(lambda v: (option, v))


cell_options = ("--suite", "--dataset", "--method", "--seed")
of_verb = {
    "data": cell_options[:1], "prepare": cell_options[:2], "pretrained": ("--suite", "--model"),
    "untrained": (*cell_options[:2], "--row"), "score-cell": (*cell_options, "--family"), "freeze": ("--suite",),
    "augment": (*cell_options, "--part"), "report": ("--suite", "--report", "--out"),
    "compare": ("--suite", "--frozen", "--out"), "score": ("--generated", "--references", "--resamples"),
    "metrics": (), "methods": (),
}  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    verb = draw(st.sampled_from(VERBS))
    wanted = [option for option in of_verb.get(verb, cell_options) if draw(st.integers(0, 19))]
    wanted += draw(st.lists(st.sampled_from(sorted(known)), max_size=2))
    rest = draw(st.lists(words, max_size=1)) if verb in ("freeze", "metrics") or not draw(st.integers(0, 9)) else []
    parts = [verb, *rest, *(word for option in wanted for word in draw(valued(option)))]
    return parts if draw(st.integers(0, 19)) else draw(st.permutations(parts))


outs = st.one_of(
    st.sampled_from([*NASTY, "taken.md", "taken.csv"]),
    st.tuples(words, st.sampled_from(["", ".", ".md", ".png", ".html", ".11"])).map("".join),
)


@fuzzed
@given(outs, st.sampled_from(list(catalogue.FORMATS.values())))
@example("taken.md", catalogue.FORMATS["table"])
def test_outs(folder: Path, out: str, forms: tuple[str, ...]) -> None:
    """What is taken is the name of a file among its siblings, each of which is free or a file."""
    Path("taken.html").mkdir(exist_ok=True)
    path = Path(re.sub("[\0\ud800]", "", out))
    try:
        catalogue.check_out(path, forms)
    except BenchError as error:
        assert str(error).startswith(f"--out {path}: ")
    except OSError as error:  # which the command line makes a line of, too
        assert error.filename
    else:
        siblings = {path.with_suffix(f".{form}") for form in forms}
        assert path in siblings and len(siblings) == len(forms) and not any(map(Path.is_dir, siblings))


@fuzzed
@given(command_lines())
def test_command_lines(prepared: Path, arguments: list[str]) -> None:
    before = contents()
    called([re.sub("[\0\ud800]", "", word) for word in arguments])  # which no command line can hold
    for path in contents().keys() - before.keys():
        Path(path).unlink()
    for path, content in before.items():
        Path(path).write_bytes(content)
