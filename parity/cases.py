"""Which source's script proves which variant, and at which image sizes: an odd and an even one of each kind, since
several faults show at only one of the two."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xception.arch.spec import Architecture
from xception.arch.stackwise import Stackwise
from xception.arch.variants import architecture

WIDTHS = Stackwise(
    filters=((8, 8, 16), (24, 24), (24, 24, 24), (32, 48), (40, 56)), pooling=(True, True, False, True, True)
)
"""A network that KerasHub builds, and nobody published."""

SMALL_PX = (97, 128)
LARGE_PX = (224, 299)


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A source's own code: a module of `parity.upstreams`, the environment it runs in, the option of `parity.run`
    that says where its repository is checked out (None: it is a package), the most precise type it computes in, and
    whether it rounds the epsilon of its norms to float32 even then."""

    script: str
    environment: str
    checkout: str | None = None
    dtype: str = "float64"
    float32_epsilon: bool = False


TIMM = Upstream(script="timm", environment="timm")
TSTANDLEY = Upstream(script="tstandley", environment="timm", checkout="tstandley")
GLUON = Upstream(script="gluon", environment="gluon")
KERAS = Upstream(script="keras", environment="keras")
KERAS_HUB = Upstream(script="keras_hub", environment="keras_models")
ZEROMODELS = Upstream(script="zeromodels", environment="keras_models")
MINI = Upstream(script="mini", environment="keras", checkout="face-classification")
PADDLE = Upstream(script="paddle", environment="paddle", checkout="paddleclas", float32_epsilon=True)
MINDCV = Upstream(script="mindcv", environment="mindspore", dtype="float32")
MINDSPORE = Upstream(script="mindspore_zoo", environment="mindspore", checkout="mindspore-models", dtype="float32")


OUR_WORDS = {"global_pool": "pooling", "in_chans": "in_channels"}
"""Arguments of a network by timm's words for them."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network of one source, whose names are those of `scheme`, or of the source that published it, perhaps with
    the widths of `stackwise`, or as timm builds it with `model_args`.

    `golden_px` are the sizes whose logits are kept for the tests, `finer` the smaller output strides at which it is
    compared too, `trains` whether a training step is.
    """

    variant: str
    upstream: Upstream
    scheme: str | None = None
    stackwise: Stackwise | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    golden_px: tuple[int, ...] = SMALL_PX
    px: tuple[int, ...] = LARGE_PX
    batch: int = 2
    finer: tuple[int, ...] = ()
    trains: bool = False

    @property
    def golden(self) -> str:
        """The name of the file with the logits that are kept."""
        own = "stackwise" if self.stackwise else self.variant
        kind = "model_args" if self.model_args else self.scheme
        return f"{kind}.{own}" if kind else own

    @property
    def spec(self) -> Architecture:
        """The network."""
        ours = {OUR_WORDS.get(name, name): value for name, value in self.model_args.items()}
        return architecture(self.variant, stackwise=self.stackwise, **ours)


CASES = (
    Case(variant="timm_xception", upstream=TIMM, trains=True),
    Case(variant="timm_xception", upstream=TSTANDLEY, golden_px=(), trains=True),
    Case(variant="timm_xception41", upstream=TIMM, finer=(16, 8), trains=True),
    Case(variant="timm_xception41p", upstream=TIMM, finer=(16, 8), trains=True),
    Case(variant="timm_xception65", upstream=TIMM, finer=(16, 8)),
    Case(variant="timm_xception65p", upstream=TIMM, finer=(16, 8), trains=True),
    # At output stride 8 timm drops a projection of this network and no longer reads its own weights.
    Case(variant="timm_xception71", upstream=TIMM, finer=(16,), trains=True),
    *(
        Case(variant=f"timm_{name}", upstream=TIMM, model_args=model_args, px=(161, 224))
        for name, model_args in (
            ("xception", {"global_pool": "catavgmax", "in_chans": 1, "num_classes": 7}),
            ("xception41", {"global_pool": "avgmax", "output_stride": 8, "drop_rate": 0.25, "num_classes": 5}),
            ("xception41p", {"global_pool": "max", "output_stride": 16, "drop_path_rate": 0.1, "num_classes": 5}),
        )
    ),
    Case(variant="gluon_xception65", upstream=GLUON, finer=(16, 8)),
    Case(variant="keras_xception", upstream=KERAS),
    Case(variant="keras_xception", upstream=KERAS_HUB, scheme="keras_hub"),
    Case(variant="keras_xception", upstream=KERAS_HUB, scheme="keras_hub", stackwise=WIDTHS, golden_px=(61, 64)),
    *(
        Case(variant=f"timm_xception{depth}", upstream=ZEROMODELS, scheme="zeromodels")
        for depth in ("41", "41p", "65", "65p", "71")
    ),
    Case(variant="mini_xception", upstream=MINI, golden_px=(61, 64), px=(48, 65)),
    Case(variant="mini48_xception", upstream=MINI, golden_px=(47, 48), px=(64, 65)),
    Case(variant="tiny_xception", upstream=MINI, golden_px=(61, 64), px=(48, 65)),
    Case(variant="big_xception", upstream=MINI, golden_px=(61, 64), px=(48, 65)),
    Case(variant="ppcls_xception41", upstream=PADDLE),
    Case(variant="ppcls_xception41_deeplab", upstream=PADDLE),
    Case(variant="ppcls_xception65", upstream=PADDLE),
    Case(variant="ppcls_xception65_deeplab", upstream=PADDLE),
    Case(variant="ppcls_xception71", upstream=PADDLE),
    Case(variant="mindcv_xception", upstream=MINDCV),
    # Its head averages exactly 10x10 positions, so it takes no other sizes.
    Case(variant="mindspore_xception", upstream=MINDSPORE, golden_px=(299, 320), px=(), batch=1),
)
