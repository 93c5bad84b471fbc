"""The tables of the DELLA paper (Hu et al. 2022): their columns, their rows' names, and what they print."""

from __future__ import annotations

from bench.report.layout import DIVERSITY, PROTOCOLS, QUALITY, REPRESENTATION
from bench.report.papers.paper import Paper, PaperTable, columns

MODELS = {
    "gpt2": "GPT-2", "bart": "BART", "optimus": "Optimus", "embed": "Embed", "memory": "Memory", "softmax": "Softmax",
    "della": "DELLA", "della-ltp": "-LTP", "della-lw": "-LW", "della-separate": "Separate",
    "della-kl-first": "l = 1 KL", "della-kl-last": "l = L KL",
}  # fmt: skip
PRINTED_MODELS = {"bart": "Bart-base", "della-kl-last": "l = 12 KL"}  # where the paper's own size is in the name
TRICKS = {  # Table 5; the paper's first row of each model, under the model's bare name, has none
    "none": "none",
    "bow": "+BOW",
    "": "+Annealing",
    "annealing+bow": "+Annealing + BOW",
    "annealing+bn": "+Annealing + BN",
}
DATASETS = {
    "yelp": "Yelp", "yahoo": "Yahoo", "ptb": "PTB", "snli": "SNLI",
    "writingprompts": "WritingPrompts", "cnn_dailymail": "CNN/DM", "quora": "Quora",
}  # fmt: skip


_LIKELIHOOD = (
    ("ppl", "PPL", 2, ("ppl",)),
    ("nelbo", "ELBO", 2, ("nelbo",)),
    ("kl", "KL", 2, ("kl",)),
    ("mi", "MI", 2, ("mi",)),
    ("au_0.2", "AU", 1, ("au_0.2",)),
)
_DIVERSITY = (
    ("self_bleu", "SB", 2, ("self_bleu4",)),
    ("dist", "Dist", 2, ("dist2",)),
    ("js", "JS", 2, ("js",)),
)
_PAIRS = (
    ("bleu", "BLEU", 2, ("cbleu1", "sacrebleu")),
    ("rouge1", "Rouge-1", 2, ("rouge1",)),
    ("rouge2", "Rouge-2", 2, ("rouge2",)),
    ("rougeL", "Rouge-L", 2, ("rougeL",)),
    ("bertscore", "BERTScore", 2, ("bertscore_f1",)),
)
_QUALITY = (
    ("bleu", "BLEU", 2, ("bleu4",)),
    ("cnd", "CND", 2, ("cnd",)),
    ("mauve", "MAUVE", 3, ("mauve",)),
)
UNCONDITIONAL = (
    *columns(REPRESENTATION, *_LIKELIHOOD),
    *columns(QUALITY, *_QUALITY),
    *columns(DIVERSITY, *_DIVERSITY),
)
LIKELIHOOD = columns("", *_LIKELIHOOD)
CONDITIONAL = (
    *columns(QUALITY, *_PAIRS),
    *columns(DIVERSITY, *_DIVERSITY),
    *columns(REPRESENTATION, ("kl", "KL", 2, ("kl",)), ("au_0.2", "AU", 1, ("au_0.2",))),
)
PARAPHRASING = columns("", *_PAIRS, ("kl", "KL", 2, ("kl",)))

_GPT2 = "pretrained GPT-2, DELLA decoded by beam search and the others by top-k sampling (A.1)"
_BART = "pretrained BART-base, all decoded by beam search (A.1)"

_ABLATIONS = (
    "-LTP: latent variables are an extra key and value of their layer in place of the low-rank tensor product. -LW: "
    "one latent variable for all layers. Separate: the layers' latent variables do not depend on each other. l = 1, "
    "l = L KL: the loss has the KL of the first or the last layer alone; the KL shown is of all, and so of priors that "
    "nothing trained. (N): a baseline with "
    "N latent dimensions."
)
_TRICKS = (
    "none: the whole KL from the first step. +BOW: with a bag-of-words loss. +Annealing: cyclical annealing, which the "
    "methods have by default. BN: posterior means are normalised over the batch."
)
_WITHOUT_PPL = (
    "Two numbers for one trained model. The exact columns are sums over all latent groups. DELLA's arithmetic, as in "
    "its released code, averages KL and active units over layers: with L groups (della) it shows 1/L of either, with "
    "one (embed, memory, softmax) nothing changes.",
)
_OPTIMUS = "Optimus' rows are copied from Li et al. 2020"
TABLES = {
    table.number: table
    for table in (
        PaperTable("1", "language modelling and unconditional generation", UNCONDITIONAL,
                   f"Yelp and Yahoo, {_GPT2}; {_OPTIMUS}"),
        PaperTable("2", "conditional generation", CONDITIONAL,
                   f"WritingPrompts: {_GPT2}; CNN/DM: {_BART}", why=_WITHOUT_PPL),
        PaperTable("4", "ablations", LIKELIHOOD, "Yelp, pretrained GPT-2", (_ABLATIONS,)),
        PaperTable("5", "training tricks and a larger backbone", LIKELIHOOD,
                   "Yelp, pretrained GPT-2 and GPT-2 medium", (_TRICKS,), "Ranked among the models of one backbone."),
        PaperTable("8", "language modelling and unconditional generation, further datasets", UNCONDITIONAL,
                   f"PTB and SNLI, {_GPT2}; {_OPTIMUS}"),
        PaperTable("9", "paraphrasing", PARAPHRASING, f"Quora, {_BART}", why=_WITHOUT_PPL),
    )
}  # fmt: skip


def row_label(method: str, printed: bool = False) -> str:
    """The paper's name of a method, as far as it has one; an unknown one keeps its own.

    >>> [row_label(name) for name in ("gpt2", "della-ltp", "embed-96", "embed+bow", "della@paper")]
    ['GPT-2', '-LTP', 'Embed(96)', 'Embed +BOW', 'della@paper']
    """
    model, plus, tricks = method.partition("+")
    narrow, _, dimensions = model.rpartition("-")
    label = MODELS.get(model, model)
    if narrow in MODELS and dimensions.isdigit():
        label = f"{MODELS[narrow]}({dimensions})"
    if printed:
        label = PRINTED_MODELS.get(model, label)
    return f"{label} {TRICKS.get(tricks, plus + tricks)}" if plus else label


def trick_label(method: str) -> str:
    """The name of a row of Table 5 inside its model's group; the model's own where there is nothing to trick."""
    model, plus, tricks = method.partition("+")
    if not plus and model in ("gpt2", "bart"):
        return row_label(model)
    return TRICKS.get(tricks, plus + tricks)


DELLA = Paper(
    name="della",
    label="DELLA",
    source="Hu et al. 2022",
    protocol=next(protocol for protocol in PROTOCOLS if protocol.name == "della"),
    datasets=DATASETS,
    tables=TABLES,
    row_label=row_label,
)
