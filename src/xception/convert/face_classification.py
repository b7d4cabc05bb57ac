"""The trained networks in oarriaga's repository face_classification: small networks for gray images of faces.

All are read from one commit. The accuracies are those of the README and, on validation images, of the file names.
"""

from xception.convert.checksum import Digest
from xception.convert.weights_entry import LabelSet, Reported, WeightsEntry
from xception.preprocess import Preprocess, Squash

COMMIT = "b861d21b0e76ca5514cdeb5b56a689b7318584f4"
FOLDER = f"https://github.com/oarriaga/face_classification/raw/{COMMIT}/trained_models"
README = "face_classification, README"
FILE_NAME = "file name, on validation images"

NOT_THE_NETWORK_OF_ITS_NAME = (
    "Its name is that of the 64-px network, but it holds another one for 48 px, of which the repository has no code; "
    "the file describes it."
)


def _face(px: int) -> Preprocess:
    """OpenCV's resize of a face, whatever its aspect ratio; photographs are loaded by Keras."""
    return Preprocess(
        orientation="stored",
        color="gray",
        resize=Squash(width_px=px, height_px=px),
        interpolation="bilinear",
        antialias=False,
        mean=(0.5,),
        std=(0.5,),
    )


def _entry(
    name: str,
    label_set: LabelSet,
    path: str,
    sha256: str,
    *reported: Reported,
    px: int = 64,
    snapshot_of: str | None = None,
    defects: tuple[str, ...] = (),
) -> WeightsEntry:
    return WeightsEntry(
        name=name,
        container="hdf5",
        preprocess=_face(px),
        file=path.rpartition("/")[2],
        reference=f"{FOLDER}/{path}",
        digest=Digest("sha256", sha256),
        label_set=label_set,
        reported=reported,
        snapshot_of=snapshot_of,
        defects=defects,
    )


def _on_validation_images(top1: str) -> Reported:
    return Reported(top1=float(top1), top5=None, where=FILE_NAME, date=None)


def _snapshot(epoch: str, top1: str, sha256: str) -> WeightsEntry:
    return _entry(
        f"mini_xception.fer2013_epoch{int(epoch)}",
        "fer2013",
        f"emotion_models/fer2013_mini_XCEPTION.{epoch}-{top1}.hdf5",
        sha256,
        _on_validation_images(top1),
        snapshot_of="mini_xception.fer2013",
    )


