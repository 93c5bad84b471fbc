"""Suites: what is valid, which cells it has, and one clear line for whatever is wrong."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from bench import pretrained, registry, suite
from bench.cli import main
from bench.digests import settings
from bench.errors import BenchError
from bench.schema import Decoding
from bench.suite import Cell, cells, load

GOOD = {
    "name": "mine",
    "datasets": {"bbe": {"train": 100}, "sotu": {"seeds": [3]}},
    "methods": ["gpt2", "della"],
    "seeds": [1, 2],
    "metrics": {"iw": None, "bleu": {"resamples": 10}},
}


def decoded(names: list[str], report: str = "trace/table6", **more) -> dict:
    """The changes that give a report these decodings."""
    known = {"greedy": {"strategy": "greedy"}, "beam10": {"strategy": "beam", "k": 10}}
    selection = {"datasets": ["bbe"], "methods": ["della"], "decodings": names}
    return {"decodings": known, "reports": {report: selection, **more}}


@pytest.fixture
def write(tmp_path: Path):
    def writer(**changes) -> str:
        path = tmp_path / f"suite{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump({**GOOD, **changes}), encoding="utf-8")
        return str(path)

    return writer


def test_the_suites_in_the_repository_are_valid() -> None:
    files = sorted(Path("workflow/config").glob("*.yaml"))
    assert files
    for file in files:
        assert cells(load(file))


def test_the_example_of_own_texts_is_of_a_suite(write) -> None:
    """The one that workflow/config/README.md gives; without a directory there is nothing to say of own texts."""
    local_data = Path("workflow/config/README.md").read_text(encoding="utf-8").partition("## Local data")[2]
    example = local_data.partition("```yaml\n")[2].partition("```")[0]
    loaded = load(write(**yaml.safe_load(example)))
    assert {name: part.data_dir for name, part in loaded.datasets.items()} == {
        "local": "data/mine", "local-pairs": "data/my_pairs",
    }  # fmt: skip
    with pytest.raises(BenchError, match=r"unknown dataset 'mine'; allowed: [^;]*$"):
        load(write(datasets=["mine"]))


def test_cells_are_datasets_times_methods_times_seeds(write) -> None:
    assert cells(load(write())) == [
        Cell("bbe", "gpt2", 1), Cell("bbe", "gpt2", 2), Cell("bbe", "della", 1), Cell("bbe", "della", 2),
        Cell("sotu", "gpt2", 3), Cell("sotu", "della", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["gpt2", "dela"]}, "unknown method 'dela'; did you mean 'della'?"),
        ({"datasets": [["bbe"]]}, "unknown dataset '['bbe']'"),
        ({"datasets": {"bbbe": {}}}, "unknown dataset 'bbbe'; did you mean 'bbe'?"),
        ({"metrics": ["blue"]}, "unknown metric 'blue'; did you mean 'bleu'?"),
        ({"metrics": ["bleu", "rouge"]}, "metric 'rouge' pairs each generated text with a reference of its own"),
        ({"trainning": {}}, "unknown key 'trainning'; did you mean 'training'?"),
        ({"training": {"epochz": 3}}, "unknown key 'training.epochz'; did you mean 'epochs'?"),
        ({"datasets": {"bbe": {"trian": 3}}}, "unknown key 'datasets.bbe.trian'; did you mean 'train'?"),
        ({"generation": {"decoding": {"strategy": "top-k"}}}, "'generation.decoding.strategy' is 'top-k'"),
        ({"seeds": [-1]}, "'seeds.0' is -1: Input should be greater than or equal to 0"),
        ({"seeds": []}, "expected at least one seed"),
        ({"seeds": [1, 1]}, "each named once"),
        ({"datasets": {"bbe": {"seeds": [-5]}}}, "'datasets.bbe.seeds.0' is -5"),
        ({"methods": []}, "expected a non-empty list"),
        ({"training": {"learning_rate": "fast"}}, "'training.learning_rate' is 'fast'"),
        ({"backbone": {"width": 10, "heads": 3}}, "width 10 is not a multiple of heads 3"),
        ({"name": "a/b"}, "'name' is 'a/b'"),
        ({"methods": ["gpt2", "human"]}, "'methods.human': that is the name of a row without a model"),
        (
            {"datasets": {"bbe": {"backbone": {"kind": "bart"}}}},
            "della on bbe: backbone bart attends to a condition; it has none",
        ),
        ({"datasets": {"bbe": {"backbone": {"kind": "gpt3"}}}}, "'datasets.bbe.backbone.kind' is 'gpt3'"),
        ({"datasets": {"bbe": {"backbone": {"vocabulary": 300}}}}, "unknown key 'datasets.bbe.backbone.vocabulary'"),
        ({"methods": {"della": {"backbone": {"width": 100}}}}, "backbone of della on bbe: width 100 is not a multiple"),
        (
            {"reports": {"tabel1": {"datasets": ["bbe"], "methods": ["della"]}}},
            "no report 'tabel1'; did you mean 'table1'",
        ),
        (
            {"reports": {"table1": {"datasets": ["bb"], "methods": ["della"]}}},
            "'reports.table1': no dataset 'bb' in the",
        ),
        (
            {"reports": {"della/table2": {"datasets": ["bbe"], "methods": ["della"]}}},
            "'reports.della/table2': dataset 'bbe' is not conditional, as the report is",
        ),
        (
            {
                "datasets": {"bbe": {}, "quora": {}},
                "reports": {"della/table4": {"datasets": ["bbe", "quora"], "methods": ["della"]}},
            },
            "'reports.della/table4': dataset 'quora' is not unconditional, as the report is",
        ),
        ({"methods": {"della": {"backbone": {"kind": "bart"}}}}, "della on bbe: backbone bart attends to a condition"),
        ({"datasets": {"bbe": {"seeds": []}}}, "'datasets.bbe.seeds' is []: List should have at least 1 item"),
        (
            {"methods": ["bart", "della"], "reports": {"table1": {"datasets": ["bbe"], "methods": ["bart"]}}},
            "'reports.table1': no cell, since none of its methods",
        ),
        ({"reports": {"table1": {"datasets": ["bbe"], "methods": []}}}, "'reports.table1': no method"),
        ({"reports": {"table1": {"datasets": ["bbe"], "methods": ["dela"]}}}, "did you mean 'della'"),
        (
            {"datasets": {"sotu": {}, "bbe": {"data_dir": "mine"}}},
            "'datasets.bbe.data_dir': bbe takes none; texts of your own are dataset 'local', pairs 'local-pairs'",
        ),
        (
            {"datasets": {"mine": {"data_dir": "mine"}}},
            "yahoo, yahoo-resplit, yelp; texts of your own are dataset 'local', pairs 'local-pairs'",
        ),
        (
            {"methods": {"gpt2": {}, "mine": {"use": "embed", "options": {"latnt": 3}}}},
            "'methods.mine.options': unknown key 'latnt'; did you mean 'latent'?",
        ),
        (
            {"methods": {"gpt2": {"options": {"wdth": 3}}}},
            "'methods.gpt2.options': unknown key 'wdth'; allowed: annealing, ",
        ),
        ({"decodings": {"a/b": {"strategy": "greedy"}}}, "'decodings.a/b.[key]' is 'a/b': String should match pattern"),
        ({"decodings": {"greedy": {"strategi": "greedy"}}}, "'decodings.greedy.strategi'; did you mean 'strategy'?"),
        (decoded(["greedi"]), "'reports.trace/table6': no decoding 'greedi' in the suite; did you mean 'greedy'?"),
        (
            decoded(["greedy", "greedy"]),
            "'reports.trace/table6.decodings' is ['greedy', 'greedy']: 'greedy' is named twice",
        ),
        (decoded([]), "'reports.trace/table6.decodings' is []: List should have at least 1 item"),
        (
            decoded(["greedy"], report="table1"),
            "'reports.table1.decodings': the report shows the datasets' own decoding alone",
        ),
        ({"training": {"batches": "tokens"}}, "batches: tokens goes with batch_tokens"),
        ({"training": {"batch_tokens": 100}}, "batches: tokens goes with batch_tokens"),
        ({"training": {"graphs": True}}, "graphs goes with batches: lengths, and neither with tokens_at_once nor"),
        (
            {"training": {"graphs": True, "batches": "lengths", "tokens_at_once": 500}},
            "graphs goes with batches: lengths, and neither with tokens_at_once nor with compile",
        ),
        ({"training": {"precision": "float16"}}, "'training.precision' is 'float16'"),
        ({"training": {"decay": "plateau", "warmup_steps": 9}}, "'training.warmup_steps' has no effect"),
        (
            {"training": {"decay": "plateau"}, "datasets": {"bbe": {"warmup_steps": 9}}},
            "'training.warmup_steps' has no effect: 'decay: plateau' begins at the whole rate",
        ),
        ({"methods": {"mine": {"use": "nowhere.py:Mine"}}}, "no file nowhere.py"),
        ({"methods": {"mine": {"use": "no.such.module:Mine"}}}, "no module 'no.such.module'"),
        *(
            (
                {"methods": {"mine": {"use": f"{where}:X"}}},
                f"method '{where}:X': no module '{where}' with a source file",
            )
            for where in ("./mine", ".mine", ".", "sys", "os.path", "sys.path", "a\0b", "json.decoder.x")
        ),
        (
            {"metrics": {"bleu": {"resample": 9}}},
            "'metrics.bleu': unknown option 'resample'; did you mean 'resamples'?",
        ),
        (
            {"metrics": {"mauve": {"alpha": 9}}},
            "'metrics.mauve': unknown option 'alpha'; allowed: batch_size, buckets, ",
        ),
        (
            {"generation": {"decoding": {"words": 5}}},
            "decoding of 5 words: bbe is no unconditional dataset with tokenizer: words",
        ),
        (
            {
                "methods": ["lstm-lm"],
                "backbone": {"kind": "lstm", "layers": 1, "tokenizer": "words", "max_tokens": 11},
                "generation": {"decoding": {"words": 10}},
            },
            "decoding of 10 words: max_tokens of bbe is 11, with BOS and EOS",
        ),
    ],
)
def test_mistakes_are_one_line_that_names_file_key_and_value(write, changes: dict, message: str) -> None:
    path = write(**changes)
    with pytest.raises(BenchError) as caught:
        load(path)
    assert message in str(caught.value) and path in str(caught.value)
    assert "\n" not in str(caught.value)


LSTM = {"kind": "lstm", "layers": 1, "width": 8, "tokenizer": "words", "vocabulary": 100}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["davam-k512"]}, "davam-k512 on bbe: its backbone is lstm, not gpt2"),
        ({"methods": ["lstm-vae+fbp"]}, "lstm-vae+fbp on bbe: its backbone is lstm, not gpt2"),
        ({"methods": ["della"], "backbone": LSTM}, "della on bbe: its backbone is gpt2 or llama or bart, not lstm"),
        (
            {"methods": ["gavam", "memory"], "backbone": LSTM},
            "memory on bbe: its backbone is gpt2 or llama or bart, not lstm",
        ),
        (
            {"methods": {"mine": {"use": "davam-q", "backbone": {"kind": "bart"}}}, "datasets": ["quora"]},
            "mine on quora: its backbone is lstm, not bart",
        ),
        (
            {"methods": ["lstm-vae"], "backbone": LSTM, "datasets": ["bbe", "kjv2bbe"]},
            "lstm-vae on kjv2bbe: backbone lstm reads no condition; it has one",
        ),
        (
            {"methods": ["lstm-lm"], "backbone": LSTM, "datasets": ["kjv2bbe"]},
            "lstm-lm on kjv2bbe: backbone lstm reads no condition; it has one",
        ),
        (
            {"methods": ["lstm-lm"], "backbone": LSTM, "training": {"compile": True}},
            "lstm-lm on bbe: compile is of blocks; lstm has none",
        ),
        (
            {"methods": ["della"], "training": {"graphs": True, "batches": "lengths"}},
            "della on bbe: graphs are of steps of LSTMs, not of gpt2",
        ),
        ({"methods": ["lstm-lm"], "backbone": {**LSTM, "layers": 2}}, "an LSTM has one layer, not 2"),
    ],
)
def test_a_method_on_a_backbone_it_is_not_for(write, capsys, changes: dict, message: str) -> None:
    """Told when the suite is read, and by the command line with exit code 2; nothing is built for it."""
    path = write(**changes)
    with pytest.raises(BenchError) as caught:
        load(path)
    assert message in str(caught.value) and path in str(caught.value) and "\n" not in str(caught.value)
    dataset, method = next(iter(changes.get("datasets", ["bbe"]))), next(iter(changes["methods"]))
    arguments = ["train", "--suite", path, "--dataset", dataset, "--method", method, "--seed", "1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("bench: ") and error.count("\n") == 1


def test_plain_models_have_cells_on_their_own_backbone_alone(write) -> None:
    """And nobody minds that they are in the suite."""
    loaded = load(write(methods=["gpt2", "lstm-lm", "lstm-vae"], backbone=LSTM, metrics={"iw": {}}))
    assert {cell.method for cell in cells(loaded)} == {"lstm-lm", "lstm-vae"}
    mixed = load(write(methods={"gpt2": {}, "della": {}, "lstm-vae": {"backbone": {"kind": "lstm", "layers": 1}}}))
    assert {cell.method for cell in cells(mixed)} == {"gpt2", "della", "lstm-vae"}


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    for text in ("a: [1\nb: 2", "[" * 3000, "name: !!map [a, b]", "name: !!set [a]", "name: !!omap {a: b}", "{[a]: b}"):
        bad.write_text(text)
        with pytest.raises(BenchError, match="not valid YAML"):
            load(bad)
    for tag, value in (
        ("bool", "maybe"), ("int", "''"), ("int", "foo"), ("float", "''"), ("float", "1" + ":0" * 200),
        ("timestamp", "foo"), ("timestamp", "2022-13-45"),
    ):  # fmt: skip
        bad.write_text(f"a: 1\nname: !!{tag} {value}\n")
        problem = f"not valid YAML: '{value.strip(chr(39))}' is no {tag} in "
        with pytest.raises(BenchError, match=re.escape(problem) + ".*line 2, column 7"):
            load(bad)
    bad.write_text("name: a\ntraining: {epochs: 1,\n  epochs: 2}\n")
    with pytest.raises(BenchError, match=r"not valid YAML: key 'epochs' is there twice .*line 3"):
        load(bad)
    bad2 = tmp_path / "bad2.yaml"
    bad2.write_text("just words")
    with pytest.raises(BenchError, match="expected a mapping at the top, found str"):
        load(bad2)


def test_settings_change_exactly_with_what_a_stage_reads(write) -> None:
    stages = ("prepare", "train", "likelihood", "generate", "untrained", "score")

    def all_settings(**changes) -> dict[str, str]:
        loaded = load(write(**changes))
        return {stage: settings(loaded, stage, "bbe", "della", "ngrams") for stage in stages}

    base = all_settings()

    def changed(**changes) -> set[str]:
        return {stage for stage, value in all_settings(**changes).items() if value != base[stage]}

    assert changed() == changed(seeds=[1, 2, 3]) == changed(methods=["gpt2", "della", "embed"]) == set()
    assert changed(training={"learning_rate": 1e-3}) == {"train"}
    assert changed(training={"threads": 2}) == {"train", "likelihood", "generate"}
    assert changed(datasets={"bbe": {"train": 99}, "sotu": {}}) == {"prepare"}
    assert changed(datasets={"bbe": {"train": 100, "batch_size": 4}, "sotu": {}}) == {"train"}
    assert changed(datasets={"bbe": {"train": 100, "importance_examples": 4}}) == {"likelihood"}
    assert changed(datasets={"bbe": {"train": 100}, "sotu": {"train": 5}}) == set()
    assert changed(likelihood={"importance_samples": 5}) == {"likelihood"}
    assert changed(generation={"decoding": {"strategy": "greedy"}}) == {"generate"}
    assert changed(generation={"samples": 5}) == {"generate", "untrained"}
    assert changed(datasets={"bbe": {"train": 100, "decoding": {"strategy": "greedy"}}}) == {"generate"}
    assert changed(datasets={"bbe": {"train": 100, "backbone": {"layers": 2}}}) == {"train"}
    assert changed(datasets={"bbe": {"train": 100, "max_tokens": 32}}) == {"prepare", "train"}
    assert changed(methods={"gpt2": {}, "della": {"backbone": {"layers": 2}}}) == {"train"}
    assert changed(methods={"gpt2": {"backbone": {"layers": 2}}, "della": {}}) == set()
    assert changed(methods={"gpt2": {}, "della": {"learning_rate": 0.1}}) == {"train"}
    assert changed(methods={"gpt2": {}, "della": {"epochs": 2}}) == {"train"}
    assert changed(methods={"gpt2": {}, "della": {"threads": 2}}) == {"train"}
    assert changed(methods={"gpt2": {}, "della": {"importance_examples": 3}}) == {"likelihood"}
    assert changed(methods={"gpt2": {"importance_examples": 3, "learning_rate": 0.1}, "della": {}}) == set()
    assert changed(backbone={"max_source_tokens": 7}) == set()  # bbe has no sources
    assert changed(reports={"table1": {"datasets": ["bbe"], "methods": ["della"]}}) == set()
    assert changed(metrics={"iw": {}, "bleu": {"resamples": 11}}) == {"score"}
    assert changed(metrics={"iw": {"resamples": 11}, "bleu": {"resamples": 10}}) == set()
    assert changed(**decoded(["greedy"])) == set()


def test_settings_of_a_named_decoding_change_with_it_alone(write) -> None:
    def generate(of: str, **changes) -> str:
        return settings(load(write(**changes)), "generate", "bbe", "della", decoding=of)

    first, other = decoded(["greedy"]), decoded(["greedy"])
    other["decodings"]["beam10"]["k"] = 3
    assert generate("greedy", **first) == generate("greedy", **other) != generate("beam10", **first)
    assert generate("beam10", **first) != generate("beam10", **other)
    assert generate("", **first) == generate("", **other) == generate("")
    assert generate("greedy", **first) == generate("greedy", **first, datasets={"bbe": {"decoding": {"k": 7}}})
    assert generate("greedy", **first) != generate("greedy", **first, generation={"samples": 5})


def test_plans_of_a_dataset_and_a_method(write) -> None:
    changed = {
        "backbone": {"kind": "bart", "layers": 2}, "decoding": {"strategy": "greedy"}, "importance_examples": 2,
    }  # fmt: skip
    wide = {"use": "della", "backbone": {"layers": 6}, "importance_examples": 3}
    loaded = load(write(
        datasets={"bbe": {}, "kjv2bbe": changed},
        methods={"gpt2": {}, "bart": {}, "wide": wide},
        metrics=["elbo", "rouge"],
    ))  # fmt: skip
    assert [(c.dataset, c.method) for c in cells(loaded) if c.seed == 1] == [
        ("bbe", "gpt2"), ("bbe", "wide"), ("kjv2bbe", "bart"), ("kjv2bbe", "wide"),
    ]  # fmt: skip
    plain, bart = suite.backbone_of(loaded, "bbe", "gpt2"), suite.backbone_of(loaded, "kjv2bbe", "bart")
    assert plain == loaded.backbone and (bart.kind, bart.layers) == ("bart", 2)
    assert suite.backbone_of(loaded, "kjv2bbe", "wide").layers == 6
    assert suite.likelihood_of(loaded, "bbe", "wide").importance_examples == 3
    assert suite.likelihood_of(loaded, "kjv2bbe", "wide").importance_examples == 3
    assert suite.likelihood_of(loaded, "kjv2bbe", "bart").importance_examples == 2
    assert suite.likelihood_of(loaded, "bbe", "gpt2") == loaded.likelihood
    assert suite.generation_of(loaded, "kjv2bbe").decoding.signature == "greedy()"
    assert suite.generation_of(loaded, "bbe") == loaded.generation
    assert suite.untrained(loaded) == [Cell("kjv2bbe", "copy", 0)]  # no text metric without a reference of its own


def test_a_report_of_decodings_shows_texts_of_the_same_cells(write) -> None:
    """And asks for nothing of the dataset's own decoding, of which other reports show what they show."""
    losses = {"datasets": ["bbe", "sotu"], "methods": ["gpt2", "della"]}
    loaded = load(write(**decoded(["greedy", "beam10"], **{"della/table4": losses})))
    greedy, beam = ([Cell("bbe", "della", seed, name) for seed in (1, 2)] for name in ("greedy", "beam10"))
    assert suite.drawn(loaded, "trace/table6") == [*greedy, *beam]
    assert cells(loaded, "trace/table6") == [Cell("bbe", "della", 1), Cell("bbe", "della", 2)]
    assert suite.drawn(loaded, "della/table4") == cells(loaded, "della/table4") == cells(loaded)
    families = {name: suite.families_of(loaded, "bbe", "della", name) for name in ("", "greedy", "beam10")}
    assert families == {"": {"likelihood": "likelihood"}, "greedy": {"ngrams": "texts"}, "beam10": {"ngrams": "texts"}}
    assert suite.families_of(loaded, "bbe", "gpt2", "greedy") == {}
    assert suite.trained_stages(loaded, "bbe", "della") == ["train", "likelihood"]
    assert suite.trained_stages(loaded, "bbe", "della", "greedy") == ["train", "generate"]
    assert suite.untrained(loaded, "trace/table6") == [Cell("bbe", "human", 0)]
    assert list(suite.metrics_of(loaded, "bbe", "human")) == ["bleu"]
    assert suite.generation_of(loaded, "bbe", "beam10").decoding.signature == "beam(10)"
    assert suite.generation_of(loaded, "bbe").decoding.signature == "top_k(50)"


