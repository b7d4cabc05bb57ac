"""`xception train`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from xception.cli.output import print_facts, progress_bar, say
from xception.extras import require


def train(
    recipe: str,
    /,
    *,
    out: Path | None = None,
    data: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    resume: bool = False,
    workers: int = 2,
) -> None:
    """Train a network from a recipe; a killed run continues with --resume and ends with the same weights.

    ```
    xception train digits --out runs/digits
    xception train digits --out runs/digits --resume
    xception train digits --data photos/ --set optim.lr=0.002 --set epochs=30 --out runs/photos
    ```

    Args:
        recipe: A shipped recipe's name, or a TOML file.
        out: Folder of the run: checkpoint, log, and at the end `bundle/`. By default runs/RECIPE.
        data: Data set to train on, instead of the recipe's: an image folder, or digits.
        from_: Bundle whose network, preprocessing and weights to start from.
        set_: Change a setting of the recipe, such as optim.lr=0.1; may be given several times.
        resume: Continue the run that lies at --out, or start it if there is none.
        workers: Threads that prepare batches; the result does not depend on it.
    """
    require("torch", "train")
    require("lightning_fabric", "train")
    from xception.train.loop import train_network
    from xception.train.recipe import load_recipe
    from xception.train.run import StepReport
    from xception.train.state import Epoch

    changes = (*set_, *([f"data.source='{data}'"] if data else []), *([f"model.start='{from_}'"] if from_ else []))
    folder = out or Path("runs") / Path(recipe).stem
    with progress_bar() as progress:
        task = progress.add_task("training", total=None)

        def on_step(report: StepReport) -> None:
            words = f"epoch {report.epoch}/{report.epochs}  loss {report.loss:.3f}  rate {report.lr:.2g}"
            progress.update(task, completed=report.step, total=report.total_steps, description=words)

        def on_epoch(row: Epoch) -> None:
            accuracy = "-" if row.validation_top1 is None else f"{row.validation_top1:.2%}"
            say(f"epoch {row.epoch}: loss {row.train_loss:.4f}, validation top-1 {accuracy}, {row.seconds:.0f} s")

        settings = load_recipe(recipe, changes)
        bundle = train_network(settings, folder, resume=resume, workers=workers, on_step=on_step, on_epoch=on_epoch)
    print_facts({"bundle": str(bundle.path), "digest": bundle.model.digest})
    say(f"next: xception evaluate {bundle.path} {settings.data.source}")