_SNAPSHOTS = (
    ("00", "0.47", "378742e6754c71a7a8e2b2e8c0d3158a658f4255344e116b725704ace08f996b"),
    ("02", "0.52", "827cf5c10c11e4367d1ad3238721878be41dacb72970c9a1bf144390641ecadf"),
    ("03", "0.53", "b9cc3b4550f3d1f4b18bfd9ef6a27e0c2cef5d5a2eeffda2ad74a23e7de588fa"),
    ("04", "0.55", "5a19a2ffb403e87443d0a198ce1d694486a32691eb0bbe8049c77a13f7fb429d"),
    ("05", "0.56", "efe1ad17c5c184fda1f89922feb79b661828246c375afb9b7546545c66443e18"),
    ("08", "0.57", "453366a569ca8e9640d98b481a7600691ed4f9295b6d50eab505e39716bf609f"),
    ("10", "0.58", "b192303d5410d68cb9b6dfd5aa8ff754e693e47157db1fca2cd27ff305b99626"),
    ("11", "0.58", "8200d8682288d750cedebcc1e7c5acdc31246c6d7915c282d0b9ed421ab2f7b8"),
    ("12", "0.58", "869d136501c14058793fca72a373469f563bfa9e8721c06a936df34fc38b8c85"),
    ("14", "0.59", "2f1c9251a78505079fc31f82bd8cb3a668b135c6281a8d42d596a8ce900a84be"),
    ("15", "0.60", "06d88d92856f56fc15a2093931016497559f2d0f2b5fa929257a84995ccf1ec0"),
    ("25", "0.60", "7f6edc5403cdcbb1a9c1d42bb4c51166f82ba0b547d9f600816421e5cca5fab1"),
    ("27", "0.62", "8c23de49950d5b007a4cd740f6fcf1d8772b1f67ab553ec0ab8e13764b2473a0"),
    ("29", "0.62", "4671d0c85952531d0b019794048bab109edfecfea8f0a9480e3afe987d9fb8e2"),
    ("32", "0.62", "20da7f05322486838aa81a4cc9cc4caf10945653fcf017755796bae2d45a136f"),
    ("37", "0.62", "3543ff85af85d64706ff59a18e87e4c1d3b41ed29321f10d59c937b86c2881cd"),
    ("38", "0.62", "a36ec41b7a9681d712fb8aff0b81221f91948a618b76de7bd1c4c4dc647231d4"),
    ("41", "0.62", "0b87391c5911051b5cc00ee0b834119b602f1dc9e99f4b8b658ebe380ff943a7"),
    ("43", "0.64", "4e20c24e0f534091562a005fe21a84c792a11e103d395aed1f80f94217c6cb5f"),
    ("51", "0.63", "1b51adc83fdc587829cb650e4359e329aeb66fd5c50be47a8bf1381ed4102e6d"),
    ("70", "0.63", "3a8586e6bc4cb4233c7c634aecc1214c8b34bb240cfc28af3c443cd262e9404a"),
    ("97", "0.65", "5bcbd5e7dd3c167a13665bd99e7a104c56837172cbaf355c4d8cdb63307f2f88"),
    ("99", "0.65", "530796763281b0d24d7bd84b434eaa9e69f9502d55bf2820db21ad2a3a81476f"),
    ("100", "0.65", "b71af574bd774575104a2e229e56cd512126383ba8728e13ca6148cfe5b2d6e8"),
    ("107", "0.66", "e3699ec0bc5d531e135571fe2f7c31fd8711c0d4858c0969dc052603810053b5"),
    ("110", "0.65", "65443bbf9291ab3bd838edd8e172e8b714ebb9b399712933d44f80bb2ddeefd2"),
)
"""Epoch and accuracy as the file names have them, and the checksum."""

FACE_ENTRIES = (
    _entry(
        "mini_xception.fer2013",
        "fer2013",
        "emotion_models/fer2013_mini_XCEPTION.102-0.66.hdf5",
        "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        Reported(top1=0.66, top5=None, where=README, date=None),
    ),
    _entry(
        "mini_xception.imdb_gender",
        "imdb",
        "gender_models/gender_mini_XCEPTION.21-0.95.hdf5",
        "7affc7bd520c48ca908eada26988d0e17fdfa1d447d8ae5675395f05ca6f943b",
        Reported(top1=0.96, top5=None, where=README, date=None),
        _on_validation_images("0.95"),
    ),
    _entry(
        "mini_xception.kdef",
        "kdef",
        "emotion_models/mini_XCEPTION_KDEF.hdf5",
        "22746cd536726cc8603d7e065f9eb626639498119c7f16564e58eadea70f6568",
    ),
    _entry(
        "mini48_xception.fer2013",
        "fer2013",
        "fer2013_mini_XCEPTION.119-0.65.hdf5",
        "c6100e8155bddd8d994d778b0caf8e0b412724fa6df8690e5517f1ff71f495cf",
        _on_validation_images("0.65"),
        px=48,
        defects=(NOT_THE_NETWORK_OF_ITS_NAME,),
    ),
    _entry(
        "tiny_xception.kdef",
        "kdef",
        "emotion_models/tiny_XCEPTION_KDEF.hdf5",
        "b625521c168f14acbeee033dc263276cb76ee6ed4a6de6b7482713ee34fc4ef1",
    ),
    _entry(
        "big_xception.fer2013",
        "fer2013",
        "fer2013_big_XCEPTION.54-0.66.hdf5",
        "2c7ed52bc381077b5099afdfa392efb754516db91575f3f8ea120e81bc55db37",
        _on_validation_images("0.66"),
    ),
    *(_snapshot(*row) for row in _SNAPSHOTS),
)
"""The networks, and then the other states of one training that were published, whose classes are its own."""
