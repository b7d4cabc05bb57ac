"""Published weights that are another entry's tensors in the files of KerasHub, zeromodels, lucid and
segmentation_models_pytorch.

What a port states about images is its own, and so is kept, even where the weights were evaluated with something else.
"""

from xception.convert.checksum import Digest
from xception.convert.weights_entry import WeightsEntry
from xception.preprocess import CenterCrop, CropSquash, Preprocess, ShorterSide, Squash

KERASHUB = Preprocess(
    orientation="stored",
    resize=CropSquash(width_px=299, height_px=299),
    interpolation="bilinear",
    antialias=False,
    fractions=True,
)
"""KerasHub's converter of images: the largest centred square is cut out first, and `predict` rounds nothing."""

ZEROMODELS = Preprocess(
    orientation="stored", resize=Squash(width_px=299, height_px=299), interpolation="bicubic", fractions=True
)
"""zeromodels' processor: the whole image is squashed in float32 with antialias, and nothing is cut off at 0 and 255."""

LUCID = Preprocess(
    orientation="stored",
    resize=ShorterSide(px=333),
    interpolation="bicubic",
    crop=CenterCrop(width_px=299, height_px=299),
)
"""lucid's preset of images, which is timm's evaluation, and what segmentation_models_pytorch is known to keep."""

SQUASHED = "Whole images are squashed by zeromodels; the accuracy that timm states is of its own resize and crop."


def _zeromodels(variant: str, tag: str, *defects: str) -> WeightsEntry:
    return WeightsEntry(
        name=f"timm_{variant}.zeromodels_{tag}",
        container="hdf5",
        preprocess=ZEROMODELS,
        file="model.weights.h5",
        reference=f"hf-hub:zeromodels/{variant}_{tag}",
        port_of=f"timm_{variant}.{tag}",
        defects=(SQUASHED, *defects),
    )


PORTS = (
    WeightsEntry(
        name="keras_xception.kerashub",
        container="hdf5",
        preprocess=KERASHUB,
        file="model.weights.h5",
        reference="hf-hub:keras/xception_41_imagenet",
        port_of="keras_xception.imagenet",
        defects=(
            "KerasHub calls it xception_41 for its 41 layers; timm's and DeepLab's xception41 are another network.",
            "No accuracy is stated; that of the weights was measured with another, undocumented resize.",
        ),
    ),
    _zeromodels("xception41", "tf_in1k"),
    _zeromodels(
        "xception41p",
        "ra3_in1k",
        "Only the configuration next to the weights states the epsilon 1e-5; the code's default is another.",
    ),
    _zeromodels("xception65", "ra3_in1k"),
    _zeromodels("xception65", "tf_in1k"),
    _zeromodels("xception65p", "ra3_in1k"),
    _zeromodels("xception71", "tf_in1k"),
    WeightsEntry(
        name="timm_xception.lucid_tf_in1k",
        container="safetensors",
        preprocess=LUCID,
        file="model.safetensors",
        reference="https://huggingface.co/lucid-dl/xception/resolve/main/TF_IN1K/model.safetensors",
        digest=Digest("sha256", "8143bf6634e62129c20d48f0cb81ce45c67069709c1370ce7612506c4f8b5dc6"),
        port_of="timm_xception.tf_in1k",
        defects=("The accuracy in its description is that of others, rounded; it was not measured.",),
    ),
    WeightsEntry(
        name="timm_xception.smp_imagenet",
        container="safetensors",
        preprocess=LUCID,
        file="model.safetensors",
        reference="hf-hub:smp-hub/xception.imagenet@01cfaf27c11353b1f0c578e7e26d2c000ea91049",
        port_of="timm_xception.tf_in1k",
        defects=(
            "The file was not seen: its size is that of the whole classifier, which segmentation_models_pytorch drops.",
            "That package pads the first two convolutions, which neither the weights nor this network do.",
        ),
    ),
)
"""Every port. Those of one variant go behind the weights that they are of."""
