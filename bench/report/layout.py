"""Which quantities stand in which column, and what a paper's own arithmetic does differently."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bench.report.collect import quantity
from bench.report.model import Column

REPRESENTATION, QUALITY, DIVERSITY = "Representation learning", "Quality", "Diversity"

# DELLA, Table 1: quantity key, head, decimals, and a label where the registered one needs its context.
MAIN: tuple[tuple[str, str, int, str], ...] = (
    ("ppl", REPRESENTATION, 2, "PPL (IW)"),
    ("nelbo", REPRESENTATION, 2, "−ELBO"),
    ("kl", REPRESENTATION, 2, ""),
    ("mi", REPRESENTATION, 2, ""),
    ("au_0.01", REPRESENTATION, 1, ""),
    ("au_0.1", REPRESENTATION, 1, ""),
    ("au_0.2", REPRESENTATION, 1, ""),
    ("bleu4", QUALITY, 2, ""),
    ("cnd", QUALITY, 2, ""),
    ("mauve", QUALITY, 3, ""),
    ("self_bleu4", DIVERSITY, 2, ""),
    ("dist2", DIVERSITY, 2, ""),
    ("js", DIVERSITY, 2, ""),
)

# Scored against a reference of its own: quantity key and decimals.
PAIRS = (
    ("cbleu1", 2),
    ("sacrebleu", 2),
    ("rouge1", 2),
    ("rouge2", 2),
    ("rougeL", 2),
    ("ibleu", 2),
    ("bertscore_f1", 4),
)


def main_columns(measured: Collection[str]) -> tuple[Column, ...]:
    """The columns of the first table, without those that nobody measured."""
    return tuple(
        Column(key, label or quantity(key).label, head, quantity(key).direction, digits)
        for key, head, digits, label in MAIN
        if key in measured
    )


@dataclass(frozen=True)
class Protocol:
    """A paper's own arithmetic: its name in keys (``paper:<name>/ppl``), its quantities and why they differ.

    ``beside`` has the exact quantity of those whose namesake is in another unit.
    """

    name: str
    label: str
    quantities: tuple[str, ...]
    why: tuple[str, ...]
    beside: Mapping[str, str] = field(default_factory=dict)

    def key(self, base: str) -> str:
        """The key of a quantity under this arithmetic."""
        return f"paper:{self.name}/{base}"

    def exact(self, base: str) -> str:
        """The key of the exact quantity that stands beside it."""
        return self.beside.get(base, base)

    @property
    def columns(self) -> dict[str, Column]:
        """Its quantities as columns of the first table, labelled as the exact ones beside them."""
        of = {column.key: column for column in main_columns(self.quantities)}
        return {
            base: replace(column, label=quantity(self.beside[base]).label) if base in self.beside else column
            for base, column in of.items()
        }


PROTOCOLS = (
    Protocol(
        name="della",
        label="DELLA's arithmetic",
        quantities=("ppl", "nelbo", "kl", "mi", "au_0.2"),
        why=(
            "Three numbers for one trained model. The exact columns are the variational bound: KL, log p(z) and "
            "log q(z) are summed over all latent groups, and PPL divides by the tokens the model predicts (the text's "
            "and EOS). DELLA's arithmetic, as in its released code, averages the KL, and inside the importance "
            "weights log p(z) and log q(z), over layers where the bound sums them; it uses at most 30 importance "
            "samples, divides by a token count that includes BOS, and averages active units over layers.",
            "With one latent group (embed, memory, softmax) an average over groups changes nothing, and only the token "
            "count and the number of samples move PPL; with L groups (della) a method is charged 1/L of its KL. What "
            "comes out for L > 1 is not a bound on log p(x): a smaller number there is not a better model.",
        ),
    ),
    Protocol(
        name="trace",
        label="TRACE's arithmetic (inferred)",
        quantities=("ppl", "nelbo", "kl", "mi", "au_0.1"),
        why=(
            "TRACE's code was never released; its arithmetic is inferred from the printed numbers. It averages the KL, "
            "and inside the importance weights log p(z) and log q(z), over the segments of a text where the bound sums "
            "them; it uses at most 100 importance samples, divides by a token count that includes the separators, "
            "which cost next to nothing to predict, and averages active units over segments.",
            "With one latent variable and no separators its PPL is the exact one. With several segments it is not a "
            "bound on log p(x): a method is charged one segment's KL, and each separator makes PPL smaller.",
        ),
    ),
    Protocol(
        name="davam",
        label="DAVAM's arithmetic",
        quantities=("ppl", "kl"),
        why=(
            "DAVAM's PPL is exp of rec plus the KL averaged over the steps of the latent sequence, of one posterior "
            "sample, by words and EOS; the formula is what the printed rows of DAVAM satisfy. The exact PPL beside it "
            "is by words and EOS too. The bound sums the KL over steps. Its rec is the exact one.",
            "With one latent variable it is exp(-ELBO) by words, which is above the importance-weighted PPL. With T "
            "steps a method is charged 1/T of its KL and nothing bounds log p(x): a smaller number is not a better "
            "model.",
        ),
        beside={"ppl": "ppl_word"},
    ),
)


def shown_columns(measured: Collection[str]) -> tuple[Column, ...]:
    """The columns of the first table, those of conditional texts, then those of every paper's own arithmetic."""
    pairs = [
        Column(key, quantity(key).label, QUALITY, quantity(key).direction, digits)
        for key, digits in PAIRS
        if key in measured
    ]
    papers = [column for p in PROTOCOLS for column in protocol_columns(p, p.quantities, measured)]
    return (*main_columns(measured), *pairs, *papers)


def noted_columns(measured: Collection[str]) -> tuple[Column, ...]:
    """Those, and the exact quantities that stand beside a paper's own alone: what notes tell of."""
    besides = dict.fromkeys(key for p in PROTOCOLS for key in p.beside.values() if key in measured)
    return (*shown_columns(measured), *(Column(key, quantity(key).label) for key in besides))


def protocol_columns(protocol: Protocol, bases: Collection[str], measured: Collection[str]) -> list[Column]:
    """The columns of one paper's own arithmetic, labelled with whose it is."""
    of = protocol.columns
    return [
        replace(of[base], key=protocol.key(base), label=f"{of[base].label}, {protocol.label}", group=protocol.label)
        for base in protocol.quantities
        if base in bases and protocol.key(base) in measured
    ]
