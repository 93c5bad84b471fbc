"""The tables of the DAVAM paper (Fang et al., "Discrete Auto-regressive Variational Attention Models for Text
Modeling"): columns, rows' names, settings."""

from __future__ import annotations

import re

from bench.report.layout import PROTOCOLS
from bench.report.papers.paper import Paper, PaperTable, columns

MODELS = {
    "lstm-lm": "LSTM-LM", "lstm-vae": "VAE", "lstm-vae+anneal": "+anneal", "lstm-vae+cyclic": "+cyclic",
    "lstm-vae+aggressive": "+aggressive", "lstm-vae+fbp": "+FBP", "lstm-vae+pretraining+fbp": "+pretraining+FBP",
    "vae-attn": "VAE+Attn", "gavam": "GAVAM", "davam-q": "DAVAM-q",
}  # fmt: skip
PRINTED_MODELS = {"davam-q": "DAVAM-q (K=512)"}  # where the paper's own size is in the name
DATASETS = {"yahoo": "Yahoo", "ptb": "PTB", "snli": "SNLI"}
LIKELIHOOD = columns(
    "",
    ("rec", "Rec", 2, ("rec",)),
    ("ppl", "PPL", 2, ("ppl_word",)),
    ("kl", "KL", 2, ("kl",)),
)
FLUENCY = columns("", ("gpt2_ppl", "PPL", 2, ("fluency_sentence",)))
DIVERSITY = columns(
    "", ("ent", "Ent.", 2, ("ent1",)), ("dist1", "Dist-1", 3, ("dist1",)), ("dist2", "Dist-2", 3, ("dist2",))
)

_TWO_ARITHMETICS = (
    "paper: its arithmetic on our models, of one posterior sample: "
    "PPL is exp of Rec and of the KL averaged over the latent sequence, by words and EOS. exact: the bound, and PPL "
    "from importance-weighted samples. Rec is the same either way.",
    "The two differ because the bound sums the KL over the steps of the latent sequence, where the paper's arithmetic "
    "charges a text of T steps 1/T of it, and because the bound also has the nats of coding T. What comes out of the "
    "average for T > 1 bounds nothing: a smaller number there is not a better model. With one latent variable (VAE and "
    "its variants, DAVAM-q) it is exp(-ELBO) by words. Importance weights make that smaller, and where every code of "
    "DAVAM-q is counted it is the likelihood; Columns says what each row's exact PPL is by. That of the other models "
    "with latent variables is a bound: their PPL is at most that. A language model (LSTM-LM) has no latent variable, "
    "and its row is the same under both.",
)
_NATS = (
    "The printed GPT-2 perplexities, 3.9 to 8.8, must be nats a token: as perplexities they would be far below GPT-2's "
    "on what people write. Ours are nats a token under another model, and do not compare with them."
)
_DIVERSITY = (
    "Ent. is the entropy of the words of all texts in nats, Dist-n how many of their n-grams are different, as a "
    "fraction. Both depend on how many texts there are: Dist falls with their number, and Ent. rises."
)
_LANGUAGE_MODELLING = (
    "Yahoo, PTB and SNLI; KL averaged over the latent sequence where there is one, and PPL from that average"
)
_BY_LENGTH = "mean and standard deviation over 100 texts of each length; the last row is Rec on Yahoo"
TABLES = {
    table.number: table
    for table in (
        PaperTable("2", "language modelling", LIKELIHOOD, _LANGUAGE_MODELLING, why=_TWO_ARITHMETICS),
        PaperTable("3", "sampled texts, short, medium and long", FLUENCY, "one text a row", why=(_NATS,)),
        PaperTable("4", "fluency by length", FLUENCY, _BY_LENGTH, why=(_NATS,)),
        PaperTable(
            "5",
            "diversity by length",
            DIVERSITY,
            "of how many texts, and on which dataset, is not said",
            why=(_DIVERSITY,),
        ),
    )
}


def row_label(method: str, printed: bool = False) -> str:
    """The paper's name of a method, as far as it has one; an unknown one keeps its own.

    >>> row_label("lstm-vae+fbp"), row_label("davam-k256"), row_label("mine"), row_label("davam-q", printed=True)
    ('+FBP', 'DAVAM (K=256)', 'mine', 'DAVAM-q (K=512)')
    """
    model = method.partition("@")[0] if printed else method
    if codes := re.fullmatch(r"davam-k(\d+)", model):
        return f"DAVAM (K={codes[1]})"
    return (PRINTED_MODELS if printed else {}).get(model) or MODELS.get(model, model)


def alone(method: str, printed: bool = False) -> str:
    """Likewise where the row is not one of several under the VAE's.

    >>> alone("lstm-vae+pretraining+fbp"), alone("gavam")
    ('pretraining+FBP VAE', 'GAVAM')
    """
    label = row_label(method, printed)
    return f"{label[1:]} VAE" if label.startswith("+") else label


DAVAM = Paper(
    name="davam",
    label="DAVAM",
    source="Fang et al. (DAVAM)",
    protocol=next(protocol for protocol in PROTOCOLS if protocol.name == "davam"),
    datasets=DATASETS,
    tables=TABLES,
    row_label=row_label,
)
