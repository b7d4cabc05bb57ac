import pytest
import torch

from tests.support.samples import labelled
from xception.errors import UsageError
from xception.train.distributed import ProcessShare, launch, summed
from xception.train.settings import ComputeSettings


@pytest.mark.parametrize("world", [1, 2, 3, 5, 13])
def test_shares_hold_every_item_once(world: int) -> None:
    source = labelled(11)
    shares = [ProcessShare(source, rank, world) for rank in range(world)]
    assert sorted(item.key for share in shares for item in share) == [item.key for item in source]
    assert sum(map(len, shares)) == 11
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert {share.classes for share in shares} == {source.classes}


def test_a_share_is_indexed_as_it_is_iterated() -> None:
    share = ProcessShare(labelled(11), 1, 3)
    assert (
        [share[index].key for index in range(len(share))]
        == [item.key for item in share]
        == ["001", "004", "007", "010"]
    )


def test_one_process_sums_what_it_has() -> None:
    fabric, scaler = launch(ComputeSettings())
    assert (fabric.world_size, fabric.global_rank, scaler) == (1, 0, None)
    assert summed(fabric, 1.5, 2) == [1.5, 2]


def test_statistics_cannot_be_synchronised_on_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="sync_norm needs GPUs"):
        launch(ComputeSettings(sync_norm=True))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("loss_scale", "expected_scale", "expected_weight"), [(1024.0, 1024.0, -torch.inf), (None, 2.0**15, 1.0)]
)
def test_a_fixed_loss_scale_stays_and_leaves_no_step_out_as_in_mindspore_and_the_default_one_adapts(
    loss_scale: float | None, expected_scale: float, expected_weight: float, fused: bool
) -> None:
    scaler = launch(ComputeSettings(precision="float16", loss_scale=loss_scale))[1]
    assert scaler is not None
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1, fused=fused)
    scaler.scale(weight.sum() * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == expected_scale
    assert weight.item() == expected_weight


def test_a_loss_scale_without_float16_is_refused() -> None:
    with pytest.raises(UsageError, match="loss_scale does nothing unless"):
        ComputeSettings(loss_scale=1024.0)
