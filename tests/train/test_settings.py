import msgspec
import pytest
import torch

from xception.arch.variants import architecture
from xception.errors import UsageError
from xception.models.network import build
from xception.train.settings import MixSettings, ModelSettings, OptimSettings, ScheduleSettings


@pytest.mark.parametrize("settings", [{"drop_rate": 0.5}, {"drop_path_rate": 0.5}])
def test_dropping_changes_what_training_sees_and_not_the_judged_network(settings: dict[str, float]) -> None:
    plain = architecture("timm_xception", width=0.05)
    torch.manual_seed(0)
    network = build(ModelSettings(variant="timm_xception", **settings).trained(plain))
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(network.train()(pixels), network(pixels))
        assert torch.equal(network.eval()(pixels), build(plain, network.tensors()).eval()(pixels))
        steady = build(plain).train()
        assert torch.equal(steady(pixels), steady(pixels))


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="expected a probability"):
        ModelSettings(variant="timm_xception", drop_path_rate=rate).trained(architecture("timm_xception"))


def test_a_setting_that_the_choice_does_not_look_at_is_refused() -> None:
    with pytest.raises(UsageError, match=r"schedule\.power does nothing for linear; .* schedule\.name poly"):
        ScheduleSettings(name="linear", power=3)
    assert ScheduleSettings(name="poly", power=3).power == 3


@pytest.mark.parametrize(
    "settings", [{"name": "adamw", "lr": -1.0}, {"betas": [0.9]}, {"layer_decay": 0}, {"momentun": 1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, OptimSettings)


def test_a_share_of_cutmix_needs_both_kinds_of_mixing() -> None:
    with pytest.raises(UsageError, match="cutmix_share does nothing unless"):
        MixSettings(mixup=0.2, cutmix_share=0.1)
    assert MixSettings(mixup=0.2, cutmix=1.0, cutmix_share=0.1).cutmix_share == 0.1


def test_an_end_of_mixing_needs_mixing() -> None:
    with pytest.raises(UsageError, match="until does nothing unless"):
        MixSettings(until=3)
    assert MixSettings(cutmix=1.0, until=0).until == 0
