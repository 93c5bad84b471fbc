"""What a suite's YAML may hold: its sections, their keys, and their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from bench import pretrained

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,99}$")]  # also a folder's, and an option's value


FRESH = "fresh"  # weights that are not pretrained
FITTED = ("bpe", "words")  # tokenizers that are fitted on train
BYTES = 260  # the smallest vocabulary of byte-level BPE: every byte and four special tokens


class Section(BaseModel):
    """A part of a suite; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Decoding(Section):
    """How text is drawn; the same for every method of a suite."""

    strategy: Literal["greedy", "sample", "top_k", "top_p", "beam"] = "top_k"
    k: PositiveInt = 50  # top_k: tokens kept; beam: beams
    p: Annotated[float, Field(gt=0, le=1)] = 0.95
    temperature: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    words: PositiveInt | None = None  # of every text, no more and no fewer; of datasets whose tokens are words

    @property
    def signature(self) -> str:
        """``"top_k(50)"``: what a table's caption says."""
        inner = {"greedy": "", "sample": "", "top_k": str(self.k), "top_p": str(self.p), "beam": str(self.k)}
        extras = [f"T={self.temperature:g}"] if self.temperature != 1 else []
        extras += [f"rep={self.repetition_penalty:g}"] if self.repetition_penalty != 1 else []
        extras += [f"words={self.words}"] if self.words else []
        return f"{self.strategy}({','.join([*filter(None, [inner[self.strategy]]), *extras])})"


class Resize(Section):
    """Parts of a backbone that differ on a dataset or for a method; what the data stage reads is none of them."""

    kind: Literal["gpt2", "llama", "bart", "lstm"] | None = None
    weights: Name | None = None
    layers: PositiveInt | None = None
    width: PositiveInt | None = None
    embedding: PositiveInt | None = None
    heads: PositiveInt | None = None
    kv_heads: PositiveInt | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None


class Dataset(Section):
    """Which part of a prepared dataset this suite uses.

    Counts are upper limits; the first ones of each fixed, seeded split are taken.
    """

    train: PositiveInt | None = None
    valid: PositiveInt | None = None
    test: PositiveInt | None = None
    data_dir: str | None = None  # local files, of a dataset that no package carries
    sentences: bool = False  # find the sentences of its texts: the segments of segment-wise latent variables
    # In place of the suite's: seeds, training, likelihood, decoding, and the backbone's texts and size.
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    learning_rate: PositiveFloat | None = None
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    importance_examples: PositiveInt | None = None
    decoding: Decoding | None = None
    tokenizer: Name | None = None
    vocabulary: Annotated[int, Field(ge=5)] | None = None
    max_tokens: Annotated[int, Field(ge=4)] | None = None
    max_source_tokens: Annotated[int, Field(ge=4)] | None = None
    backbone: Resize = Resize()


