import numpy as np

from xception.backends.probes import probe_images


def test_probe_images_are_extremes_and_noise() -> None:
    images = probe_images(8, 3, 10, 12)
    assert (images.shape, images.dtype) == ((8, 3, 10, 12), np.uint8)
    assert {int(images[index].max()) for index in (0, 1, 4)} == {0, 255, 128}
    assert (images[6] == images[6, :1]).all()
    assert not (images[5] == images[5, :1]).all()
    np.testing.assert_array_equal(images, probe_images(8, 3, 10, 12))
