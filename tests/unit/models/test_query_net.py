from __future__ import annotations

import pytest
import torch

from uss_ray.errors import ConfigError
from uss_ray.models.network_settings import AdaptorConfig
from uss_ray.models.panns import Panns
from uss_ray.models.panns_settings import PannsConfig
from uss_ray.models.query_net import Adaptor, QueryNet


def tagger() -> Panns:
    torch.manual_seed(0)
    return Panns(PannsConfig(classes=6, block_channels=(4, 8), embedding_size=10))


def test_the_bottleneck_is_what_the_tagger_says_and_carries_no_gradient() -> None:
    net = tagger()
    audio = torch.randn(2, 16000)
    soft, latent = QueryNet(net), QueryNet(net, kind="latent")
    assert torch.equal(soft.bottleneck(audio), net.eval()(audio).clipwise_probs)
    assert torch.equal(latent.bottleneck(audio), net.eval()(audio).embedding)
    assert not soft.bottleneck(audio).requires_grad
    assert (soft.condition_size, latent.condition_size) == (6, 10)


def test_an_adaptor_is_trained_while_the_tagger_is_not() -> None:
    net = tagger()
    query_net = QueryNet(
        net, adaptor=Adaptor(AdaptorConfig(bottleneck_size=6, hidden_size=7, condition_size=8))
    )
    query_net(torch.randn(2, 16000)).sum().backward()
    assert query_net.adaptor is not None
    assert all(p.grad is not None for p in query_net.adaptor.parameters())
    assert all(p.grad is None for p in net.parameters())


def test_an_adaptor_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 6, found 9"):
        QueryNet(tagger(), adaptor=Adaptor(AdaptorConfig(bottleneck_size=9, hidden_size=7, condition_size=8)))


def test_a_class_alone_is_the_likeliest_one() -> None:
    net, audio = tagger(), torch.randn(3, 16000)
    hard = QueryNet(net, kind="hard").bottleneck(audio)
    assert torch.equal(hard.argmax(dim=1), net.eval()(audio).clipwise_probs.argmax(dim=1))
    assert hard.sum(dim=1).tolist() == [1, 1, 1]


def test_a_shortcut_leads_past_what_was_learned() -> None:
    net, trunk, audio = tagger().eval(), tagger().eval(), torch.randn(2, 16000)
    torch.nn.init.normal_(trunk.classify.weight)
    adaptor = Adaptor(AdaptorConfig(bottleneck_size=6, hidden_size=7, condition_size=8)).eval()
    query_net = QueryNet(net, trunk=trunk, adaptor=adaptor, shortcut=True)
    assert (query_net.bottleneck_size, query_net.condition_size) == (12, 14)
    learned, past = trunk(audio).clipwise_probs, net(audio).clipwise_probs
    torch.testing.assert_close(query_net(audio), torch.cat((adaptor(learned), past), dim=1))
    assert not query_net.takes_tags
    beside = QueryNet(net, adaptor=adaptor, shortcut=True)
    torch.testing.assert_close(beside(audio), torch.cat((adaptor(past), past), dim=1))
    assert beside.takes_tags
    with pytest.raises(ConfigError, match="an adaptor or a trunk"):
        QueryNet(net, shortcut=True)