class Backbone(Section):
    """A network: its size and its tokenizer's. BART has that many layers twice, unshared.

    With pretrained weights the size is theirs: layers, width, heads and vocabulary given here count for nothing.
    """

    kind: Literal["gpt2", "llama", "bart", "lstm"] = "gpt2"
    weights: Name = FRESH  # or a pretrained model's, by name: see bench/pretrained.py and ``models`` of a suite
    layers: PositiveInt = 12
    width: PositiveInt = 768
    embedding: PositiveInt | None = None  # of an LSTM's words; None: as wide as its states
    heads: PositiveInt = 12  # of attention; an LSTM has none
    kv_heads: PositiveInt | None = None  # of keys and values, in a LLaMA; None: as many
    # words: those between white space, the most frequent ones of train; or a pretrained model's, by its name
    tokenizer: Name = "bpe"
    # bpe: bytes, four special tokens, at least one merge, and up; words: with the four special tokens
    vocabulary: Annotated[int, Field(ge=5)] = 16000
    max_tokens: Annotated[int, Field(ge=4)] = 256  # BOS x EOS; longer texts are cut, and counted in the manifest
    max_source_tokens: Annotated[int, Field(ge=4)] = 256  # likewise, of what a conditional dataset's texts go with
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _of_weights(cls, value: Any) -> Any:
        """Pretrained weights are of one kind, and read what their own tokenizer makes of a text."""
        if isinstance(value, dict) and value.get("weights", FRESH) != FRESH:
            known = pretrained.KNOWN.get(str(value["weights"]))
            own = {"tokenizer": value["weights"], **({"kind": known.kind} if known else {})}
            return {**own, **value}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Backbone:
        if self.weights != FRESH and self.tokenizer in FITTED:
            raise ValueError(f"weights '{self.weights}' read tokens of their own: give tokenizer: {self.weights}")
        if self.weights in pretrained.KNOWN and self.kind != (kind := pretrained.KNOWN[self.weights].kind):
            raise ValueError(f"weights '{self.weights}' are of kind {kind}, not {self.kind}")
        if self.kv_heads and self.weights == FRESH and (self.kind != "llama" or self.heads % self.kv_heads):
            raise ValueError(f"kv_heads {self.kv_heads}: a number of a LLaMA's that divides its heads, {self.heads}")
        if self.kind != "lstm" and self.weights == FRESH and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.kind == "lstm" and self.layers > 1:
            raise ValueError(f"an LSTM has one layer, not {self.layers}: give layers: 1")
        if self.tokenizer == "bpe" and self.vocabulary < BYTES:
            raise ValueError(f"vocabulary {self.vocabulary} is less than the {BYTES} of byte-level BPE")
        return self


class Training(Section):
    """One optimiser schedule for every method of the suite and every stage of its training.

    But a dataset or a method may have values of its own, and ``adaptive`` stages in a suite of SGD have AdamW at 0.001.

    ``decay: plateau`` is the schedule of LSTM language models: the whole validation set after every epoch; from epoch
    ``decay_from``, after ``patience`` epochs in a row without a better bound, back to the best weights at half the
    rate; the end after ``halvings`` of those, or after ``epochs``. The best weights are kept.

    ``precision: bfloat16`` is of the matrix products of blocks and of the output layer, in training alone; ``compile``
    is of the blocks, likewise. ``graphs`` makes steps on a GPU CUDA graphs, one for every shape of batch. A batch of
    more padded tokens than ``tokens_at_once`` is worked through in parts: the same step in less memory.
    """

    epochs: PositiveInt = 40
    batch_size: PositiveInt = 32
    # texts (with their sources) of about the same length, or of the very same; or as many as have ``batch_tokens``
    # padded tokens
    batches: Literal["pools", "lengths", "tokens"] = "pools"
    batch_tokens: PositiveInt | None = None
    tokens_at_once: PositiveInt | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    graphs: bool = False
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: PositiveFloat = 5e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    decay: Literal["constant", "linear", "plateau"] = "linear"
    decay_from: PositiveInt = 15
    patience: PositiveInt = 2
    halvings: PositiveInt = 5
    weight_decay: Annotated[float, Field(ge=0)] = 0.01  # of adamw
    clip: PositiveFloat = 1.0
    annealing_period: PositiveInt = 2  # epochs a cycle of cyclical annealing (DELLA A.1)
    log_points: PositiveInt = 40  # rows of history.csv, evenly spaced
    keep: Literal["last", "best"] = "last"  # weights: of the last step, or of the row of the best validation bound
    valid_examples: PositiveInt = 256  # of the validation set, for the validation terms of those rows
    threads: PositiveInt = 1  # torch threads a cell; part of the numbers, since sums are split by thread

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if (self.batches == "tokens") != (self.batch_tokens is not None):
            raise ValueError("batches: tokens goes with batch_tokens, the one with the other")
        if self.graphs and (self.batches != "lengths" or self.tokens_at_once or self.compile):
            # of other batches hardly two have the same shape
            raise ValueError("graphs goes with batches: lengths, and neither with tokens_at_once nor with compile")
        return self


