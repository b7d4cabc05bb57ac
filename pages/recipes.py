"""The drawing and the table of the page on recipes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pages.markdown import ROOT, markdown_table, with_tables
from tests.train.formulas import CASES, COURSE, EPOCHS, PEAK
from xception.train.recipe import CONTINUING, Recipe, load_recipe, shipped
from xception.train.schedule import LearningRate
from xception.train.settings import ScheduleSettings

PAGE = ROOT / "docs/reference/recipes.md"
PICTURE = PAGE.parent / "pictures/schedules.svg"
TABLE = "recipes"

WIDTH, HEIGHT, GAP, COLUMNS = 220, 120, 34, 3
STYLE = """
  svg { --paper: #ffffff; --line: #98a1ae; --ink: #1c232d; --ours: #1f6fb2; --theirs: #c2541b;
    font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
  @media (prefers-color-scheme: dark) { svg { --paper: #14181e; --line: #6b7686; --ink: #e8ebef; --ours: #6fb1e8;
    --theirs: #f0a070; } }
  text { fill: var(--ink); } rect { fill: var(--paper); }
  .axis { fill: none; stroke: var(--line); } .ours { fill: none; stroke: var(--ours); stroke-width: 1.5; }
  circle { fill: var(--theirs); }
"""


def generated() -> Mapping[Path, str]:
    """The page with today's table, and the drawing."""
    return {PAGE: updated(PAGE.read_text(encoding="utf-8")), PICTURE: picture()}


def picture() -> str:
    """A panel per schedule: its rates as a line, and its source's formula as dots."""
    rows = -(-len(CASES) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    panels = [line for index, name in enumerate(CASES) for line in _panel(name, index)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    title = (
        f"<title>Learning rates over {EPOCHS} epochs: this toolkit's as lines, the sources' formulas as dots</title>"
    )
    paper = '<rect width="100%" height="100%"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", paper, *panels, "</svg>\n"])


def _panel(name: str, index: int) -> Iterator[str]:
    row, column = divmod(index, COLUMNS)
    left, top = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + GAP)
    settings, formula = CASES[name]
    learning_rate = LearningRate(ScheduleSettings(**settings), PEAK, COURSE)
    ours = [learning_rate(step) for step in range(COURSE.total_steps)]
    yield f'<text x="{left}" y="{top - 8}">{name}</text>'
    yield f'<path class="axis" d="M{left} {top} V{top + HEIGHT} H{left + WIDTH}"/>'
    yield f'<polyline class="ours" points="{" ".join(f"{x:g},{y:g}" for x, y in _points(ours, left, top))}"/>'
    for x, y in list(_points(formula(), left, top))[::7]:
        yield f'<circle cx="{x:g}" cy="{y:g}" r="2"/>'


def _points(values: Sequence[float], left: int, top: int) -> Iterator[tuple[float, float]]:
    for step, value in enumerate(values):
        yield round(left + WIDTH * step / len(values), 1), round(top + HEIGHT * (1 - value / PEAK), 1)


def table() -> str:
    """A row per shipped recipe."""
    rows = []
    for name, path in shipped().items():
        if name in CONTINUING:
            continue  # its network is the bundle's that it starts from
        recipe = load_recipe(str(path))
        decay = f"{recipe.optim.weight_decay:g} on {recipe.optim.decay_on}"
        optim = f"{recipe.optim.name} {recipe.optim.lr:g}, decay {decay}"
        steps = f"{recipe.epochs:,} x {recipe.batch_size:,}"
        rows.append((f"`{name}`", recipe.model.variant, steps, optim, recipe.schedule.name, _means(recipe)))
    header = ("recipe", "network", "epochs x images per step", "optimiser", "schedule", "against overfitting")
    return markdown_table(header, rows)


def _means(recipe: Recipe) -> str:
    """The measures against overfitting, in words."""
    augment, mix, loss, model = recipe.augment, recipe.mix, recipe.loss, recipe.model
    words = [
        "random crop" if augment.crop_scale else "",
        "flip" if augment.flip else "",
        "rotation, shift or zoom" if augment.rotate_degrees or augment.translate or augment.zoom else "",
        f"jitter {augment.jitter:g}" if augment.jitter else "",
        {"autoaugment": "AutoAugment", "randaugment": "RandAugment"}.get(augment.policy or "", ""),
        f"erasing {augment.erase:g}" if augment.erase else "",
        f"mixup {mix.mixup:g}" if mix.mixup else "",
        f"cutmix {mix.cutmix:g}" if mix.cutmix else "",
        f"smoothing {loss.label_smoothing:g} over {loss.smoothing_over}" if loss.label_smoothing else "",
        f"dropout {model.drop_rate:g}" if model.drop_rate else "",
        f"stochastic depth {model.drop_path_rate:g}" if model.drop_path_rate else "",
        f"average {recipe.average.decay:g}" if recipe.average else "",
        f"ends {recipe.stop_after} epochs after the best" if recipe.stop_after else "",
    ]
    return ", ".join(word for word in words if word)


def updated(text: str) -> str:
    return with_tables(text, {TABLE: table()})
