"""The tables of the TRACE paper (Hu et al. 2022, "Recurrence Boosts Diversity!"): columns, rows' names, settings."""

from __future__ import annotations

from bench.report.layout import DIVERSITY, PROTOCOLS, QUALITY, REPRESENTATION
from bench.report.papers.paper import Paper, PaperTable, columns

MODELS = {
    "gpt2": "GPT-2", "ind": "IND", "cgd": "CGD", "no-recurrence": "No Recurrence",
    "trace-r": "TRACE-R", "trace-p": "TRACE-P",
    "trace-r-ln": "-LN", "trace-r-rp": "-RP", "trace-r+bn": "+BN", "trace-p-sn": "-SN",
}  # fmt: skip
DEFAULTS = {"segment_length": 10, "gamma": 3.0, "normalisation": "layer"}  # of bench.methods.trace, which is torch
DATASETS = {"yelp": "Yelp", "yahoo": "Yahoo", "writingprompts": "WP"}

_NELBO, _CND = ("nelbo", "ELBO", 2, ("nelbo",)), ("cnd", "CND", 2, ("cnd",))
_SELF_BLEU, _DIST, _JS = (
    ("self_bleu", "SB", 2, ("self_bleu4",)),
    ("dist", "Dist", 2, ("dist2",)),
    ("js", "JS", 2, ("js",)),
)
_DIVERSITY = columns(DIVERSITY, _SELF_BLEU, _DIST, _JS)
UNCONDITIONAL = (
    *columns(
        REPRESENTATION,
        _NELBO,
        ("kl", "KL", 2, ("kl",)),
        ("mi", "MI", 2, ("mi",)),
        ("au_0.1", "AU", 1, ("au_0.1",)),
    ),
    *columns(QUALITY, ("ppl", "PPL", 2, ("ppl",)), _CND),
    *_DIVERSITY,
)
CONDITIONAL = (
    *columns(
        QUALITY,
        ("bleu", "BLEU", 2, ("cbleu1", "sacrebleu")),
        ("rouge1", "Rouge-1", 2, ("rouge1",)),
        ("rouge2", "Rouge-2", 2, ("rouge2",)),
        ("rougeL", "Rouge-L", 2, ("rougeL",)),
        ("bertscore", "BertScore", 2, ("bertscore_f1",)),
    ),
    *_DIVERSITY,
)
ABLATIONS = columns("", _NELBO, _CND, _SELF_BLEU, _DIST, _JS)
DECODINGS = columns("", _CND, _SELF_BLEU, _DIST)

_MODELS = (
    "TRACE-R: each segment's latent variable depends on the one before and on the text before, and is sampled after "
    "it. TRACE-P: sampled all at once in training (Eq. 12-14). IND: priors N(0, I). CGD: priors from the text before. "
    "No Recurrence: one latent variable for the whole text. In IND, CGD and TRACE a [SEP] stands between two "
    "segments: the cost of predicting it is in every likelihood, and it does not count as a token of the text."
)
_MI = (
    "MI may exceed KL without error in CGD, TRACE-R and TRACE-P: their priors depend on the text before a segment, so "
    "that latent variables tell texts apart even where KL is 0. Only where priors know no text (IND, No Recurrence) "
    "does KL bound MI, up to the noise of either estimate. No estimate of the mutual information of texts and all "
    "their latent variables exceeds log N of the test set: of the printed MI, those above log 10,000 = 9.21 cannot be "
    "that."
)
_PARTS = (
    "Of TRACE-R: -LN without layer normalisation, -RP without residual parameterisation, +BN with batch in place of "
    "layer normalisation. Of TRACE-P: -SN without spectral normalisation."
)
_NELBO_ONLY = (
    "Two numbers for one trained model. -ELBO adds the KL of all segments. TRACE's arithmetic averages it over them, "
    "as is inferred from the printed numbers, no code having been released: a text of T segments is charged 1/T of "
    "its KL."
)
_TOP_K = "pretrained GPT-2, top-k sampling with k = 50 (Sec. 5.2)"
TABLES = {
    table.number: table
    for table in (
        PaperTable("2", "unconditional generation", UNCONDITIONAL, f"Yelp and Yahoo, {_TOP_K}", (_MODELS, _MI)),
        PaperTable("3", "conditional generation", CONDITIONAL, f"WritingPrompts, {_TOP_K}", (_MODELS,)),
        PaperTable("5", "ablations", ABLATIONS, f"Yelp, {_TOP_K}", (_PARTS,), why=(_NELBO_ONLY,)),
        PaperTable(
            "6",
            "decoding strategies",
            DECODINGS,
            "Yelp, pretrained GPT-2; of this table only the last column is legible in the copy at hand",
        ),
    )
}


def row_label(method: str, printed: bool = False) -> str:
    """The paper's name of a method, as far as it has one; an unknown one keeps its own.

    >>> row_label("trace-r-ln"), row_label("mine")
    ('-LN', 'mine')
    """
    return MODELS.get(method.partition("@")[0] if printed else method, method)


TRACE = Paper(
    name="trace",
    label="TRACE",
    source="Hu et al. 2022 (TRACE)",
    protocol=next(protocol for protocol in PROTOCOLS if protocol.name == "trace"),
    datasets=DATASETS,
    tables=TABLES,
    row_label=row_label,
)