class Likelihood(Section):
    """How the sufficient statistics are measured."""

    importance_samples: PositiveInt = 100  # K
    importance_examples: PositiveInt | None = None  # the first of the test set; None: all of it
    posterior_samples: PositiveInt = 8  # draws an example that posterior means are averaged over
    mi_batch: PositiveInt = 32  # batch of mi@batch


class Generation(Section):
    """Texts from the prior: so many, or of a conditional dataset one for each of the first so many sources."""

    samples: PositiveInt = 1000
    decoding: Decoding = Decoding()


class Augmentation(Section):
    """A language model trained on the first texts of train, and on as many generated ones times each factor.

    DAVAM, Sec. IV-C and Figure 3. The generated ones are a trained cell's, from its prior.
    """

    model: str = "lstm-lm"  # a method of the suite, without latent variables
    sizes: Annotated[list[PositiveInt], Field(min_length=1)] = [1000, 2000, 4000]
    factors: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] = [0, 0.5, 1, 2, 4]
    decoding: Decoding = Decoding(strategy="sample")


class MethodSpec(Section):
    """A method under the name it has in this suite: which class and which options over its variant's own."""

    use: str = ""  # the name itself; or a registered method, "package.module:Class" or "path/to/file.py:Class"
    options: dict[str, Any] = {}
    backbone: Resize = Resize()  # what is different about it for this method
    learning_rate: PositiveFloat | None = None  # in place of the suite's: another kind of network learns at another
    epochs: PositiveInt | None = None  # likewise: to see how its training begins, where no annealing is cut short by it
    threads: PositiveInt | None = None  # of its training, in place of the suite's
    importance_examples: PositiveInt | None = None  # in place of the dataset's: of a network that is fast, more


class Pretrained(Section):
    """A pretrained model that backbones and tokenizers name.

    Of one that bench/pretrained.py knows only ``model_dir``: local files in place of the hub's.
    """

    kind: Literal["gpt2", "llama", "bart"] | None = None
    model_dir: str | None = None


class Selection(Section):
    """Which of a suite's cells a report shows."""

    datasets: list[str]
    methods: list[str]
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None  # in place of the datasets'
    decodings: Annotated[list[str], Field(min_length=1)] = []  # of the suite, by name; none: the datasets' own

    @field_validator("decodings")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        twice = next((name for name in value if value.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' is named twice")
        return value


class Suite(Section):
    """The whole YAML."""

    name: Name
    datasets: dict[str, Dataset]
    methods: dict[Name, MethodSpec]
    models: dict[Name, Pretrained] = {}
    seeds: list[Seed]
    metrics: dict[str, dict[str, Any]]
    backbone: Backbone = Backbone()
    training: Training = Training()
    likelihood: Likelihood = Likelihood()
    generation: Generation = Generation()
    decodings: dict[Name, Decoding] = {}  # further ways to draw texts from the same trained cells
    augmentation: Augmentation = Augmentation()
    reports: dict[str, Selection] = {}  # by name; without any, every report shows all datasets × methods

    _source: tuple[str, tuple[str, ...]] = ("", ())

    @property
    def source(self) -> tuple[str, tuple[str, ...]]:
        """The file it was read from, and the specs of methods from outside: what names it on a command line."""
        return self._source

    def read_from(self, file: str, methods: tuple[str, ...]) -> None:
        """Remember that."""
        self._source = (file, methods)

    @field_validator("datasets", "methods", "metrics", mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: Any) -> Any:
        """A list of names, or a mapping whose values may be left empty."""
        if isinstance(value, list):
            value = dict.fromkeys(map(str, value))
        if not isinstance(value, dict) or not value:
            raise ValueError("expected a non-empty list of names or a mapping")
        return {str(key): {} if item is None else item for key, item in value.items()}

    @field_validator("seeds")
    @classmethod
    def _some_distinct(cls, value: list[int]) -> list[int]:
        if not value or len(set(value)) < len(value):
            raise ValueError("expected at least one seed, each named once")
        return value
