from tests.support.samples import CLASSES, labelled
from tests.train.samples import small_recipe
from xception.train.assembly import assemble
from xception.train.own_parts import OwnParts


def half(at: object) -> float:
    return 0.5


def test_a_setup_holds_what_recipe_data_and_own_parts_decide() -> None:
    recipe = small_recipe(batch_size=4)
    setup = assemble(recipe, (labelled(9), labelled(3)), own=OwnParts(schedule=half))
    assert (setup.course.steps_per_epoch, setup.course.epochs) == (2, recipe.epochs)
    assert (setup.batches.per_epoch, len(setup.validation), setup.in_files) == (2, 3, False)
    assert setup.bundle.labels.names == CLASSES
    assert setup.state.progress.step == 0
    assert setup.stepper.learning_rate(1) == 0.5
    assert list(setup.own_parts) == ["schedule"]
    assert not len(setup.parent_digests)