def test_decoding_signature() -> None:
    assert Decoding().signature == "top_k(50)"
    assert Decoding(strategy="greedy").signature == "greedy()"
    assert Decoding(strategy="beam", k=10, repetition_penalty=1.2).signature == "beam(10,rep=1.2)"
    assert Decoding(strategy="sample", temperature=0.5, words=20).signature == "sample(T=0.5,words=20)"


def test_a_method_from_a_file_is_added_by_its_spec(write, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text('class Mine:\n    variants = {"mine": {"latent": 4}}\n')
    loaded = load(write(), (f"{file}:Mine",))
    assert list(loaded.methods) == ["gpt2", "della", "mine"]
    assert registry.describe(loaded.methods["mine"].use or "").options == {"latent": 4}
    with pytest.raises(BenchError, match=r"has no class 'Mein' .*did you mean 'Mine'"):
        load(write(), (f"{file}:Mein",))


def test_a_name_is_of_one_method(write, tmp_path: Path) -> None:
    """A spec takes the place of no other; a method that the suite has is as the suite has it, with its options."""
    for name, of in (("one", "della"), ("two", "mine"), ("three", "mine")):
        (tmp_path / f"{name}.py").write_text(f"class Mine:\n    variants = {{'{of}': {{}}}}\n")
    one, two, three = (f"{tmp_path / name}.py:Mine" for name in ("one", "two", "three"))
    for uses, other in (((one,), "one of suite 'mine'"), ((two, three), f"'{two}'")):
        with pytest.raises(BenchError) as caught:
            load(write(), uses)
        assert f"is that of {other}: give it another in `variants`" in str(caught.value)
    assert list(load(write(), (two, two)).methods) == ["gpt2", "della", "mine"]
    methods = {"gpt2": {}, "mine": {"use": two, "epochs": 7}}
    for use in ("mine", two):
        assert load(write(methods=methods), (use,)).methods["mine"].epochs == 7
    assert load(write(), ("embed",)).methods["embed"].use == "embed"


def test_a_file_is_one_method_however_its_path_is_spelt(write, tmp_path: Path, monkeypatch) -> None:
    """It is trained once. Its digest is that of the plain spelling as it is."""
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(here)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("mine.py").write_text("class Mine:\n    variants = {'mine': {}}\n")
    files = ("mine.py", "./mine.py", "sub/../mine.py", str(here / "mine.py"), "~/here/mine.py", "../link/mine.py")
    uses = tuple(f"{file}:Mine" for file in files)
    found = {settings(load(write(), (use,)), "train", "bbe", "mine") for use in uses}
    with monkeypatch.context() as patch:
        patch.setattr(registry, "spelling", str)
        assert found == {settings(load(write(), uses[:1]), "train", "bbe", "mine")}
    assert list(load(write(), uses).methods) == ["gpt2", "della", "mine"]
    own = {"gpt2": {}, "mine": {"use": "./mine.py:Mine", "epochs": 7}}
    assert {load(write(methods=own), (use,)).methods["mine"].epochs for use in uses} == {7}


def test_every_option_of_a_metric_is_known() -> None:
    for name in registry.metrics():
        assert registry.metric_options(name) == set(registry.load_metric(name).defaults), name


def test_every_registered_name_is_described() -> None:
    assert {"gpt2", "embed", "memory", "softmax", "della", "della@paper"} <= set(registry.methods())
    assert {"bbe", "sotu"} <= set(registry.datasets())
    for name, source in registry.methods().items():
        assert registry.load_class(source).variants[name] == source.options


def test_graphs_are_no_setting(write) -> None:
    """They say how a device computes, as the device itself does."""
    suite = {"methods": ["lstm-lm"], "backbone": LSTM, "training": {"batches": "lengths"}}
    digests = set()
    for graphs in (False, True):
        suite["training"]["graphs"] = graphs
        digests.add(settings(load(write(**suite)), "train", "bbe", "lstm-lm"))
    assert len(digests) == 1


def test_where_a_pretrained_model_is_from_is_one_of_its_settings(write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin that moves makes it another model, and a kind that is spelt out does not."""
    plain, spelt, own = (
        load(write(models={"gpt2": given})) for given in ({}, {"kind": "gpt2"}, {"model_dir": "somewhere"})
    )
    before = settings(plain, "pretrained", model="gpt2")
    assert settings(spelt, "pretrained", model="gpt2") == before != settings(own, "pretrained", model="gpt2")
    moved = replace(pretrained.KNOWN["gpt2"], revision="f" * 40)
    monkeypatch.setitem(pretrained.KNOWN, "gpt2", moved)
    assert settings(plain, "pretrained", model="gpt2") != before


UNFIT = [
    "../up", "..", "a/../../b", "/tmp/x", "a/b", "a\nb", "a\n", "a b", "-x", ".hidden", "", "x" * 101, "x" * 5000,
    "é", "日本", "\u202e", "a\\b", "a:b", "~", "$HOME", "<b>",
]  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_names_are_folders_of_the_results(name: str, write, tmp_path: Path) -> None:
    greedy, own = {"strategy": "greedy"}, {"kind": "gpt2", "model_dir": "x"}
    for changes in ({"name": name}, {"methods": {name: {"use": "della"}}}, {"decodings": {name: greedy}},
                    {"models": {name: own}}, {"datasets": {name: {}}}):  # fmt: skip
        with pytest.raises(BenchError) as raised:
            load(write(**changes))
        assert "should match pattern" in str(raised.value) or "unknown dataset" in str(raised.value)
    plug_in = tmp_path / "plug_in.py"
    plug_in.write_text(f"class Mine:\n    variants = {{{name!r}: {{}}}}\n", encoding="utf-8")
    registry._classes.cache_clear()
    with pytest.raises(BenchError, match=r"(?s)its name .* should match pattern"):
        load(write(), (f"{plug_in}:Mine",))


@pytest.mark.parametrize("name", registry.methods())
def test_options_are_read_from_the_source_as_python_has_them(name: str) -> None:
    source = registry.describe(name)
    assert registry.method_options(source) == {field.name for field in fields(registry.load_class(source).Options)}


OWN = """
from dataclasses import dataclass

import bench.methods.embed as other
from bench.methods.base import Method, MethodOptions as Common
from bench.methods.embed import Embed
from bench.methods.softmax import SoftmaxOptions
from elsewhere import Elsewhere

@dataclass(frozen=True)
class Own(SoftmaxOptions, Common):
    mine: int = 3

@dataclass(frozen=True)
class More(Elsewhere):
    mine: int = 3

"""


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("class Mine(Embed):", {"latent", "pooling", "batch_norm"}),
        ("class Mine(Embed):\n    Options = Own", {"latent", "pooling", "place", "mine"}),
        ("class Base(Embed):\n    Options: type = Own\nclass Mine(Base):", {"latent", "pooling", "place", "mine"}),
        ("class Mine(Method):", {"latent", "annealing", "bow"}),
        ("class Mine(Embed):\n    Options = More", None),
        ("class Mine(Embed):\n    class Options(Common):\n        mine: int = 3", None),
        ("class Mine(Embed):\n    Options = other.SingleOptions", None),
        ("class Mine(other.Embed):", None),
        ("class Mine(Elsewhere):", None),
        ("class Mine(Embed, Elsewhere):", None),
        ("class Mine:", None),
        ("class Embed(Embed):\n    pass\nclass Mine(Embed):", None),
    ],
)
def test_options_of_a_method_from_outside(body: str, known: set[str] | None, write, tmp_path: Path) -> None:
    """Where they can be told from its file and ``bench``; of others the suite is taken, whatever they are."""
    file = tmp_path / "own.py"
    file.write_text(OWN + f"{body}\n    variants = {{'mine': {{}}}}\n", encoding="utf-8")
    found = registry.method_options(registry.describe(f"{file}:Mine"))
    assert (found is None) == (known is None) and (known or set()) <= (found or set())
    methods = {"mine": {"use": f"{file}:Mine", "options": {"latent": 3, "hidden": 4}}}
    if known is None:
        assert load(write(methods=methods)).methods["mine"].options == {"latent": 3, "hidden": 4}
    else:
        with pytest.raises(BenchError, match=r"'methods\.mine\.options': unknown key 'hidden'"):
            load(write(methods=methods))


@pytest.mark.parametrize(("kind", "name"), [("methods", "data"), ("methods", "logs"), ("models", "logs")])
def test_names_of_other_folders_are_taken(kind: str, name: str, write) -> None:
    given = {"use": "della"} if kind == "methods" else {"kind": "gpt2", "model_dir": "x"}
    with pytest.raises(BenchError, match=f"'{kind}.{name}': that is the name of a folder"):
        load(write(**{kind: {name: given}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"learning_rate": float("inf")}},
        {"augmentation": {"factors": [float("inf")]}},
        {"generation": {"decoding": {"temperature": 1e-300}}},
        {"generation": {"decoding": {"repetition_penalty": 1e300}}},
    ],
)
def test_numbers_that_no_stage_can_compute_with(changes: dict, write) -> None:
    with pytest.raises(BenchError, match=r"finite number|greater than or equal|less than or equal"):
        load(write(**changes))
