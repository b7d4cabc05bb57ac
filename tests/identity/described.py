"""Files with a description, whose class names are hard to write."""

from xception.bundle import Bundle
from xception.forms import FORMS, Form
from xception.identity.identity import with_identity
from xception.labels import Labels

NAMES = ("a <cat> & 'dog'", 'le "chien"', "tab le", "Ärger", "e", "f", "g")
"""Names that each format has to keep as they are."""


def content(form: Form, forms: dict[Form, Bundle]) -> bytes:
    bundle = forms[form]
    files = {name: (bundle.path / name).read_bytes() for name in FORMS[form].files}
    return with_identity(files, bundle.model, Labels(NAMES))[FORMS[form].files[0]]
