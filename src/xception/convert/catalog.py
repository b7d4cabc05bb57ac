"""The published weights: for every file its preprocessing, classes, accuracy as reported, and known defects.

The figures are those of the sources, none was measured here. Resize sizes are the whole pixels that the sources'
own code computes from its crop fractions.
"""

from collections.abc import Mapping
from types import MappingProxyType

from xception.convert.checksum import Algorithm, Digest
from xception.convert.face_classification import FACE_ENTRIES
from xception.convert.ports import PORTS
from xception.convert.weights_entry import Reported, WeightsEntry
from xception.errors import AmbiguousName, UnknownName
from xception.preprocess import CenterCrop, Preprocess, ShorterSide

_Score = tuple[float, float]

HALF_MEAN = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PADDLE = Preprocess(
    resize=ShorterSide(px=320, long_side="round"),
    interpolation="bilinear",
    antialias=False,
    crop=CenterCrop(width_px=299, height_px=299, offset="floor"),
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
"""PaddleClas: OpenCV's decoder, which follows EXIF, and its resize, the longer side rounded."""


def _torchvision(resize_px: int, mean: tuple[float, ...] = HALF_MEAN, std: tuple[float, ...] = HALF_MEAN) -> Preprocess:
    """timm's evaluation: bicubic with antialias, longer side truncated, crop margin rounded to even."""
    crop = CenterCrop(width_px=299, height_px=299)
    resize = ShorterSide(px=resize_px)
    return Preprocess(orientation="stored", resize=resize, interpolation="bicubic", crop=crop, mean=mean, std=std)


def _mindspore(resize_px: int, crop_px: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocess:
    """MindSpore's vision operators: OpenCV's resize, longer side truncated, crop margin rounded down."""
    return Preprocess(
        orientation="stored",
        resize=ShorterSide(px=resize_px),
        interpolation="bilinear",
        antialias=False,
        crop=CenterCrop(width_px=crop_px, height_px=crop_px, offset="floor"),
        mean=mean,
        std=std,
    )


def _timm(
    name: str, resize_px: int, newest: _Score, older: _Score, date: str = "2022-03-29", *defects: str
) -> WeightsEntry:
    table = "timm, results-imagenet.csv"
    return WeightsEntry(
        name=name,
        container="safetensors",
        preprocess=_torchvision(resize_px),
        file="model.safetensors",
        reference=f"hf-hub:timm/{name.removeprefix('timm_')}",
        reported=(
            Reported(top1=newest[0], top5=newest[1], where=table, date="2025-10-30"),
            Reported(top1=older[0], top5=older[1], where=table, date=date),
        ),
        defects=defects,
    )


def _paddle(model: str, score: _Score, *defects: str) -> WeightsEntry:
    file = f"{model}_pretrained.pdparams"
    return WeightsEntry(
        name=f"ppcls_{model.lower()}.ppcls_in1k",
        container="pdparams",
        preprocess=PADDLE,
        file=file,
        reference=f"https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/{file}",
        reported=(Reported(top1=score[0], top5=score[1], where="PaddleClas, docs, ImageNet1k", date="2023-10-11"),),
        defects=defects,
    )


def _mindspore_zoo(
    tag: str, reported: Reported, *defects: str, url: str | None = None, sha256: str | None = None
) -> WeightsEntry:
    return WeightsEntry(
        name=f"mindspore_xception.{tag}",
        container="ckpt",
        preprocess=_mindspore(320, 299, HALF_MEAN, HALF_MEAN),
        file=url and url.rpartition("/")[2],
        reference=url,
        digest=Digest("sha256", sha256) if sha256 else None,
        reported=(reported,),
        defects=(
            *defects,
            "UpstreamTensor's average pool is 10x10, so its own code takes only images whose last map is that large.",
        ),
    )


KERAS_WEIGHTS = (
    "These are Keras' weights in a network with epsilon 1e-5 and symmetric pool padding instead of 1e-3 and "
    "TensorFlow's 'same'; the logits differ from Keras' by about 1 %."
)
DEEPLAB = "UpstreamTensor halves the features at inference and dilates the tail by 2 at stride 32; both are kept."
GITHUB_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download"

_ROWS = (
    WeightsEntry(
        name="timm_xception.tf_in1k",
        container="torch",
        preprocess=_torchvision(333),
        file="xception-43020ad28.pth",
        reference=f"{GITHUB_TIMM}/v0.1-cadene/xception-43020ad28.pth",
        digest=Digest("sha256", "43020ad28"),
        reported=(
            Reported(top1=0.79058, top5=0.94396, where="timm, results-imagenet.csv", date="2025-10-30"),
            Reported(top1=0.79050, top5=0.94392, where="timm, results-imagenet.csv", date="2022-03-29"),
        ),
        defects=(KERAS_WEIGHTS,),
    ),
    WeightsEntry(
        name="timm_xception.tstandley_in1k",
        container="torch",
        preprocess=_torchvision(333),
        file="xception-c0a72b38.pth.tar",
        reference="https://www.dropbox.com/s/1hplpzet9d7dv29/xception-c0a72b38.pth.tar?dl=1",
        digest=Digest("sha256", "c0a72b38"),
        reported=(
            Reported(top1=0.78892, top5=0.94292, where="tstandley/Xception-PyTorch, xception.py", date="2018-01"),
        ),
        defects=(
            KERAS_WEIGHTS,
            "The interpolation behind the reported accuracy is not stated; bicubic is taken, as timm does.",
        ),
    ),
    _timm("timm_xception41.tf_in1k", 331, (0.78550, 0.94282), (0.78510, 0.94278)),
    _timm("timm_xception41p.ra3_in1k", 318, (0.81978, 0.95784), (0.81960, 0.95794)),
    _timm("timm_xception65.ra3_in1k", 318, (0.83186, 0.96596), (0.83180, 0.96592)),
    _timm("timm_xception65.tf_in1k", 331, (0.79558, 0.94656), (0.79548, 0.94656), "2022-01"),
    _timm("timm_xception65p.ra3_in1k", 318, (0.83160, 0.96506), (0.83126, 0.96478)),
    _timm(
        "timm_xception71.tf_in1k",
        331,
        (0.79920, 0.94908),
        (0.79876, 0.94922),
        "2022-03-29",
        "At output stride 8 upstream drops one projection and can no longer read this file; here it is kept.",
    ),
    WeightsEntry(
        name="keras_xception.imagenet",
        container="hdf5",
        preprocess=_torchvision(333),
        file="xception_weights_tf_dim_ordering_tf_kernels.h5",
        reference="https://storage.googleapis.com/tensorflow/keras-applications/xception/"
        "xception_weights_tf_dim_ordering_tf_kernels.h5",
        digest=Digest("md5", "0a58e3b7378bc2990ea3b43d5981f1f6"),
        reported=(
            Reported(top1=0.790, top5=0.945, where="Keras, applications", date=None),
            Reported(top1=0.79006, top5=0.94452, where="keras-applications, README, one centre crop", date=None),
        ),
        defects=(
            "The resize behind the reported accuracy is not documented; timm's for the same weights is taken.",
            "The layers have Keras 1's automatic names, by which Keras' load_weights(by_name=True) loads nothing.",
        ),
    ),
    _paddle("Xception41", (0.7930, 0.9453)),
    _paddle("Xception41_deeplab", (0.7955, 0.9438), DEEPLAB),
    _paddle("Xception65", (0.8100, 0.9549)),
    _paddle("Xception65_deeplab", (0.8032, 0.9449), DEEPLAB),
    _paddle("Xception71", (0.8111, 0.9545)),
    WeightsEntry(
        name="mindcv_xception.in1k_299",
        container="ckpt",
        preprocess=_mindspore(341, 299, IMAGENET_MEAN, IMAGENET_STD),
        file="xception-2c1e711df.ckpt",
        reference="https://download.mindspore.cn/toolkits/mindcv/xception/xception-2c1e711df.ckpt",
        # MindCV's rule for file names: they end in the first digits of the SHA-256, at least eight.
        digest=Digest("sha256", "2c1e711d"),
        reported=(Reported(top1=0.7901, top5=0.9425, where="MindCV, benchmark_results.md", date="2024-10"),),
        defects=("MindCV's README of the network has listed another file with another accuracy since 2025-04.",),
    ),
    WeightsEntry(
        name="mindcv_xception.in1k_224",
        container="ckpt",
        preprocess=_mindspore(256, 224, IMAGENET_MEAN, IMAGENET_STD),
        file="xception-174_5004_v2.ckpt",
        reference="https://download-mindspore.osinfra.cn/toolkits/mindcv/xception/xception-174_5004_v2.ckpt",
        reported=(Reported(top1=0.7631, top5=0.9280, where="MindCV, configs/xception/README.md", date="2025-04-15"),),
        defects=(
            "The accuracy is stated for 224 px, but the configuration next to it says 299.",
            "The resize to 256 px is not stated; it is that configuration's crop fraction of 0.875 at 224 px.",
        ),
    ),
    _mindspore_zoo(
        "ascend_in1k",
        Reported(top1=0.79858, top5=0.94858, where="MindSpore models, README, Ascend", date="2020-12-10"),
        "The last partial batch was left out: 49,920 of the 50,000 images were evaluated.",
        "MindSpore Hub does not say that its file is the one that the README evaluates; its name says 79.",
        url="https://download.mindspore.cn/model_zoo/r1.1/xception_ascend_v111_imagenet_offcial_cv_bs128_1top79/"
        "xception_ascend_v111_imagenet_offcial_cv_bs128_1top79.ckpt",
        sha256="6a68489c6f3fa7b748473b93ddeed1acb13190d089403b2fa2a6c525dc69a282",
    ),
    _mindspore_zoo(
        "ascend_v170_in1k",
        Reported(top1=0.7994, top5=0.9497, where="MindSpore Hub", date="2022-06-22"),
        url="https://download.mindspore.cn/models/r1.7/"
        "xception_ascend_v170_imagenet2012_official_cv_top1acc79.94_top5acc94.97.ckpt",
        sha256="0359d9ffe399d2c359bf7cf488b56f559e665dc5968b61a00809c8a0a53fb26c",
    ),
    _mindspore_zoo(
        "gpu_in1k",
        Reported(top1=0.79874, top5=0.94984, where="MindSpore models, README, GPU", date="2021-02-09"),
        "The last partial batch was left out: 49,984 of the 50,000 images were evaluated.",
        "No address of this file is known.",
    ),
    WeightsEntry(
        name="gluon_xception65.gluon_in1k",
        container="torch",
        preprocess=_torchvision(331, IMAGENET_MEAN, IMAGENET_STD),
        file="gluon_xception-7015a15c.pth",
        reference=f"{GITHUB_TIMM}/v0.1-weights/gluon_xception-7015a15c.pth",
        digest=Digest("sha256", "7015a15c"),
        reported=(Reported(top1=0.79716, top5=0.94860, where="timm, results-imagenet.csv", date="2022-03-29"),),
        defects=("Removed from timm in 0.9; the versions before it compute a dropout and discard it.",),
    ),
    *FACE_ENTRIES,
    *PORTS,
)

CATALOG: Mapping[str, WeightsEntry] = MappingProxyType({entry.name: entry for entry in _ROWS})
"""Every published file, by name. A variant's first entry is the one that its source loads, or lists, first."""


def resolve_entry(name: str) -> WeightsEntry:
    """The entry of that name; a part of it is enough where only one entry has it, ports and snapshots aside: its
    variant's name, and either without the source in front.

    Raises:
        AmbiguousName: several entries have it.
        UnknownName: no such entry; the nearest are suggested.
    """
    if name in CATALOG:
        return CATALOG[name]
    entries = [
        entry for entry in CATALOG.values() if name in _short_names(entry) and not (entry.port_of or entry.snapshot_of)
    ]
    if len(entries) > 1:
        raise AmbiguousName("weights", name, [entry.name for entry in entries])
    if not entries:
        raise UnknownName("weights entry", name, CATALOG)
    return entries[0]


def _short_names(entry: WeightsEntry) -> set[str]:
    return {part for name in (entry.name, entry.variant) for part in (name, name.partition("_")[2])}


def default_entry(variant: str) -> WeightsEntry | None:
    """The entry whose preprocessing a file takes of which only the variant is known: the variant's first, which its
    source's users have most likely started from. None where nothing was published."""
    return next((entry for entry in CATALOG.values() if entry.variant == variant), None)


def identify(checksums: Mapping[Algorithm, str]) -> WeightsEntry | None:
    """The published file that has these checksums; None for any other, and where no checksum is published."""
    return next((entry for entry in CATALOG.values() if entry.digest and entry.digest.is_among(checksums)), None)
