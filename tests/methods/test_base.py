"""What methods share: Gaussians and the bag of words, against torch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bench.batch import collate
from bench.methods.base import BagOfWords
from bench.methods.gaussian import Gaussian
from bench.vocabulary import EOS

from .conftest import SEQUENCES


def test_gaussian_against_torch_distributions() -> None:
    torch.manual_seed(0)
    a, b = (Gaussian(torch.randn(4, 5), torch.randn(4, 5)) for _ in range(2))
    normal = [torch.distributions.Normal(g.mean, (0.5 * g.logvar).exp()) for g in (a, b)]
    z = a.sample()
    torch.testing.assert_close(a.log_prob(z), normal[0].log_prob(z).sum(-1))
    torch.testing.assert_close(a.kl_dims(b), torch.distributions.kl_divergence(*normal))
    torch.testing.assert_close(a.kl(b), torch.distributions.kl_divergence(*normal).sum(-1))


def test_a_bag_of_words_is_cross_entropy_at_every_word() -> None:
    """Every token of x, whatever its place, from all groups of z together; EOS and padding are no words."""
    torch.manual_seed(0)
    bow, z, batch = BagOfWords(2 * 5, 260), torch.randn(4, 2, 5), collate(SEQUENCES)
    torch.nn.init.normal_(bow.project.weight)
    torch.nn.init.normal_(bow.project.bias)
    losses = bow(z, batch)
    for row, (_, *words, end) in enumerate(SEQUENCES):
        assert end == EOS
        logits = bow.project.weight @ torch.cat([z[row, 0], z[row, 1]]) + bow.project.bias
        expected = sum((F.cross_entropy(logits, torch.tensor(word)) for word in words), torch.zeros(()))
        torch.testing.assert_close(losses[row], expected)
