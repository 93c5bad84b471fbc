"""``optimus``: a BERT encoder and a GPT-2 decoder that z enters in two places (Li et al. 2020, Optimus)."""

from __future__ import annotations

from torch import Tensor
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from bench.backbones.base import Backbone, Injection
from bench.backbones.gpt2 import GPT2
from bench.batch import Batch
from bench.errors import BenchError
from bench.methods.base import Condition, Method, MethodOptions, linear
from bench.methods.embed import to_embedding
from bench.methods.gaussian import IndependentPosterior, split_gaussian
from bench.methods.memory import ToMemory
from bench.vocabulary import PAD


class Optimus(Method):
    """One z of N(0, I) prior, [mu; log sigma^2] = W_E h_[CLS]; z enters as embedding W_D z and memory W_M z at once.

    The encoder shares nothing with the decoder; h_[CLS] is BERT's pooled output. As in the released code the three
    maps have no bias, a memory slot is key and value in one, and free bits mask dimensions one by one. Two differences:
    BOS is the encoder's [CLS], since both halves read one vocabulary here, and text positions are counted from 0 where
    the code counts the memory slot too.

    The decoder starts from the suite's weights, GPT-2's own where it has ``weights: gpt2``; the encoder always from
    fresh ones: bert-base-cased reads another vocabulary. The released checkpoint, of which both halves are pretrained,
    is no longer to be had. The rows that papers print for Optimus (lambda = 0.5) are of that checkpoint: published
    numbers, never measured here.
    """

    variants = {"optimus": {"free_bits": 0.5, "annealing": "one_cycle"}}
    backbones = ("gpt2",)
    Options = MethodOptions

    def __init__(self, backbone: Backbone, options: MethodOptions) -> None:
        if backbone.conditional:
            raise BenchError("it is unconditional")
        assert isinstance(backbone, GPT2)
        super().__init__(backbone, options)
        self.encoder = _bert(backbone)
        self.to_latent = linear(backbone.width, 2 * options.latent, bias=False)
        self.to_embedding = to_embedding(options.latent, backbone, bias=False)
        self.to_memory = ToMemory(options.latent, backbone, bias=False)

    def posterior(self, batch: Batch, condition: Condition | None = None) -> IndependentPosterior:
        pooled = self.encoder(batch.ids, attention_mask=batch.mask.long()).pooler_output
        return IndependentPosterior(split_gaussian(self.to_latent(pooled)[:, None]))

    def inject(self, z: Tensor) -> Injection:
        return Injection(embedding=self.to_embedding(z), memory=self.to_memory(z))


def _bert(like: GPT2) -> BertModel:
    """Of the decoder's size, vocabulary and dropout; texts are one segment."""
    dropout = like.config.resid_pdrop
    return BertModel(
        BertConfig(
            num_hidden_layers=like.layers, hidden_size=like.width, num_attention_heads=like.heads,
            intermediate_size=4 * like.width, vocab_size=like.vocabulary,
            max_position_embeddings=like.config.n_positions, type_vocab_size=1, pad_token_id=PAD,
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, attn_implementation="sdpa",
        )
    )  # fmt: skip
